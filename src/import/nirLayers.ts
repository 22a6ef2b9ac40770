import type { NirPrimitive } from '../targets/nir/graph.ts';
import { add, identity, isIdentity, type LinearMap, matrixOf, scaleColumns, scaleRows } from './linearMap.ts';
import type { FlatGraph } from './nirFlat.ts';
import { type ImportedNeuron, importNeuron, neuronTypes } from './nirNeurons.ts';
import { invalid, unsupported } from './nirProblem.ts';

/** A layer of the network: a projection of the layers it reads, then neurons; `neuron` is null in a dense layer. */
export interface ImportedLayer {
  readonly name: string;
  readonly from: readonly string[];
  /** What several of them are called together. */
  readonly merge: string;
  readonly size: number;
  /** One for each of `from`, [size, its size]. */
  readonly weights: readonly Float64Array[];
  readonly bias: Float64Array | null;
  readonly neuron: ImportedNeuron | null;
  /** [size, size], from its output one time step before. */
  readonly recurrent: Float64Array | null;
}

export interface ImportedLayers {
  readonly features: number;
  /** In an order in which each follows those it reads; the output is the last. */
  readonly layers: readonly ImportedLayer[];
  /** Nodes that nothing on the way to the output reads. */
  readonly unused: readonly string[];
}

/** The widest input and layer of sparchc, and the most numbers that this import makes out of small files. */
const limits = { features: 65535, size: 8192, numbers: 1 << 26 };

/** What flows along an edge: a sum of linear maps of the outputs of layers, plus a constant. */
interface Signal {
  readonly size: number;
  readonly terms: ReadonlyMap<string, LinearMap>;
  readonly bias: Float64Array | null;
}

/**
 * Turns nodes into layers, `dt` seconds a step. Everything linear between neurons becomes the projection of the layer
 * after it, or a dense layer where two matrices follow each other.
 *
 * @throws UserError SP872 where shapes contradict each other, SP873 where a network of sparchc cannot say it.
 */
export function importLayers(graph: FlatGraph, dt: number, path: string): ImportedLayers {
  return new Importing(graph, dt, path).run();
}

class Importing {
  private readonly graph: FlatGraph;
  private readonly dt: number;
  private readonly path: string;
  private readonly layers: ImportedLayer[] = [];
  /** What nodes give that have been looked at. */
  private readonly signals = new Map<string, Signal>();
  /** Linear nodes whose inputs are being looked at, since the last neuron. */
  private passing: readonly string[] = [];
  /** Layers whose inputs are being looked at. */
  private readonly waiting: string[] = [];
  private readonly names = new Set(['input']);
  private readonly used = new Set<string>();
  private numbers = 0;

  constructor(graph: FlatGraph, dt: number, path: string) {
    this.graph = graph;
    this.dt = dt;
    this.path = path;
  }

  run(): ImportedLayers {
    this.requireKnownTypes();
    const { input, output, nodes } = this.graph;
    const features = this.sizeOfPort(input);
    this.signals.set(input, signalOf('input', features));
    this.used.add(input);
    const signal = this.into(output);
    this.requireSize(output, this.sizeOfPort(output), signal.size);
    const [source, map] = [...signal.terms][0];
    const plain = signal.terms.size === 1 && !signal.bias && isIdentity(map);
    // The output of a network is its last layer.
    const last = plain ? this.layers.findIndex((layer) => layer.name === source) : -1;
    if (last < 0) this.addLayer(this.unique(this.denseTitle(output)), signal, null);
    else this.layers.push(...this.layers.splice(last, 1));
    const unused = [...nodes.keys()].filter((name) => !this.used.has(name)).map((name) => this.title(name));
    return { features, layers: this.layers, unused };
  }

  private requireKnownTypes(): void {
    const known = ['Input', 'Output', 'Affine', 'Linear', 'Scale', 'Flatten', ...neuronTypes];
    const reasons = [...this.graph.nodes]
      .filter(([, { type }]) => !known.includes(type))
      .map(([name, { type }]) => `"${this.title(name)}" is of the type ${type}, which has no counterpart here`);
    if (reasons.length > 0) throw unsupported(this.path, reasons);
  }

