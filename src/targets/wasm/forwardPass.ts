import {
  type DropoutNode,
  type Graph,
  type GraphNode,
  inputsOf,
  layerOf,
  type MergeNode,
  type NodeId,
  type PopulationNode,
  type ProjectionNode,
  type ReadoutNode,
} from '../../ir/graph.ts';
import type { Deployment } from '../../passes/deploy.ts';
import { Arrays, type Lists, type Mask, type Operand, type Product, type Store, type Variant } from './arrays.ts';
import type { Buffer } from './call.ts';
import { type DeployedNeuron, inferenceLayer } from './inferenceLayer.ts';
import { eventBytes, spanBytes } from './kernels/events.ts';
import type { Kernels } from './kernels/kernel.ts';
import { drawsMask, maskBytes, maskKernel, packMaskKernel } from './kernels/masks.ts';
import { affineKernel } from './kernels/norm.ts';
import { importEvents, scatterKernel } from './kernels/transfer.ts';
import { Layer } from './layer.ts';
import type { NeuronKernels, PlannedNeuron } from './neuron/neuron.ts';
import { type Normalization, normalize, normalizeInDouble } from './normalization.ts';
import type { ProgramBuilder } from './program.ts';
import type { Value } from './value.ts';

/** The neurons of nodes, in training and in the deployed graph. */
export interface Neurons {
  readonly trained: (node: PopulationNode | ReadoutNode, affine: readonly boolean[], asBits: boolean) => NeuronKernels;
  readonly deployed: (node: PopulationNode | ReadoutNode, affine: readonly boolean[]) => PlannedNeuron;
}

/** Builds the calls that compute the values of a graph's nodes. */
export class ForwardPass extends Arrays {
  readonly graph: Graph;
  protected readonly norms = new Map<NodeId, Normalization>();
  protected readonly layers = new Map<NodeId, Layer[]>();
  private readonly populations: Deployment['populations'];
  private readonly neurons: Neurons;
  private readonly values = new Map<NodeId, Value>();
  private readonly masks = new Map<NodeId, Mask>();

  constructor(
    graph: Graph,
    k: Kernels,
    program: ProgramBuilder,
    store: Store,
    variant: Variant,
    populations: Deployment['populations'],
    neurons: Neurons,
  ) {
    super(k, program, store, variant);
    this.graph = graph;
    this.populations = populations;
    this.neurons = neurons;
    for (const node of graph.nodes) this.values.set(node.id, this.forward(node));
  }

  /** A value as a plain array [rows, features]. */
  arrayOf(id: NodeId): Buffer {
    const value = this.valueFor(id);
    value.array ??= this.materialize(id, value);
    return value.array;
  }

  /** A value's lists, where something asked for them. */
  knownLists(id: NodeId): Lists | null {
    return this.valueFor(id).lists;
  }

  timeOf(id: NodeId): boolean {
    return this.valueFor(id).time;
  }

  featuresOf(id: NodeId): number {
    return this.valueFor(id).features;
  }

  private forward(node: GraphNode): Value {
    this.program.layer = layerOf(this.graph, node);
    const base: Value = {
      features: node.type.features,
      time: node.type.time,
      set: node.type.set,
      array: null,
      spikes: null,
      raw: null,
      lists: null,
      masked: null,
      gates: null,
    };
    switch (node.kind) {
      case 'source':
        return { ...base, ...this.source(node.type.features) };
      case 'projection':
        return { ...base, ...this.projection(node) };
      case 'population':
        return { ...base, ...this.population(node) };
      case 'dropout':
        return { ...base, ...this.dropout(node) };
      case 'merge':
        return { ...base, array: this.merge(node) };
      case 'readout':
        return { ...base, array: this.readout(node) };
    }
  }

  private source(features: number): Partial<Value> {
    const { shape, input, events } = this.variant;
    if (input === 'dense') {
      const host = this.program.input('input', shape.B * shape.T * features * 4);
      const array = this.array('input', features, true);
      this.unpack(host, array, features, true);
      return { array };
    }
    const lists: Lists = {
      events: this.program.buffer('events of input', events * eventBytes),
      spans: this.program.buffer('spans of input', this.rowCount(true) * spanBytes),
      features,
      real: false,
    };
    this.program.call(importEvents(this.k), shape.chunks, {
      offsets: this.program.input('offsets', (shape.B * shape.T + 1) * 4),
      units: this.program.input('units', events * 2),
      counts: this.program.input('counts', events * 2),
      events: lists.events,
      spans: lists.spans,
      ...this.rows(true),
    });
    return { lists };
  }

