import type { ProjectionNode } from '../../../ir/graph.ts';
import type { Tensor } from '../ops.ts';
import type { Context, NodeResult } from './node.ts';
import { normalize } from './norm.ts';

/** y = norm(x W^T + bias), all time steps in one product. */
export function projection(node: ProjectionNode, [x]: readonly Tensor[], context: Context): NodeResult {
  const { ops } = context;
  const { tf } = ops;
  const weight = context.parameter(node.weight);
  const current = tf.tidy(() => {
    const product = ops.productTransposed(x, weight);
    return node.bias ? tf.add(product, context.parameter(node.bias)) : product;
  });
  const normalized = normalize(node.norm, current, node.type.time, context);
  if (normalized.value !== current) current.dispose();
  return {
    value: normalized.value,
    saved: normalized.saved,
    pullback(cotangent, needsInput) {
      const norm = normalized.pullback(cotangent);
      const parameters = new Map(norm.parameters);
      parameters.set(node.weight, ops.outer(norm.input, x));
      if (node.bias) parameters.set(node.bias, ops.sumOfRows(norm.input));
      return { inputs: [needsInput ? ops.product(norm.input, weight) : null], parameters };
    },
  };
}