  // Signals

  /** The sum of what arrives at a node. */
  private into(name: string): Signal {
    this.used.add(name);
    const sources = this.graph.inputsOf.get(name) as readonly string[];
    if (sources.length === 0) throw invalid(this.path, `nothing leads to the node "${this.title(name)}"`);
    return sources.map((source) => this.from(source)).reduce((a, b) => this.sum(a, b, name));
  }

  private from(name: string): Signal {
    const known = this.signals.get(name);
    if (known) return known;
    const node = this.graph.nodes.get(name) as NirPrimitive;
    const signal = neuronTypes.includes(node.type) ? this.neuron(name, node) : this.linear(name, node);
    this.signals.set(name, signal);
    return signal;
  }

  private sum(a: Signal, b: Signal, into: string): Signal {
    this.requireSize(into, a.size, b.size);
    const terms = new Map(a.terms);
    for (const [source, map] of b.terms) {
      const before = terms.get(source);
      if (before) this.reserve(before.kind === map.kind ? map.values.length : a.size ** 2);
      terms.set(source, before ? add(before, map) : map);
    }
    const bias = a.bias && b.bias ? a.bias.map((v, i) => v + b.bias![i]) : (a.bias ?? b.bias);
    return { size: a.size, terms, bias };
  }

  private linear(name: string, node: NirPrimitive): Signal {
    if (this.passing.includes(name)) {
      const message = `"${this.title(name)}" depends on itself with no neuron in between`;
      throw invalid(this.path, message);
    }
    const before = this.passing;
    this.passing = [...before, name];
    const signal = this.into(name);
    this.passing = before;
    if (node.type === 'Affine' || node.type === 'Linear') return this.affine(name, node, signal);
    return node.type === 'Scale' ? this.scaled(name, node, signal) : signal;
  }

  private scaled(name: string, node: NirPrimitive, signal: Signal): Signal {
    const scale = this.array(name, node, 'scale');
    this.requireSize(name, scale.length, signal.size);
    const terms = new Map<string, LinearMap>();
    for (const [source, map] of signal.terms) {
      this.reserve(map.values.length);
      terms.set(source, scaleRows(map, scale));
    }
    return { ...signal, terms, bias: signal.bias?.map((v, i) => v * scale[i]) ?? null };
  }

  private affine(name: string, node: NirPrimitive, given: Signal): Signal {
    const values = this.array(name, node, 'weight', 2);
    const [rows, columns] = node.arrays.weight.shape;
    this.requireSize(name, columns, given.size);
    const unmixed = !given.bias && [...given.terms.values()].every(({ kind }) => kind === 'diagonal');
    const signal = unmixed ? given : this.addLayer(this.unique(this.denseTitle(name)), given, null);
    const terms = new Map<string, LinearMap>();
    for (const [source, map] of signal.terms) {
      this.reserve(values.length);
      terms.set(source, scaleColumns({ kind: 'matrix', rows, columns, values }, map.values));
    }
    const bias = node.type === 'Affine' ? this.array(name, node, 'bias', 1) : null;
    if (bias) this.requireSize(name, rows, bias.length);
    return { size: rows, terms, bias };
  }

  // Layers

  private neuron(name: string, node: NirPrimitive): Signal {
    const neuron = importNeuron(node, this.title(name), this.dt);
    if (typeof neuron === 'string') throw unsupported(this.path, [neuron]);
    const layer = this.unique(this.title(name));
    // When its own output arrives again, it is that of the step before.
    this.signals.set(name, signalOf(layer, neuron.size));
    const before = this.passing;
    this.passing = [];
    this.waiting.push(layer);
    const signal = this.into(name);
    this.waiting.pop();
    this.passing = before;
    this.requireSize(name, neuron.size, signal.size);
    return this.addLayer(layer, signal, neuron);
  }

