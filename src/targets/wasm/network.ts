import {
  type DropoutNode,
  type Graph,
  type GraphNode,
  layerOf,
  type MergeNode,
  type NodeId,
  type PopulationNode,
  type ProjectionNode,
  type ReadoutNode,
} from '../../ir/graph.ts';
import { gatedInputGradientKernel, inputGradientKernel, scratchBytes } from './kernels/dots.ts';
import { eventBytes, listKernel, sortKernel, spanBytes, startsWords } from './kernels/events.ts';
import type { Kernels } from './kernels/kernel.ts';
import { combineKernel } from './kernels/loss.ts';
import { applyMaskKernel, drawsMask, maskBytes, maskKernel, packMaskKernel } from './kernels/masks.ts';
import { affineKernel } from './kernels/norm.ts';
import { importEvents, lastStepKernel, placeKernel, scatterKernel, unpackKernel } from './kernels/transfer.ts';
import { inputsPerItem, weightGradientKernel } from './kernels/weightGradient.ts';
import { Layer } from './layer.ts';
import { arrayBytes, matrixRows, padded, panelsOf } from './layout.ts';
import type { NeuronKernels } from './neuron/neuron.ts';
import { type Normalization, normalize } from './normalization.ts';
import type { Argument, Buffer, ProgramBuilder } from './program.ts';
import { rowCount, rowsOf, type Shape } from './shape.ts';

/** Where parameters, their gradients and buffers of the model lie for good. */
export interface Store {
  parameter(key: string): Buffer;
  gradient(key: string): Buffer;
  isTrained(key: string): boolean;
  /** Vectors as long as any layer is wide. */
  readonly ones: Buffer;
  readonly zeros: Buffer;
}

/** What a program is built for; everything else about a batch is read when it runs. */
export interface Variant {
  readonly shape: Shape;
  readonly training: boolean;
  readonly input: 'events' | 'dense';
  /** Initial states and dropout masks are drawn in memory where they can be; otherwise the host writes them. */
  readonly drawsStates: boolean;
  readonly drawsMasks: boolean;
  /** Events there is room for. */
  readonly events: number;
  readonly lengths: boolean;
}

/** The rows of a node's value as lists of what is not zero. */
export interface Lists {
  readonly events: Buffer;
  readonly spans: Buffer;
  readonly features: number;
}

/** An array, to be read as (x - mean) * scale + bias where it has an affine part. */
export interface Operand {
  readonly array: Buffer;
  readonly affine: { readonly mean: Buffer; readonly scale: Buffer; readonly bias: Buffer } | null;
}

interface Mask {
  readonly bits: Buffer;
  readonly p: number;
}

/** A node's value, in the forms that were asked for so far. */
interface Value {
  readonly features: number;
  readonly time: boolean;
  array: Buffer | null;
  /** The value before a normalisation that whoever reads it applies. */
  raw: Operand | null;
  lists: Lists | null;
  /** The value is another node's times a dropout mask. */
  masked: { readonly input: NodeId; readonly mask: Mask } | null;
  /** Which elements of this value's cotangent matter; null: all. */
  gates: Lists | null;
}

/** Builds the calls of one pass through a graph, and of the way back. */
export class Network {
  readonly k: Kernels;
  readonly program: ProgramBuilder;
  readonly store: Store;
  readonly variant: Variant;
  readonly graph: Graph;
  readonly lengths: Argument;
  /** How many valid steps, or samples, each chunk has. */
  readonly stepCounts: Buffer;
  readonly sampleCounts: Buffer;
  private readonly neuronsOf: (node: PopulationNode | ReadoutNode, affine: readonly boolean[]) => NeuronKernels;
  private readonly values = new Map<NodeId, Value>();
  private readonly norms = new Map<NodeId, Normalization>();
  private readonly layers = new Map<NodeId, Layer[]>();
  private readonly cotangents = new Map<NodeId, Buffer>();
  private readonly trained: ReadonlySet<NodeId>;

  constructor(
    graph: Graph,
    k: Kernels,
    program: ProgramBuilder,
    store: Store,
    variant: Variant,
    neuronsOf: Network['neuronsOf'],
  ) {
    this.graph = graph;
    this.k = k;
    this.program = program;
    this.store = store;
    this.variant = variant;
    this.neuronsOf = neuronsOf;
    this.trained = dependents(graph);
    this.lengths = variant.lengths ? program.input('lengths', variant.shape.B * 4) : 0;
    this.stepCounts = program.input('stepCounts', variant.shape.chunks * 4);
    this.sampleCounts = program.input('sampleCounts', variant.shape.chunks * 4);
    for (const node of graph.nodes) this.values.set(node.id, this.forward(node));
  }

