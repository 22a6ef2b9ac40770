import type { ReadoutNode } from '../../../ir/graph.ts';
import type { Tensor } from '../ops.ts';
import type { Tape } from '../recurrence.ts';
import { type Context, type NodeResult, noParameters } from './node.ts';

/** Pools over time: the output of a step without parameters at each sample's last valid time step. */
export function readout(node: ReadoutNode, [x]: readonly Tensor[], context: Context): NodeResult {
  const { ops, padding } = context;
  const { tf } = ops;
  const recurrence = context.recurrence(node.step);
  const [, size, features] = x.shape;
  const initialStates = node.step.states.map(({ name, initializer }) => {
    if (initializer.kind !== 'constant') throw new Error(`state "${name}" of a readout starts at a random value`);
    return tf.fill([size, features as number], initializer.value);
  });
  const { output, tape } = recurrence.forward(
    ops,
    { inputs: [x], parameters: new Map(), initialStates },
    context.training,
  );
  return {
    value: tf.tidy(() => padding.last(output)),
    saved: tape ? [...tape.whole.values(), ...[...tape.steps.values()].flat()].filter((t) => t !== x) : [],
    pullback(cotangent) {
      const gradients = recurrence.backward(ops, tape as Tape, padding.atLast(cotangent));
      return { inputs: gradients.inputs, parameters: noParameters };
    },
  };
}
