import type { Norm, ProjectionNode } from '../../ir/graph.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { type ModelParameters, transposed } from './parameters.ts';

/** y = norm(x W^T + bias) on [time, batch, in] or [batch, in], in evaluation mode. */
export function emitProjection(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: ProjectionNode,
  x: Value,
  fold: boolean,
): Value {
  if (fold) return emitFolded(builder, parameters, node, x);
  const weight = builder.op('Transpose', [parameters.tensor(node.weight)], `${node.weight}.T`, { perm: [1, 0] });
  const product = builder.op('MatMul', [x, weight], `${node.id}.product`);
  const biased = node.bias ? builder.op('Add', [product, parameters.tensor(node.bias)], `${node.id}.biased`) : product;
  return emitNorm(builder, parameters, node, node.norm, biased);
}

function emitFolded(builder: GraphBuilder, parameters: ModelParameters, node: ProjectionNode, x: Value): Value {
  const affine = foldBatchnorm(parameters, node);
  const [rows, columns] = parameters.shape(node.weight);
  const weight = builder.tensor(`${node.weight}.T`, [columns, rows], transposed(affine.weight, rows, columns));
  const product = builder.op('MatMul', [x, weight], `${node.id}.product`);
  const bias = affine.bias && builder.tensor(`${node.id}.bias`, [rows], Float32Array.from(affine.bias));
  const biased = bias ? builder.op('Add', [product, bias], `${node.id}.biased`) : product;
  return node.norm.kind === 'batchnorm' ? biased : emitNorm(builder, parameters, node, node.norm, biased);
}

/** The weight [out, in] and bias that do what the projection and its batchnorm do together, in float64. */
function foldBatchnorm(
  parameters: ModelParameters,
  { weight, bias, norm }: ProjectionNode,
): { weight: ArrayLike<number>; bias: ArrayLike<number> | null } {
  const w = parameters.values(weight);
  const b = bias ? parameters.values(bias) : null;
  if (norm.kind !== 'batchnorm') return { weight: w, bias: b };
  const variance = parameters.values(norm.runningVar);
  const mean = parameters.values(norm.runningMean);
  const shift = parameters.values(norm.bias);
  const scale = Float64Array.from(parameters.values(norm.weight), (g, i) => g / Math.sqrt(variance[i] + norm.eps));
  const columns = parameters.shape(weight)[1];
  return {
    weight: Float64Array.from(w, (v, k) => v * scale[Math.floor(k / columns)]),
    bias: Float64Array.from(scale, (s, i) => ((b ? b[i] : 0) - mean[i]) * s + shift[i]),
  };
}

function emitNorm(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: ProjectionNode,
  norm: Norm,
  x: Value,
): Value {
  switch (norm.kind) {
    case 'none':
      return x;
    case 'layernorm': {
      const inputs = [x, parameters.tensor(norm.weight), parameters.tensor(norm.bias)];
      return builder.op('LayerNormalization', inputs, `${node.id}.norm`, { axis: -1, epsilon: { float: norm.eps } });
    }
    case 'batchnorm': {
      // BatchNormalization wants channels second: [time, batch, features] is seen as [time * batch, features].
      const flat = builder.op('Flatten', [x], `${node.id}.flat`, { axis: -1 });
      const statistics = [norm.weight, norm.bias, norm.runningMean, norm.runningVar];
      const inputs = [flat, ...statistics.map((key) => parameters.tensor(key))];
      const normed = builder.op('BatchNormalization', inputs, `${node.id}.normed`, { epsilon: { float: norm.eps } });
      return builder.op('Reshape', [normed, builder.op('Shape', [x], `${node.id}.shape`)], `${node.id}.norm`);
    }
  }
}