  // What others need to know

  rows(time: boolean) {
    return rowsOf(this.variant.shape, time);
  }

  array(name: string, features: number, time: boolean): Buffer {
    return this.program.buffer(name, arrayBytes(rowCount(this.variant.shape, time), features));
  }

  rowCount(time: boolean): number {
    return rowCount(this.variant.shape, time);
  }

  /** A value as a plain array [rows, features]. */
  arrayOf(id: NodeId): Buffer {
    const value = this.valueOf(id);
    value.array ??= this.materialize(id, value);
    return value.array;
  }

  /** A value's lists, where something asked for them. */
  knownLists(id: NodeId): Lists | null {
    return this.valueOf(id).lists;
  }

  timeOf(id: NodeId): boolean {
    return this.valueOf(id).time;
  }

  featuresOf(id: NodeId): number {
    return this.valueOf(id).features;
  }

  lengthsFor(time: boolean): Argument {
    return time ? this.lengths : 0;
  }

  /** The cotangent of a node so far, zero where there is none. */
  cotangentOf(id: NodeId): Buffer {
    const known = this.cotangents.get(id);
    if (known) return known;
    const { features, time } = this.valueOf(id);
    const buffer = this.array(`d ${id}`, features, time);
    this.combine('zero', features, time, { x: buffer, y: buffer });
    this.cotangents.set(id, buffer);
    return buffer;
  }

  /** A buffer for the cotangent of a node that has none yet. */
  freshCotangent(id: NodeId): Buffer {
    const { features, time } = this.valueOf(id);
    const buffer = this.array(`d ${id}`, features, time);
    this.cotangents.set(id, buffer);
    return buffer;
  }

  combine(operation: 'add' | 'copy' | 'zero', features: number, time: boolean, args: { x: Buffer; y: Buffer }): void {
    const all = { rows: this.rowCount(time), ...args, ...this.rows(time) };
    this.program.call(combineKernel(this.k, features, operation), this.variant.shape.chunks, all);
  }

  /** Lists the non-zeros of an array. */
  list(name: string, array: Buffer, features: number, time: boolean, mask: Mask | null = null): Lists {
    const lists = this.newLists(name, features, time);
    this.program.call(listKernel(this.k, features, mask?.p ?? null), this.variant.shape.chunks, {
      source: array,
      mask: mask?.bits ?? 0,
      rows: this.rowCount(time),
      events: lists.events,
      spans: lists.spans,
      ...this.rows(time),
    });
    return lists;
  }

  newLists(name: string, features: number, time: boolean, bytesEach = eventBytes): Lists {
    const { chunks, group, T } = this.variant.shape;
    const bytes = chunks * group * (time ? T : 1) * padded(features) * bytesEach;
    return {
      events: this.program.buffer(`events of ${name}`, bytes),
      spans: this.program.buffer(`spans of ${name}`, this.rowCount(time) * spanBytes),
      features,
    };
  }

  /** gradient += lists^T d, for weights [lists.features, features]. */
  weightGradient(
    name: string,
    lists: Lists,
    d: Buffer,
    features: number,
    time: boolean,
    gradient: Buffer,
    accumulate: boolean,
  ): void {
    const { chunks } = this.variant.shape;
    const sorted = this.program.buffer(`sorted events of ${name}`, lists.events.bytes);
    const starts = this.program.buffer(`starts of ${name}`, chunks * startsWords(lists.features) * 4);
    this.program.call(sortKernel(this.k, lists.features), chunks, { ...lists, sorted, starts, ...this.rows(time) });
    const parts = Math.ceil(lists.features / inputsPerItem(lists.features));
    this.program.call(weightGradientKernel(this.k, lists.features, features), parts * panelsOf(features).count, {
      gradient,
      d,
      dRows: this.rowCount(time),
      starts,
      sorted,
      chunks,
      accumulate: accumulate ? 1 : 0,
    });
  }

  place(
    source: { array: Buffer; features: number; from: number },
    target: { array: Buffer; features: number; to: number },
    count: number,
    time: boolean,
    options: { reversed?: boolean; accumulate?: boolean } = {},
  ): void {
    this.program.call(placeKernel(this.k), this.variant.shape.chunks, {
      source: source.array,
      sourceFeatures: source.features,
      from: source.from,
      target: target.array,
      targetFeatures: target.features,
      to: target.to,
      count,
      rows: this.rowCount(time),
      reversed: options.reversed ? 1 : 0,
      accumulate: options.accumulate ? 1 : 0,
      lengths: this.lengths,
      ...this.rows(time),
    });
  }

