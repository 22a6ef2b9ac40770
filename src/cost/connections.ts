import { evaluate } from '../ir/evaluate.ts';
import { type Graph, nodeById, type PopulationNode, type ProjectionNode } from '../ir/graph.ts';
import type { Tensors } from '../targets/target.ts';
import { fanOutOf } from './count.ts';
import type { RecurrentProduct } from './probes.ts';

/** A matrix of connections [outputs, inputs], as it is used. */
export interface Matrix {
  readonly outputs: number;
  /** How many weights of each input are not 0. */
  readonly fanOut: Int32Array;
}

export function projectionMatrix(graph: Graph, node: ProjectionNode, weights: Tensors): Matrix {
  const inputs = nodeById(graph, node.input).type.features;
  return { outputs: node.type.features, fanOut: fanOutOf(weights.get(node.weight) as Float32Array, inputs) };
}

/** The matrix after the prelude, which may have removed the connections of neurons with themselves. */
export function recurrentMatrix({ population, matrix }: RecurrentProduct, weights: Tensors): Matrix {
  const { size } = population;
  const values = preludeOf(population, weights).get(matrix.id) as Float64Array;
  return { outputs: size, fanOut: fanOutOf(values, size) };
}

function preludeOf({ step, size, parameters }: PopulationNode, weights: Tensors): Map<number, Float64Array> {
  const stored = (name: string) => Float64Array.from(weights.get(parameters[name]) as Float32Array);
  const values = new Map(step.parameters.map(({ name, variable }) => [variable.id, stored(name)]));
  evaluate(step.prelude, values, { rows: 1, features: size });
  return values;
}

/** The fraction of weights that are 0. */
export function connectionSparsity(matrices: readonly Matrix[]): number {
  const all = matrices.reduce((sum, { outputs, fanOut }) => sum + outputs * fanOut.length, 0);
  const used = matrices.reduce((sum, { fanOut }) => sum + fanOut.reduce((a, b) => a + b, 0), 0);
  return (all - used) / all;
}