  private addLayer(name: string, { size, terms, bias }: Signal, neuron: ImportedNeuron | null): Signal {
    if (size > limits.size) throw this.tooLarge(`"${name}" has ${size} neurons and can have ${limits.size}`);
    const cyclic = [...terms.keys()].find((source) => this.waiting.includes(source));
    if (cyclic) {
      const message = `"${cyclic}" and "${name}" read each other, and here a layer's recurrence is from itself`;
      throw unsupported(this.path, [message]);
    }
    const own = terms.get(name);
    if (own && !neuron?.recurrentType) {
      throw unsupported(this.path, [`"${name}" is recurrent, and here only LIF, CubaLIF and IF neurons are`]);
    }
    const from = [...terms].filter(([source]) => source !== name);
    if (from.length === 0) throw unsupported(this.path, [`"${name}" reads nothing but itself`]);
    this.layers.push({
      name,
      from: from.map(([source]) => source),
      merge: from.length > 1 ? this.unique(`${name}_in`) : '',
      size,
      weights: from.map(([, map]) => this.dense(map)),
      bias,
      neuron,
      recurrent: own ? this.dense(own) : null,
    });
    return signalOf(name, size);
  }

  private dense(map: LinearMap): Float64Array {
    this.reserve(map.kind === 'matrix' ? map.values.length : map.values.length ** 2);
    return matrixOf(map).values;
  }

  // Names and checks

  private title(name: string): string {
    return this.graph.titles.get(name) as string;
  }

  /** A dense layer is called after the matrix in it. */
  private denseTitle(reader: string): string {
    const [source] = this.graph.inputsOf.get(reader) as readonly string[];
    return this.title(source);
  }

  /** A name as specs want it. */
  private unique(title: string): string {
    const word = title.replace(/[^A-Za-z0-9_]/g, '_').replace(/^(?=[0-9])/, 'n');
    let name = word;
    for (let i = 2; this.names.has(name) || name === ''; i++) name = `${word}_${i}`;
    this.names.add(name);
    return name;
  }

  private sizeOfPort(name: string): number {
    const shape = Array.from(this.array(name, this.graph.nodes.get(name) as NirPrimitive, 'shape', 1));
    const size = shape.reduce((a, b) => a * b, 1);
    if (!shape.every((n) => Number.isInteger(n) && n >= 1)) {
      throw invalid(this.path, `"${this.title(name)}" has the shape [${shape.join(', ')}]`);
    }
    if (size > limits.features) throw this.tooLarge(`"${this.title(name)}" has ${size} values`);
    return size;
  }

  private array(name: string, node: NirPrimitive, key: string, dimensions?: number): Float64Array {
    const found = node.arrays[key];
    if (!found) throw invalid(this.path, `"${this.title(name)}" is of the type ${node.type} without "${key}"`);
    const { shape, values } = found;
    if (values.length > 0 && (dimensions === undefined || shape.length === dimensions)) {
      return Float64Array.from(values, Number);
    }
    const wanted = dimensions === 2 ? 'a matrix' : 'a list';
    const message = `"${key}" of "${this.title(name)}" must be ${wanted}, not of the shape [${shape.join(', ')}]`;
    throw unsupported(this.path, [message]);
  }

  private requireSize(name: string, wanted: number, given: number): void {
    if (wanted === given) return;
    throw invalid(this.path, `sizes at the node "${this.title(name)}" differ: ${wanted} and ${given}`);
  }

  private reserve(numbers: number): void {
    this.numbers += numbers;
    if (this.numbers > limits.numbers) throw this.tooLarge(`it has more than ${limits.numbers} weights`);
  }

  private tooLarge(what: string) {
    return unsupported(this.path, [`${what}, which is too large`]);
  }
}

function signalOf(layer: string, size: number): Signal {
  return { size, terms: new Map([[layer, identity(size)]]), bias: null };
}