  /** The host's row-major [B, T, features] (or [B, features] at row 0 of the samples) into an array. */
  unpack(source: Buffer, target: Buffer, features: number, time: boolean, initial = false): void {
    const rows = initial ? { ...this.rows(true), T: 1, first: 0 } : this.rows(time);
    const all = { source, target, rows: this.rowCount(time), features, ...rows };
    this.program.call(unpackKernel(this.k), this.variant.shape.chunks, all);
  }

  // Forward

  private forward(node: GraphNode): Value {
    this.program.layer = layerOf(this.graph, node);
    const base: Value = {
      features: node.type.features,
      time: node.type.time,
      array: null,
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
    };
    this.program.call(importEvents(this.k), shape.chunks, {
      offsets: this.program.input('offsets', (shape.B * shape.T + 1) * 4),
      units: this.program.input('units', events * 2),
      counts: this.program.input('counts', events * 4),
      events: lists.events,
      spans: lists.spans,
      ...this.rows(true),
    });
    return { lists };
  }

  private listsOf(id: NodeId): Lists {
    const value = this.valueOf(id);
    const { masked } = value;
    // Masked spikes are listed as they are multiplied; nothing else may need them as an array.
    value.lists ??=
      masked && !value.array
        ? this.list(id, this.arrayOf(masked.input), value.features, value.time, masked.mask)
        : this.list(id, this.arrayOf(id), value.features, value.time);
    return value.lists;
  }

  private projection(node: ProjectionNode): Partial<Value> {
    const { features, time } = node.type;
    const lists = this.listsOf(node.input);
    const x = this.array(`product ${node.id}`, features, time);
    const norm = normalize(this, node, x, {
      weights: this.store.parameter(node.weight),
      inputs: matrixRows(lists.features),
      x,
      rows: this.rowCount(time),
      spans: lists.spans,
      events: lists.events,
      ...this.rows(time),
    });
    this.norms.set(node.id, norm);
    return norm.value;
  }

  private population(node: PopulationNode): Partial<Value> {
    const inputs = node.inputs.map((id) => this.rawOrArray(id));
    const kernels = this.neuronsOf(
      node,
      inputs.map((i) => i.affine !== null),
    );
    const directions = node.bidirectional ? [0, 1] : [0];
    const layers = directions.map((direction) => {
      const own = inputs.map((input) =>
        direction === 0 ? input : { ...input, array: this.reversed(input.array, node.size) },
      );
      return new Layer(this, node, kernels, own, direction);
    });
    this.layers.set(node.id, layers);
    if (!node.bidirectional) return { array: layers[0].output, gates: layers[0].gates };
    const array = this.array(`both directions of ${node.id}`, 2 * node.size, true);
    layers.forEach((layer, direction) => {
      const target = { array, features: 2 * node.size, to: direction * node.size };
      this.place({ array: layer.output, features: node.size, from: 0 }, target, node.size, true, {
        reversed: direction === 1,
      });
    });
    return { array };
  }

  private reversed(array: Buffer, features: number): Buffer {
    const turned = this.array(`reversed ${array.name}`, features, true);
    this.place({ array, features, from: 0 }, { array: turned, features, to: 0 }, features, true, { reversed: true });
    return turned;
  }

  private rawOrArray(id: NodeId): Operand {
    const value = this.valueOf(id);
    return value.raw ?? { array: this.arrayOf(id), affine: null };
  }

  private dropout(node: DropoutNode): Partial<Value> {
    const input = this.valueOf(node.input);
    if (!this.variant.training) return input;
    return { masked: { input: node.input, mask: this.maskOf(node) }, gates: input.gates };
  }

  private readonly masks = new Map<NodeId, Mask>();

  private maskOf(node: DropoutNode): Mask {
    const known = this.masks.get(node.id);
    if (known) return known;
    const { features, time } = node.type;
    const { B, T, chunks } = this.variant.shape;
    const rows = { rows: this.rowCount(time), ...this.rows(time) };
    const mask = this.program.buffer(`mask ${node.id}`, maskBytes(this.rowCount(time), features));
    if (this.variant.drawsMasks && drawsMask(node)) {
      const keys = this.program.input(`keys of mask ${node.id}`, B * 8);
      this.program.call(maskKernel(this.k, features, node.p), chunks, { keys, mask, ...rows });
    } else {
      const source = this.program.input(`mask ${node.id}`, B * (time ? T : 1) * features * 4);
      this.program.call(packMaskKernel(this.k, features), chunks, { source, mask, ...rows });
    }
    const made = { bits: mask, p: node.p };
    this.masks.set(node.id, made);
    return made;
  }

