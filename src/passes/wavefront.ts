import { type Graph, inputsOf, type NodeId, nodeById, type PopulationNode, type ProjectionNode } from '../ir/graph.ts';
import { primRules } from '../ir/primitives.ts';
import type { Eqn, Step, Var } from '../ir/step.ts';

/**
 * Two layers of the same neurons, one feeding the other, of a deployed graph. One loop can compute both: the first layer's
 * step t beside the second's step t - 1, with each equation over the neurons of both, and one product for the recurrence of
 * both layers and the way from one to the other.
 */
export interface Wavefront {
  readonly first: PopulationNode;
  readonly projection: ProjectionNode;
  readonly second: PopulationNode;
}

/** Each layer is in one of them at most. `isWorth` says for which number of neurons in both layers one loop is faster. */
export function findWavefronts(graph: Graph, isWorth: (neurons: number) => boolean): Wavefront[] {
  const taken = new Set<NodeId>();
  return graph.nodes.flatMap((node) => {
    const found = node.kind === 'population' && isWorth(2 * node.size) ? endingIn(graph, node) : null;
    if (!found || taken.has(found.first.id)) return [];
    for (const { id } of [found.first, found.second]) taken.add(id);
    return [found];
  });
}

function endingIn(graph: Graph, second: PopulationNode): Wavefront | null {
  const projection = nodeById(graph, second.inputs[0]);
  if (projection.kind !== 'projection' || projection.inDouble || projection.norm.kind !== 'none') return null;
  const first = beforeDropout(graph, projection.input);
  if (first.kind !== 'population' || first.size !== second.size || first.bidirectional || second.bidirectional)
    return null;
  const isReadOnce = graph.nodes.flatMap(inputsOf).filter((id) => id === projection.id).length === 1;
  const isSame = JSON.stringify(essence(first.step)) === JSON.stringify(essence(second.step));
  return isReadOnce && isSame && recurrenceOf(first.step) ? { first, projection, second } : null;
}

function beforeDropout(graph: Graph, id: NodeId): Graph['nodes'][number] {
  const node = nodeById(graph, id);
  return node.kind === 'dropout' ? beforeDropout(graph, node.input) : node;
}

/** What a step computes: for equal ones, the same variables mean the same. */
function essence({ inputs, parameters, states, body, output }: Step): unknown {
  return [
    inputs.map(({ variable }) => variable.id),
    parameters.map(({ name, variable }) => [name, variable]),
    states.map(({ name, before, after }) => [name, before, after]),
    body.map(({ out, prim, args }) => [out, prim, args]),
    output,
  ];
}

/** The product of spikes in a step that could be that of two layers. */
export interface SpikeRecurrence {
  readonly product: Eqn;
  readonly matrix: Var;
  /** The place among the states of the one that is multiplied, and is the output. */
  readonly state: number;
}

/**
 * Null where the step has other products, mixes its neurons in another way, or does anything with its input and the product
 * but adding them up first: then the input may as well be a part of the product.
 */
export function recurrenceOf({ inputs, states, body, output }: Step): SpikeRecurrence | null {
  const [product, ...others] = body.filter(({ prim }) => !primRules[prim].elementwise);
  if (product?.prim !== 'matvec' || others.length > 0 || inputs.length !== 1) return null;
  const [matrix, vector] = product.args;
  const state = states.findIndex(({ before, after }) => isSame(before, vector) && isSame(after, output));
  const readers = (v: Var) => body.filter(({ args }) => args.some((arg) => isSame(arg, v)));
  const sums = [...readers(inputs[0].variable), ...readers(product.out)];
  const isSum = sums.length === 2 && sums[0] === sums[1] && sums[0].prim === 'add';
  const areSpikes = output.kind === 'var' && output.type.set === 'spike';
  return isSum && areSpikes && state >= 0 ? { product, matrix: matrix as Var, state } : null;
}

function isSame(a: Eqn['args'][number], b: Eqn['args'][number]): boolean {
  return a.kind === 'var' && b.kind === 'var' && a.id === b.id;
}
