import type { DropoutNode } from '../../../ir/graph.ts';
import type { Tensor } from '../ops.ts';
import { type Context, type NodeResult, noParameters } from './node.ts';

/** Multiplies by the mask in training; the identity in evaluation. */
export function dropout(node: DropoutNode, [x]: readonly Tensor[], context: Context): NodeResult {
  const { tf } = context.ops;
  if (!context.training) return { value: x, saved: [], pullback: (g) => ({ inputs: [g], parameters: noParameters }) };
  const mask = context.dropoutMask(node);
  return {
    value: tf.mul(x, mask),
    saved: [mask],
    pullback: (cotangent) => ({ inputs: [tf.mul(cotangent, mask)], parameters: noParameters }),
  };
}