  /** y = x * mask. */
  private applyMask(x: Buffer, y: Buffer, { bits, p }: Mask, features: number, time: boolean): void {
    const rows = { rows: this.rowCount(time), ...this.rows(time) };
    this.program.call(applyMaskKernel(this.k, features, p), this.variant.shape.chunks, { x, y, mask: bits, ...rows });
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
    const input = this.rawOrArray(node.input);
    const kernels = this.neuronsOf(node, [input.affine !== null]);
    const layer = new Layer(this, node, kernels, [input], 0);
    this.layers.set(node.id, [layer]);
    const pooled = this.array(node.id, node.type.features, false);
    this.lastStep(layer.output, pooled, node.type.features, false);
    return pooled;
  }

  private lastStep(sequence: Buffer, pooled: Buffer, features: number, back: boolean): void {
    this.program.call(lastStepKernel(this.k, back), this.variant.shape.chunks, {
      sequence,
      rows: this.rowCount(true),
      pooled,
      pooledRows: this.rowCount(false),
      features,
      lengths: this.lengths,
      ...this.rows(true),
    });
  }

  private materialize(id: NodeId, value: Value): Buffer {
    if (value.masked) return this.multiply(id, value);
    return value.raw ? this.normalize(id, value) : this.scatter(id, value);
  }

  private multiply(id: NodeId, { masked, features, time }: Value): Buffer {
    const { input, mask } = masked!;
    const y = this.array(id, features, time);
    this.applyMask(this.arrayOf(input), y, mask, features, time);
    return y;
  }

