import type { PopulationNode } from '../../../ir/graph.ts';
import type { Tensor } from '../ops.ts';
import type { Tape } from '../recurrence.ts';
import type { Context, NodeResult } from './node.ts';

/**
 * A layer of neurons. A bidirectional one runs the reversed sequences as further rows of the same loop and concatenates
 * [forward | un-reversed backward] on the feature axis.
 */
export function population(node: PopulationNode, inputs: readonly Tensor[], context: Context): NodeResult {
  const { ops } = context;
  const recurrence = context.recurrence(node.step);
  const keys = node.parameters;
  const parameters = new Map(node.step.parameters.map((p) => [p.name, context.parameter(keys[p.name])]));
  const rows = node.bidirectional ? inputs.map((x) => withReversedRows(x, context)) : inputs;
  const initialStates = context.initialStates(node);
  const { output, tape } = recurrence.forward(ops, { inputs: rows, parameters, initialStates }, context.training);
  return {
    value: node.bidirectional ? rowsToFeatures(output, context) : output,
    saved: tape ? tensorsOf(tape, inputs) : [],
    pullback(cotangent) {
      const ofOutput = node.bidirectional ? featuresToRows(cotangent, context) : cotangent;
      const gradients = recurrence.backward(ops, tape as Tape, ofOutput);
      const ofInputs = node.bidirectional ? gradients.inputs.map((g) => addReversedRows(g, context)) : gradients.inputs;
      return {
        inputs: ofInputs,
        parameters: new Map([...gradients.parameters].map(([name, g]) => [keys[name], g])),
      };
    },
  };
}

/** The tensors of a tape that belong to it alone. */
function tensorsOf(tape: Tape, inputs: readonly Tensor[]): Tensor[] {
  return [...tape.whole.values(), ...[...tape.steps.values()].flat()].filter((t) => !inputs.includes(t));
}

/** [time, batch, features] -> [time, 2 * batch, features]. */
function withReversedRows(x: Tensor, { ops, padding }: Context): Tensor {
  return ops.tf.tidy(() => ops.tf.concat([x, padding.reverse(x)], 1));
}

/** The adjoint of `withReversedRows`. */
function addReversedRows(g: Tensor, { ops, padding }: Context): Tensor {
  const [forward, backward] = ops.tf.split(g, 2, 1);
  return ops.tf.add(forward, padding.reverse(backward));
}

/** [time, 2 * batch, features] -> [time, batch, 2 * features]. */
function rowsToFeatures(output: Tensor, { ops, padding }: Context): Tensor {
  return ops.tf.tidy(() => {
    const [forward, backward] = ops.tf.split(output, 2, 1);
    return ops.tf.concat([forward, padding.reverse(backward)], 2);
  });
}

/** The adjoint of `rowsToFeatures`. */
function featuresToRows(g: Tensor, { ops, padding }: Context): Tensor {
  const [forward, backward] = ops.tf.split(g, 2, 2);
  return ops.tf.concat([forward, padding.reverse(backward)], 1);
}