  protected listsOf(id: NodeId): Lists {
    const value = this.valueFor(id);
    const { masked } = value;
    const listed = { features: value.features, real: this.variant.training && value.set === 'real' };
    // Masked numbers are listed as they are multiplied; nothing else may need them as an array.
    const isMasked = masked !== null && !value.array;
    const source = isMasked ? masked.input : id;
    const mask = isMasked ? masked.mask : null;
    const { spikes } = this.valueFor(source);
    value.lists ??= spikes
      ? this.listSpikes(id, spikes, value.features, mask)
      : this.list(id, this.arrayOf(source), listed, value.time, mask);
    return value.lists;
  }

  private projection(node: ProjectionNode): Partial<Value> {
    if (node.inDouble) return normalizeInDouble(this, node, this.arrayOf(node.input), this.featuresOf(node.input));
    const norm = normalize(this, node, this.listsOf(node.input));
    this.norms.set(node.id, norm);
    return norm.value;
  }

  private population(node: PopulationNode): Partial<Value> {
    return this.variant.training ? this.trainedLayer(node) : this.inferredLayer(node);
  }

  private trainedLayer(node: PopulationNode): Partial<Value> {
    const inputs = node.inputs.map((id) => this.operand(id));
    const kernels = this.trainedNeuron(node, inputs);
    const layers = directionsOf(node).map(
      (direction) => new Layer(this, node, kernels, this.inputsFor(node, inputs, direction), direction),
    );
    this.layers.set(node.id, layers);
    const [{ array, spikes, gates }] = layers;
    if (!node.bidirectional) return { array, spikes, gates };
    return {
      array: this.bothDirections(
        node,
        layers.map(({ array }) => array as Buffer),
      ),
    };
  }

  private inferredLayer(node: PopulationNode): Partial<Value> {
    if (!node.bidirectional) {
      const inputs = node.inputs.map((id, i) =>
        this.readersOf(id) === 1 && !isMultiplied(node, i) ? this.rawOrArray(id) : this.operand(id),
      );
      const asLists = this.isReadAsLists(node.id);
      return inferenceLayer(this, node, this.deployed(node, inputs), inputs, { direction: 0, asLists });
    }
    const inputs = node.inputs.map((id) => this.operand(id));
    const deployed = this.deployed(node, inputs);
    const outputs = directionsOf(node).map((direction) => {
      const own = this.inputsFor(node, inputs, direction);
      return inferenceLayer(this, node, deployed, own, { direction, asLists: false }).array as Buffer;
    });
    return { array: this.bothDirections(node, outputs) };
  }

  private trainedNeuron(node: PopulationNode | ReadoutNode, inputs: readonly Operand[]): NeuronKernels {
    const asBits = node.kind === 'population' && !node.bidirectional && this.isReadAsLists(node.id);
    return this.neurons.trained(node, affineOf(inputs), asBits);
  }

  private deployed(node: PopulationNode | ReadoutNode, inputs: readonly (Operand | Product)[]): DeployedNeuron {
    const firstProducts = this.populations.get(node.id)?.firstProducts ?? new Map();
    return { ...this.neurons.deployed(node, affineOf(inputs)), firstProducts };
  }

  /** Whether all that read a value, if only through a dropout, are projections. */
  private isReadAsLists(id: NodeId): boolean {
    const readers = this.graph.nodes.filter((n) => inputsOf(n).includes(id));
    return (
      readers.length > 0 &&
      readers.every((n) => n.kind === 'projection' || (n.kind === 'dropout' && this.isReadAsLists(n.id)))
    );
  }

  /** Inputs of one direction of a layer. */
  private inputsFor(node: PopulationNode, inputs: readonly Operand[], direction: number): readonly Operand[] {
    if (direction === 0) return inputs;
    return inputs.map((input) => ({ ...input, array: this.reversed(input.array, node.size) }));
  }

  private bothDirections(node: PopulationNode, outputs: readonly Buffer[]): Buffer {
    const array = this.array(`both directions of ${node.id}`, 2 * node.size, true);
    outputs.forEach((output, direction) => {
      const target = { array, features: 2 * node.size, to: direction * node.size };
      this.place({ array: output, features: node.size, from: 0 }, target, node.size, true, {
        reversed: direction === 1,
      });
    });
    return array;
  }

  private reversed(array: Buffer, features: number): Buffer {
    const turned = this.array(`reversed ${array.name}`, features, true);
    this.place({ array, features, from: 0 }, { array: turned, features, to: 0 }, features, true, { reversed: true });
    return turned;
  }

  private rawOrArray(id: NodeId): Operand | Product {
    return this.valueFor(id).raw ?? { array: this.arrayOf(id), affine: null };
  }

  /** The same, with a product computed. */
  private operand(id: NodeId): Operand {
    const value = this.valueFor(id);
    const { raw } = value;
    if (!raw || !('weights' in raw)) return raw ?? { array: this.arrayOf(id), affine: null };
    const computed = { array: this.multiply(raw, `product ${id}`, value.features, value.time), affine: raw.affine };
    value.raw = computed;
    return computed;
  }

