import { UserError } from '../../diagnostics/diagnostic.ts';
import {
  type Graph,
  inputsOf,
  type MergeNode,
  type NodeId,
  type PopulationNode,
  type ProjectionNode,
} from '../../ir/graph.ts';
import { foldBatchnorm } from '../../passes/foldBatchnorm.ts';
import type { Tensors } from '../target.ts';
import { type NirArray, type NirEdge, type NirFile, type NirGraph, type NirNode, vector } from './graph.ts';
import { type Deviation, matchNeuron, type NirNeuron } from './match.ts';
import { type Metadata, writeNir } from './write.ts';

/** The version of NIR whose layout is written. */
const nirVersion = '1.0.0';

export interface NirExport {
  readonly bytes: Uint8Array;
  /** Where the file deviates from the network, by layer; empty where it says the same. */
  readonly deviations: readonly LayerDeviation[];
}

export interface LayerDeviation extends Deviation {
  readonly layer: string;
}

export interface NirOptions {
  /** Seconds per time step, which decays become time constants with. */
  readonly dt: number;
  /** Write the nearest network where NIR cannot say this one exactly. */
  readonly approximate: boolean;
  readonly metadata: Metadata;
}

/**
 * The trained network in evaluation mode as a .nir file; docs/nir.md says what becomes of what.
 *
 * @throws UserError SP660 with all reasons, where NIR cannot say it (exactly, or with `approximate` at all).
 */
export async function exportNir(graph: Graph, values: Tensors, options: NirOptions): Promise<NirExport> {
  const { graph: converted, deviations, refusals } = convertToNir(graph, values, options.dt);
  if (refusals.length > 0) throw cannotSay('', refusals, '');
  if (deviations.length > 0 && !options.approximate) {
    const hint = '\nThe nearest network that NIR can say is written with --approximate, which measures the difference.';
    throw cannotSay(' exactly', deviations, hint);
  }
  const file: NirFile = { version: nirVersion, graph: converted, dt: options.dt };
  const metadata = { ...options.metadata, dt: options.dt, discretization: 'forward Euler' };
  return { bytes: await writeNir(file, metadata), deviations };
}

/** The nearest graph of NIR, with where it deviates; it means nothing where there are refusals. */
export function convertToNir(graph: Graph, values: Tensors, dt: number): Conversion {
  return new Exporting(graph, values, dt).run();
}

export interface Conversion {
  readonly graph: NirGraph;
  readonly deviations: readonly LayerDeviation[];
  /** What has nothing near it in NIR. */
  readonly refusals: readonly { readonly layer: string; readonly reason: string }[];
}

function cannotSay(how: string, reasons: readonly { layer: string; reason: string }[], hint: string): UserError {
  const list = reasons.map(({ layer, reason }) => `\n  ${layer}: ${reason}`).join('');
  return new UserError('SP660', `NIR cannot say this network${how}:${list}${hint}`, { exitCode: 2 });
}

/** A value as nodes of NIR: side by side, sums of the outputs of nodes. */
type Value = readonly Segment[];

interface Segment {
  readonly features: number;
  readonly nodes: readonly string[];
}

class Exporting {
  private readonly graph: Graph;
  private readonly values: Tensors;
  private readonly dt: number;
  private readonly nodes = new Map<string, NirNode>();
  private readonly edges: NirEdge[] = [];
  private readonly deviations: LayerDeviation[] = [];
  private readonly refusals: { layer: string; reason: string }[] = [];
  private readonly made = new Map<NodeId, Value>();
  private readonly layerNames: ReadonlySet<string>;

  constructor(graph: Graph, values: Tensors, dt: number) {
    this.graph = graph;
    this.values = values;
    this.dt = dt;
    this.layerNames = new Set(graph.nodes.map(({ id }) => id));
  }

  run(): Conversion {
    const output = this.sequenceOutput();
    for (const node of this.graph.nodes) {
      switch (node.kind) {
        case 'source':
          this.nodes.set('input', port('Input', node.type.features));
          this.made.set(node.id, [{ features: node.type.features, nodes: ['input'] }]);
          break;
        case 'projection':
          this.projection(node);
          break;
        case 'population':
          this.population(node);
          break;
        case 'dropout':
          this.made.set(node.id, this.value(node.input));
          break;
        case 'merge':
          this.merge(node);
          break;
        case 'readout':
          // The output and what the scores of a sequence are pooled with; neither is part of the file.
          this.made.set(node.id, this.value(node.input));
          break;
      }
    }
    this.output(output);
    const { nodes, edges, deviations, refusals } = this;
    return { graph: { type: 'NIRGraph', nodes, edges }, deviations, refusals };
  }

