import { type Batch, toDense } from '../data/batch.ts';
import { type Graph, type GraphNode, type NodeId, nodeById } from '../ir/graph.ts';
import { type Context, merge, projection, type Values } from '../targets/reference/nodes.ts';
import { Sequence, Validity } from '../targets/reference/sequence.ts';
import { readout } from '../targets/reference/steps.ts';
import type { Tensors } from '../targets/target.ts';
import type { Columns } from './count.ts';

/**
 * The values of nodes on one batch, in evaluation mode. Those of populations are recorded; the few others that a
 * projection may read (merged layers, pooled sequences, projections of projections) are computed from them.
 */
export class NodeValues {
  private readonly graph: Graph;
  private readonly traces: Tensors;
  private readonly batch: Batch;
  private readonly context: Context;
  private readonly computed = new Map<NodeId, Sequence>();

  constructor(graph: Graph, parameters: Values, traces: Tensors, batch: Batch) {
    const validity = new Validity(batch);
    this.graph = graph;
    this.traces = traces;
    this.batch = batch;
    this.context = { parameters, gradients: new Map(), running: new Map(), validity, training: false };
  }

  columns(id: NodeId): Columns {
    const node = nodeById(this.graph, id);
    if (node.kind === 'dropout') return this.columns(node.input);
    const { features, time } = node.type;
    return {
      values: this.values(node),
      steps: time ? this.batch.steps : 1,
      stride: features,
      first: 0,
      width: features,
    };
  }

  /** What a trace holds, of one direction of a layer. */
  direction(trace: string, size: number, directions: number, direction: number): Columns {
    const stride = size * directions;
    return { values: this.trace(trace), steps: this.batch.steps, stride, first: direction * size, width: size };
  }

  private values(node: GraphNode): Float32Array {
    if (node.kind === 'source') return toDense(this.batch);
    if (node.kind === 'population') return this.trace(node.layer);
    return this.sequence(node.id).toBatchMajor();
  }

  private trace(name: string): Float32Array {
    return this.traces.get(name) as Float32Array;
  }

  private sequence(id: NodeId): Sequence {
    const sequence = this.computed.get(id) ?? this.compute(id);
    this.computed.set(id, sequence);
    return sequence;
  }

  private compute(id: NodeId): Sequence {
    const node = nodeById(this.graph, id);
    const { context, batch } = this;
    switch (node.kind) {
      case 'source':
        return Sequence.fromBatch(batch);
      case 'population':
        return Sequence.fromBatchMajor(this.trace(node.layer), batch.size, batch.steps, node.type.features);
      case 'dropout':
        return this.sequence(node.input);
      case 'merge': {
        const inputs = node.inputs.map((input) => this.sequence(input));
        return merge(node, inputs).value;
      }
      case 'projection':
        return projection(node, this.sequence(node.input), context).value;
      case 'readout':
        return readout(node, this.sequence(node.input), context, {}).value;
    }
  }
}