  private normalize(id: NodeId, value: Value): Buffer {
    const { array, affine } = value.raw!;
    const y = this.array(id, value.features, value.time);
    const rows = { rows: this.rowCount(value.time), ...this.rows(value.time) };
    this.program.call(affineKernel(this.k, value.features), this.variant.shape.chunks, {
      x: array,
      y,
      ...affine!,
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

  private valueOf(id: NodeId): Value {
    const value = this.values.get(id);
    if (!value) throw new Error(`node "${id}" is read before it is computed`);
    return value;
  }

  // Backward

  /** From the cotangents of some nodes to the gradients of all parameters; `before` may add to a node's cotangent. */
  backward(before: (id: NodeId) => void): void {
    for (const node of this.graph.nodes.toReversed()) {
      before(node.id);
      const d = this.cotangents.get(node.id);
      if (d && this.trained.has(node.id)) this.pullback(node, d);
    }
  }

  private pullback(node: GraphNode, d: Buffer): void {
    this.program.layer = layerOf(this.graph, node);
    switch (node.kind) {
      case 'source':
        return;
      case 'projection':
        return this.projectionBack(node, d);
      case 'population':
        return this.populationBack(node, d);
      case 'dropout':
        return this.dropoutBack(node, d);
      case 'merge':
        return this.mergeBack(node, d);
      case 'readout':
        return this.readoutBack(node, d);
    }
  }

  private projectionBack(node: ProjectionNode, d: Buffer): void {
    const { features, time } = node.type;
    this.norms.get(node.id)!.backward(d, this.cotangentSums.get(node.id) ?? null);
    if (this.store.isTrained(node.weight)) {
      const gradient = this.store.gradient(node.weight);
      this.weightGradient(node.id, this.listsOf(node.input), d, features, time, gradient, false);
    }
    if (!this.trained.has(node.input)) return;
    const known = this.cotangents.get(node.input);
    const { features: inputs, gates } = this.valueOf(node.input);
    const args = {
      weights: this.store.parameter(node.weight),
      d,
      dRows: this.rowCount(time),
      x: known ?? this.freshCotangent(node.input),
      xRows: this.rowCount(time),
      accumulate: known ? 1 : 0,
      ...this.rows(time),
    };
    const { chunks } = this.variant.shape;
    if (!gates) this.program.call(inputGradientKernel(this.k, inputs, features), chunks, args);
    else {
      const scratch = this.program.buffer(`scratch of ${node.id}`, chunks * scratchBytes(inputs));
      const mask = known ? null : this.maskForOnly(node);
      if (mask) this.maskedAlready.add(node.input);
      const kernel = gatedInputGradientKernel(this.k, inputs, features, mask?.p ?? null);
      this.program.call(kernel, chunks, { ...args, ...gates, scratch, mask: mask?.bits ?? 0 });
    }
  }

  /** Sums over the cotangents of normalised products that were made along with them. */
  private readonly cotangentSums = new Map<NodeId, Buffer>();

  /** Dropouts whose cotangent was multiplied by the mask when it was computed. */
  private readonly maskedAlready = new Set<NodeId>();

  /** The mask of the dropout before a projection, where nothing else (another reader, the regulariser) adds to its cotangent. */
  private maskForOnly(projection: ProjectionNode): Mask | null {
    if (this.graph.loss.regularizer) return null;
    const input = this.graph.nodes.find((n) => n.id === projection.input);
    return input?.kind === 'dropout' && this.readersOf(input.id) === 1 ? this.maskOf(input) : null;
  }

  private readersOf(id: NodeId): number {
    return this.graph.nodes.flatMap(inputsOf).filter((input) => input === id).length;
  }

  private populationBack(node: PopulationNode, d: Buffer): void {
    const layers = this.layers.get(node.id)!;
    const { size } = node;
    layers.forEach((layer, direction) => {
      if (!node.bidirectional) {
        layer.backward(d);
        return;
      }
      const own = this.array(`d ${node.id} ${direction}`, size, true);
      const source = { array: d, features: 2 * size, from: direction * size };
      this.place(source, { array: own, features: size, to: 0 }, size, true, { reversed: direction === 1 });
      layer.backward(own);
    });
    Layer.gradients(this, node, layers);
    node.inputs.forEach((id, i) => {
      layers.forEach((layer, direction) => {
        const known = this.cotangents.get(id);
        if (direction === 0 && !known) {
          this.cotangents.set(id, layer.inputCotangents[i]);
          const sums = layer.inputSums.get(i);
          if (sums && !node.bidirectional && this.readersOf(id) === 1) this.cotangentSums.set(id, sums);
        } else if (direction === 0) this.combine('add', size, true, { x: layer.inputCotangents[i], y: known! });
        else {
          const source = { array: layer.inputCotangents[i], features: size, from: 0 };
          this.place(source, { array: known!, features: size, to: 0 }, size, true, {
            reversed: true,
            accumulate: true,
          });
        }
      });
    });
  }

  private dropoutBack(node: DropoutNode, d: Buffer): void {
    const { features, time } = node.type;
    if (!this.maskedAlready.has(node.id)) this.applyMask(d, d, this.maskOf(node), features, time);
    this.passOn(node.input, d, features, time);
  }

  /** Hands a cotangent that nobody else needs to a node. */
  private passOn(id: NodeId, d: Buffer, features: number, time: boolean): void {
    const known = this.cotangents.get(id);
    if (known) this.combine('add', features, time, { x: d, y: known });
    else this.cotangents.set(id, d);
  }

  private mergeBack(node: MergeNode, d: Buffer): void {
    const { features, time } = node.type;
    let from = 0;
    for (const id of node.inputs) {
      const size = this.featuresOf(id);
      if (this.trained.has(id)) {
        const known = this.cotangents.get(id);
        const target = known ?? this.freshCotangent(id);
        if (node.operation === 'add') this.combine(known ? 'add' : 'copy', features, time, { x: d, y: target });
        else
          this.place({ array: d, features, from }, { array: target, features: size, to: 0 }, size, time, {
            accumulate: !!known,
          });
      }
      from += size;
    }
  }

  private readoutBack(node: ReadoutNode, d: Buffer): void {
    const { features } = node.type;
    const [layer] = this.layers.get(node.id)!;
    const spread = this.array(`d steps of ${node.id}`, features, true);
    this.lastStep(spread, d, features, true);
    layer.backward(spread);
    this.passOn(node.input, layer.inputCotangents[0], features, true);
  }
}

function inputsOf(node: GraphNode): readonly NodeId[] {
  if (node.kind === 'source') return [];
  return 'inputs' in node ? node.inputs : [node.input];
}

/** Nodes whose value depends on a trainable parameter: only their cotangents are wanted. */
function dependents(graph: Graph): ReadonlySet<NodeId> {
  const trainable = new Set(graph.parameters.filter((p) => p.trainable).map((p) => p.key));
  const ids = new Set<NodeId>();
  for (const node of graph.nodes) {
    const own =
      node.kind === 'projection' ? [node.weight] : node.kind === 'population' ? Object.values(node.parameters) : [];
    if (own.some((key) => trainable.has(key)) || inputsOf(node).some((id) => ids.has(id))) ids.add(node.id);
  }
  return ids;
}