  private dropout(node: DropoutNode): Partial<Value> {
    const input = this.valueFor(node.input);
    if (!this.variant.training) return input;
    return { masked: { input: node.input, mask: this.maskOf(node) }, gates: input.gates };
  }

  protected maskOf(node: DropoutNode): Mask {
    const known = this.masks.get(node.id);
    if (known) return known;
    const { features, time } = node.type;
    const { B, T, chunks } = this.variant.shape;
    const rows = { rows: this.rowCount(time), ...this.rows(time) };
    const mask = this.program.buffer(`mask ${node.id}`, maskBytes(this.rowCount(time), features));
    if (this.variant.drawsMasks && drawsMask(node)) {
      const keys = this.streamKeys('dropout', [node.layer]);
      this.program.call(maskKernel(this.k, features, node.p), chunks, { keys, mask, ...rows });
    } else {
      const source = this.program.input(`mask ${node.id}`, B * (time ? T : 1) * features * 4);
      this.program.call(packMaskKernel(this.k, features), chunks, { source, mask, ...rows });
    }
    const made = { bits: mask, p: node.p };
    this.masks.set(node.id, made);
    return made;
  }

  private merge(node: MergeNode): Buffer {
    const { features, time } = node.type;
    const array = this.array(node.id, features, time);
    let to = 0;
    node.inputs.forEach((id, i) => {
      const size = this.featuresOf(id);
      if (node.operation === 'add')
        this.combine(i === 0 ? 'copy' : 'add', features, time, { x: this.arrayOf(id), y: array });
      else this.place({ array: this.arrayOf(id), features: size, from: 0 }, { array, features, to }, size, time);
      to += size;
    });
    return array;
  }

  private readout(node: ReadoutNode): Buffer {
    const output = this.pool(node, this.operand(node.input));
    const pooled = this.array(node.id, node.type.features, false);
    this.lastStep(output, pooled, node.type.features, false);
    return pooled;
  }

  /** A pool's value at every step. */
  private pool(node: ReadoutNode, input: Operand): Buffer {
    if (!this.variant.training) {
      const form = { direction: 0, asLists: false };
      return inferenceLayer(this, node, this.deployed(node, [input]), [input], form).array as Buffer;
    }
    const layer = new Layer(this, node, this.trainedNeuron(node, [input]), [input], 0);
    this.layers.set(node.id, [layer]);
    return layer.array as Buffer;
  }

  private materialize(id: NodeId, value: Value): Buffer {
    if (value.masked) return this.applyOwnMask(id, value);
    if (value.spikes) return this.spreadSpikes(id, value.spikes, value.features);
    return value.raw ? this.normalize(id, value) : this.scatter(id, value);
  }

  private applyOwnMask(id: NodeId, { masked, features, time }: Value): Buffer {
    const { input, mask } = masked!;
    const y = this.array(id, features, time);
    this.applyMask(this.arrayOf(input), y, mask, features, time);
    return y;
  }

  private normalize(id: NodeId, value: Value): Buffer {
    const { array, affine } = this.operand(id);
    if (!affine) return array;
    const y = this.array(id, value.features, value.time);
    const rows = { rows: this.rowCount(value.time), ...this.rows(value.time) };
    this.program.call(affineKernel(this.k, value.features), this.items(value.features), {
      x: array,
      y,
      ...affine,
      ...rows,
    });
    return y;
  }

  private scatter(id: NodeId, value: Value): Buffer {
    const y = this.array(id, value.features, value.time);
    const rows = { rows: this.rowCount(value.time), ...this.rows(value.time) };
    const { spans, events } = value.lists!;
    this.program.call(scatterKernel(this.k, value.features), this.variant.shape.chunks, { y, spans, events, ...rows });
    return y;
  }

  protected valueFor(id: NodeId): Value {
    const value = this.values.get(id);
    if (!value) throw new Error(`node "${id}" is read before it is computed`);
    return value;
  }

  protected readersOf(id: NodeId): number {
    return this.graph.nodes.flatMap(inputsOf).filter((input) => input === id).length;
  }
}

/** Whether a matrix is multiplied by an input: then each neuron needs all of it. */
const isMultiplied = ({ step }: PopulationNode, input: number): boolean =>
  step.body.some(({ prim, args }) => prim === 'matvec' && args[1] === step.inputs[input].variable);

const affineOf = (inputs: readonly (Operand | Product)[]): boolean[] => inputs.map(({ affine }) => affine !== null);

const directionsOf = ({ bidirectional }: PopulationNode): readonly number[] => (bidirectional ? [0, 1] : [0]);
