import {
  type Graph,
  type GraphNode,
  nodeById,
  type Parameter,
  type ParameterRole,
  type ProjectionNode,
} from '../ir/graph.ts';
import type { ValueSet } from '../ir/step.ts';
import { toExactSums } from './exactSums.ts';
import { foldBatchnorm } from './foldBatchnorm.ts';

export type Values = ReadonlyMap<string, Float32Array>;
export type NamedValues = Iterable<readonly [key: string, values: Float32Array]>;

/** A node of the deployed graph with the parameters that are made for it. */
export interface Part {
  readonly node: GraphNode;
  readonly parameters: readonly Parameter[];
  readonly values: (parameters: Values) => NamedValues;
}

export interface DeployContext {
  readonly graph: Graph;
  /** Whether spiking neurons are ahead of the node. */
  readonly isExact: boolean;
}

/** y = weight x + bias, weight [out, in]. */
export type Affine = ReturnType<typeof foldBatchnorm>;

/** `hasValues`: false where the values come from elsewhere. */
export function deployProjection(context: DeployContext, node: ProjectionNode, hasValues: boolean): Part {
  const isFolded = node.norm.kind === 'batchnorm';
  const weight = context.graph.parameters.find(({ key }) => key === node.weight) as Parameter;
  const [outputs] = weight.shape;
  const bias = biasOf(node);
  const parameter = (key: string, shape: readonly number[], role: ParameterRole) =>
    madeParameter(weight.layer, key, shape, role);
  return {
    node: {
      ...node,
      bias,
      norm: isFolded ? { kind: 'none' } : node.norm,
      inDouble: context.isExact && inputSet(context, node) === 'real',
    },
    parameters: [parameter(node.weight, weight.shape, 'weight'), ...(bias ? [parameter(bias, [outputs], 'bias')] : [])],
    values: (parameters) => {
      if (!hasValues) return [];
      const affine = foldBatchnorm(node, (key) => parameters.get(key) as Float32Array);
      return projectionValues(context, node, affine, outputs);
    },
  };
}

/** What the parameters of a projection become: multiples of a power of two where sums are to be exact. */
export function projectionValues(
  context: DeployContext,
  node: ProjectionNode,
  { weight, bias }: Affine,
  outputs: number,
): NamedValues {
  const set = inputSet(context, node);
  if (!context.isExact || set === 'real') {
    return namedValues(node, new Float32Array(weight), bias && new Float32Array(bias));
  }
  const exact = toExactSums(weight, bias, outputs, set === 'count' ? 4 : 1);
  return namedValues(node, exact.matrix, exact.bias);
}

export function namedValues(node: ProjectionNode, weight: Float32Array, bias: Float32Array | null): NamedValues {
  const key = biasOf(node);
  return [[node.weight, weight], ...(key && bias ? [[key, bias] as const] : [])];
}

/** The key of the bias that a projection has in the deployed graph. */
const biasOf = (node: ProjectionNode): string | null =>
  node.bias || node.norm.kind === 'batchnorm' ? `${node.id}.bias` : null;

export const inputSet = ({ graph }: DeployContext, { input }: ProjectionNode): ValueSet =>
  nodeById(graph, input).type.set;

export function madeParameter(layer: string, key: string, shape: readonly number[], role: ParameterRole): Parameter {
  return { key, layer, role, shape, initializer: { kind: 'constant', value: 0 }, trainable: false };
}
