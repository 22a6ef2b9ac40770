import type { MergeNode } from '../../../ir/graph.ts';
import type { Tensor } from '../ops.ts';
import { type Context, type NodeResult, noParameters } from './node.ts';

/** The sum of the inputs, or their concatenation on the feature axis. */
export function merge(node: MergeNode, inputs: readonly Tensor[], { ops }: Context): NodeResult {
  const { tf } = ops;
  if (node.operation === 'add') {
    return {
      value: tf.addN([...inputs]),
      saved: [],
      pullback: (cotangent) => ({ inputs: inputs.map(() => cotangent), parameters: noParameters }),
    };
  }
  const sizes = inputs.map((x) => x.shape.at(-1) as number);
  return {
    value: tf.concat([...inputs], -1),
    saved: [],
    pullback: (cotangent) => ({ inputs: tf.split(cotangent, sizes, -1), parameters: noParameters }),
  };
}
