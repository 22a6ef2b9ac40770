import type { Norm, ProjectionNode } from '../../ir/graph.ts';
import { foldBatchnorm } from '../foldBatchnorm.ts';
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
  const affine = foldBatchnorm(node, (key) => parameters.values(key));
  const [rows, columns] = parameters.shape(node.weight);
  const weight = builder.tensor(`${node.weight}.T`, [columns, rows], transposed(affine.weight, rows, columns));
  const product = builder.op('MatMul', [x, weight], `${node.id}.product`);
  const bias = affine.bias && builder.tensor(`${node.id}.bias`, [rows], Float32Array.from(affine.bias));
  const biased = bias ? builder.op('Add', [product, bias], `${node.id}.biased`) : product;
  return node.norm.kind === 'batchnorm' ? biased : emitNorm(builder, parameters, node, node.norm, biased);
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
