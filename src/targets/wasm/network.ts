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
import type { Mask } from './arrays.ts';
import type { Buffer } from './call.ts';
import { ForwardPass } from './forwardPass.ts';
import { gatedInputGradientKernel, inputGradientKernel, scratchBytes } from './kernels/dots.ts';
import { Layer } from './layer.ts';

/** Builds the calls of one pass through a graph, and of the way back. */
export class Network extends ForwardPass {
  private readonly trained: ReadonlySet<NodeId> = dependents(this.graph);
  private readonly cotangents = new Map<NodeId, Buffer>();
  /** Sums over the cotangents of normalised products that were made along with them. */
  private readonly cotangentSums = new Map<NodeId, Buffer>();
  /** Dropouts whose cotangent was multiplied by the mask when it was computed. */
  private readonly maskedAlready = new Set<NodeId>();

  /** From the cotangents of some nodes to the gradients of all parameters; `before` may add to a node's cotangent. */
  backward(before: (id: NodeId) => void): void {
    for (const node of this.graph.nodes.toReversed()) {
      before(node.id);
      const d = this.cotangents.get(node.id);
      if (d && this.trained.has(node.id)) this.pullback(node, d);
    }
  }

  /** The cotangent of a node so far, zero where there is none. */
  cotangentOf(id: NodeId): Buffer {
    const known = this.cotangents.get(id);
    if (known) return known;
    const { features, time } = this.valueFor(id);
    const buffer = this.array(`d ${id}`, features, time);
    this.combine('zero', features, time, { x: buffer, y: buffer });
    this.cotangents.set(id, buffer);
    return buffer;
  }

  /** A buffer for the cotangent of a node that has none yet. */
  freshCotangent(id: NodeId): Buffer {
    const { features, time } = this.valueFor(id);
    const buffer = this.array(`d ${id}`, features, time);
    this.cotangents.set(id, buffer);
    return buffer;
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
      this.weightGradient(this.listsOf(node.input), d, features, time, gradient, false);
    }
    if (!this.trained.has(node.input)) return;
    const known = this.cotangents.get(node.input);
    const { features: inputs, gates } = this.valueFor(node.input);
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
      this.program.unevenCall(kernel, chunks, {
        ...args,
        events: gates.events,
        spans: gates.spans,
        scratch,
        mask: mask?.bits ?? 0,
      });
    }
  }

  /** The mask of the dropout before a projection, where nothing else (another reader, the regulariser) adds to its cotangent. */
  private maskForOnly(projection: ProjectionNode): Mask | null {
    if (this.graph.loss.regularizer) return null;
    const input = this.graph.nodes.find((n) => n.id === projection.input);
    return input?.kind === 'dropout' && this.readersOf(input.id) === 1 ? this.maskOf(input) : null;
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
