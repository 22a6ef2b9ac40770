import { type Graph, type GraphNode, inputsOf, type NodeId, type Parameter } from '../../ir/graph.ts';
import { dropout } from './nodes/dropout.ts';
import { merge } from './nodes/merge.ts';
import type { Context, NodeResult } from './nodes/node.ts';
import { population } from './nodes/population.ts';
import { projection } from './nodes/projection.ts';
import { readout } from './nodes/readout.ts';
import type { Ops, Tensor } from './ops.ts';

export type Cotangents = Map<NodeId, Tensor>;

/** The nodes of a graph run on one batch: values by node, then, in training, gradients by parameter key. */
export class Network {
  private readonly graph: Graph;
  private readonly context: Context;
  private readonly results = new Map<NodeId, NodeResult>();

  /** Call inside `tf.tidy`, which frees what is left when it ends. `input` is the batch, time-major. */
  constructor(graph: Graph, input: Tensor, context: Context) {
    this.graph = graph;
    this.context = context;
    for (const node of graph.nodes) this.results.set(node.id, this.evaluate(node, input));
  }

  value(id: NodeId): Tensor {
    return this.result(id).value;
  }

  /** From the cotangents of some nodes to the gradients of all trainable parameters that they depend on. */
  backward(cotangents: Cotangents): Map<string, Tensor> {
    const { tf } = this.context.ops;
    const gradients = new Map<string, Tensor>();
    const differentiated = dependents(this.graph);
    for (const node of this.graph.nodes.toReversed()) {
      const cotangent = cotangents.get(node.id);
      if (cotangent && differentiated.has(node.id)) {
        const wanted = inputsOf(node).map((id) => differentiated.has(id));
        const { inputs, parameters } = this.pullback(node, cotangent, wanted.includes(true));
        cotangents.delete(node.id);
        inputs.forEach((g, i) => {
          if (g && wanted[i]) accumulate(this.context.ops, cotangents, inputsOf(node)[i], g);
        });
        for (const [key, g] of parameters) accumulate(this.context.ops, gradients, key, g);
        if (![...cotangents.values()].includes(cotangent)) tf.dispose(cotangent);
      }
      this.release(node);
    }
    return gradients;
  }

  private evaluate(node: GraphNode, input: Tensor): NodeResult {
    const inputs = inputsOf(node).map((id) => this.value(id));
    switch (node.kind) {
      case 'source':
        return { value: input, saved: [], pullback: () => ({ inputs: [], parameters: new Map() }) };
      case 'projection':
        return projection(node, inputs, this.context);
      case 'population':
        return population(node, inputs, this.context);
      case 'dropout':
        return dropout(node, inputs, this.context);
      case 'merge':
        return merge(node, inputs, this.context);
      case 'readout':
        return readout(node, inputs, this.context);
    }
  }

  private pullback(node: GraphNode, cotangent: Tensor, needsInput: boolean) {
    // tf.tidy looks for tensors to keep in arrays, not in maps.
    const { inputs, parameters } = this.context.ops.tf.tidy(() => {
      const contribution = this.result(node.id).pullback(cotangent, needsInput);
      return { inputs: contribution.inputs as Tensor[], parameters: [...contribution.parameters] };
    });
    return { inputs, parameters };
  }

  /** Frees a node's tensors; all that read them come later in the graph and have been differentiated before. */
  private release(node: GraphNode): void {
    const inputs = inputsOf(node).map((id) => this.value(id));
    const { value, saved } = this.result(node.id);
    this.context.ops.tf.dispose([value, ...saved].filter((t) => !inputs.includes(t)));
  }

  private result(id: NodeId): NodeResult {
    const result = this.results.get(id);
    if (!result) throw new Error(`node "${id}" is read before it is computed`);
    return result;
  }
}

/** Ids of the nodes whose value depends on a trainable parameter. */
function dependents(graph: Graph): Set<NodeId> {
  const trainable = new Set(graph.parameters.filter((p: Parameter) => p.trainable).map((p) => p.key));
  const ids = new Set<NodeId>();
  for (const node of graph.nodes) {
    if (hasTrainable(node, trainable) || inputsOf(node).some((id) => ids.has(id))) ids.add(node.id);
  }
  return ids;
}

/** A layer is frozen as a whole, so that a projection's weight speaks for its bias and norm. */
function hasTrainable(node: GraphNode, trainable: ReadonlySet<string>): boolean {
  if (node.kind === 'projection') return trainable.has(node.weight);
  return node.kind === 'population' && hasAny(node.parameters, trainable);
}

function hasAny(keys: Readonly<Record<string, string>>, among: ReadonlySet<string>): boolean {
  return Object.values(keys).some((key) => among.has(key));
}

function accumulate(ops: Ops, sums: Map<string, Tensor>, key: string, value: Tensor): void {
  const sum = sums.get(key);
  sums.set(key, sum ? ops.tf.add(sum, value) : value);
}