  /** The node whose sequence is the output: what a pool at the end consumes. */
  private sequenceOutput(): NodeId {
    const byId = new Map(this.graph.nodes.map((node) => [node.id, node]));
    const last = byId.get(this.graph.output)!;
    for (const node of this.graph.nodes) {
      const pool = inputsOf(node).find((id) => byId.get(id)?.kind === 'readout');
      if (pool !== undefined) this.refuse(node.id, `NIR has no pools, and it reads that of "${pool}"`);
    }
    if (last.kind !== 'readout') return last.id;
    const reason = `NIR has no pools such as ${last.step.name}, since its networks give a sequence`;
    this.deviations.push({
      layer: last.layer,
      reason,
      instead: 'it is left out, and the scores are the mean of the output over time',
    });
    return last.input;
  }

  private projection(node: ProjectionNode): void {
    if (node.norm.kind === 'layernorm') this.refuse(layerOf(node), 'NIR has no layer normalisation');
    const { weight, bias } = foldBatchnorm(node, (key) => this.values.get(key) as Float32Array);
    const rows = node.type.features;
    const input = this.value(node.input);
    const columns = input.reduce((sum, { features }) => sum + features, 0);
    const names: string[] = [];
    let offset = 0;
    for (const { features, nodes } of input) {
      const part = columnsOf(weight, rows, columns, offset, features);
      const shift = offset === 0 && bias ? vector(Float32Array.from(bias)) : null;
      names.push(this.add(`${layerOf(node)}_w`, affine(part, shift), nodes));
      offset += features;
    }
    this.made.set(node.id, [{ features: rows, nodes: names }]);
  }

  private population(node: PopulationNode): void {
    const found = matchNeuron(node, this.values, this.dt);
    const [{ nodes }] = this.value(node.inputs[0]);
    if (typeof found === 'string') {
      this.refuse(node.layer, found);
      this.made.set(node.id, [{ features: node.type.features, nodes }]);
      return;
    }
    this.deviations.push(...found.deviations.map((deviation) => ({ layer: node.layer, ...deviation })));
    const name = this.add(node.layer, neuronNode(found.neuron), nodes, true);
    this.made.set(node.id, [{ features: node.size, nodes: [name] }]);
  }

  private merge({ id, operation, inputs }: MergeNode): void {
    const values = inputs.map((input) => this.value(input));
    if (operation === 'concat') {
      this.made.set(id, values.flat());
      return;
    }
    if (values.some((value) => value.length > 1)) this.refuse(id, 'NIR cannot add what was put side by side before');
    const [{ features }] = values[0];
    this.made.set(id, [{ features, nodes: values.flatMap(([segment]) => segment.nodes) }]);
  }

  private output(id: NodeId): void {
    const value = this.value(id);
    if (value.length > 1) this.refuse(id, 'NIR cannot put outputs side by side; end the network in a layer');
    this.add('output', port('Output', value[0].features), value[0].nodes);
  }

  private value(id: NodeId): Value {
    return this.made.get(id) as Value;
  }

  private refuse(layer: string, reason: string): void {
    this.refusals.push({ layer, reason });
  }

  /** Adds a node that reads others, under a name that is free; layers keep theirs. */
  private add(wish: string, node: NirNode, inputs: readonly string[], isLayer = false): string {
    const taken = (name: string) => this.nodes.has(name) || (!isLayer && this.layerNames.has(name));
    let name = wish;
    for (let i = 2; taken(name); i++) name = `${wish}_${i}`;
    this.nodes.set(name, node);
    for (const input of inputs) this.edges.push([input, name]);
    return name;
  }
}

/** `h1.I` is the projection of the layer `h1`, and `h1` that of a dense layer. */
function layerOf({ id }: ProjectionNode): string {
  return id.split('.')[0];
}

function port(type: 'Input' | 'Output', features: number): NirNode {
  return { type, arrays: { shape: { shape: [1], values: BigInt64Array.of(BigInt(features)) } } };
}

function affine(weight: NirArray, bias: NirArray | null): NirNode {
  return bias ? { type: 'Affine', arrays: { weight, bias } } : { type: 'Linear', arrays: { weight } };
}

/** A recurrent layer is a graph of its own, under the names that other programs look for. */
function neuronNode({ type, parameters, recurrent }: NirNeuron): NirNode {
  const arrays = Object.fromEntries(Object.entries(parameters).map(([name, values]) => [name, vector(values)]));
  const neuron = { type, arrays };
  if (!recurrent) return neuron;
  const n = Math.sqrt(recurrent.length);
  return {
    type: 'NIRGraph',
    nodes: new Map([
      ['input', port('Input', n)],
      ['lif', neuron],
      ['w_rec', affine({ shape: [n, n], values: Float32Array.from(recurrent) }, null)],
      ['output', port('Output', n)],
    ]),
    edges: [
      ['input', 'lif'],
      ['lif', 'w_rec'],
      ['w_rec', 'lif'],
      ['lif', 'output'],
    ],
  };
}

function columnsOf(w: ArrayLike<number>, rows: number, columns: number, offset: number, width: number): NirArray {
  const at = (i: number) => w[Math.floor(i / width) * columns + offset + (i % width)];
  return { shape: [rows, width], values: Float32Array.from({ length: rows * width }, (_, i) => at(i)) };
}
