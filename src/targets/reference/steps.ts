import { atomValue, type Env, type EvaluateOptions, evaluate, overRows } from '../../ir/evaluate.ts';
import type { PopulationNode, ReadoutNode } from '../../ir/graph.ts';
import type { Step } from '../../ir/step.ts';
import { differentiate } from '../../passes/differentiate.ts';
import { type Context, type Forward, gradient } from './nodes.ts';
import { Sequence } from './sequence.ts';

/** The values of all variables at every time step, the output, and the way back. */
interface Run {
  readonly output: Sequence;
  readonly backward: (cotangent: Sequence) => Sequence[];
}

/** A layer of neurons; `initial` holds each state's [rows, size] by name for every direction. */
export function population(
  node: PopulationNode,
  currents: readonly Sequence[],
  initial: readonly ReadonlyMap<string, Float64Array>[],
  context: Context,
  options: EvaluateOptions,
): Forward {
  const { validity } = context;
  const keyOf = (name: string) => node.parameters[name];
  const reverse = (x: Sequence) => x.map((_, t, row, f) => x.get(validity.reversed(t, row), row, f));
  const forward = runStep(node.step, currents, initial[0], keyOf, context, options);
  if (!node.bidirectional) return { value: forward.output, backward: forward.backward };

  const backward = runStep(node.step, currents.map(reverse), initial[1], keyOf, context, options);
  const later = reverse(backward.output);
  const { steps, rows } = forward.output;
  const part = (x: Sequence, start: number) =>
    new Sequence(steps, rows, node.size).map((_, t, row, f) => x.get(t, row, start + f));
  return {
    value: new Sequence(steps, rows, 2 * node.size).map((_, t, row, f) =>
      f < node.size ? forward.output.get(t, row, f) : later.get(t, row, f - node.size),
    ),
    backward: (cotangent) => {
      const ahead = forward.backward(part(cotangent, 0));
      const behind = backward.backward(reverse(part(cotangent, node.size))).map(reverse);
      return ahead.map((d, i) => d.map((v, t, row, f) => v + behind[i].get(t, row, f)));
    },
  };
}

/** A pool: its output at every sample's last valid step. */
export function readout(node: ReadoutNode, x: Sequence, context: Context, options: EvaluateOptions): Forward {
  const initial = new Map(
    node.step.states.map((s) => {
      if (s.initializer.kind !== 'constant') throw new Error('the states of a pool start at constants');
      return [s.name, new Float64Array(x.rows * x.features).fill(s.initializer.value)] as const;
    }),
  );
  const noParameters = (name: string): string => {
    throw new Error(`the pool "${node.step.name}" has a parameter "${name}"`);
  };
  const run = runStep(node.step, [x], initial, noParameters, context, options);
  const last = (row: number) => context.validity.length(row) - 1;
  return {
    value: new Sequence(1, x.rows, x.features).map((_, __, row, f) => run.output.get(last(row), row, f)),
    backward: (cotangent) => run.backward(x.map((_, t, row, f) => (t === last(row) ? cotangent.get(0, row, f) : 0))),
  };
}

/**
 * Padded steps come after the valid ones, so what they compute reaches nothing that is read, and their cotangents are 0.
 */
function runStep(
  step: Step,
  inputs: readonly Sequence[],
  initial: ReadonlyMap<string, Float64Array>,
  keyOf: (parameter: string) => string,
  context: Context,
  options: EvaluateOptions,
): Run {
  const { steps, rows, features } = inputs[0];
  const dims = { rows, features };
  const constant: Env = new Map();
  for (const p of step.parameters) constant.set(p.variable.id, context.parameters.get(keyOf(p.name)) as Float64Array);
  evaluate(step.prelude, constant, dims, options);

  const output = new Sequence(steps, rows, features);
  const history: Env[] = [];
  let states = step.states.map((s) => initial.get(s.name) as Float64Array);
  for (let t = 0; t < steps; t++) {
    const env: Env = new Map(constant);
    step.inputs.forEach((input, i) => void env.set(input.variable.id, inputs[i].at(t)));
    step.states.forEach((s, i) => void env.set(s.before.id, states[i]));
    evaluate(step.body, env, dims, options);
    output.at(t).set(overRows(step.output, env, dims));
    states = step.states.map((s) => overRows(s.after, env, dims));
    history.push(env);
  }

  return {
    output,
    backward: (cotangent) => {
      const adjoint = differentiate(step);
      const results = inputs.map(() => new Sequence(steps, rows, features));
      const totals: Env = new Map(constant);
      let carried: Float64Array[] = step.states.map(() => new Float64Array(rows * features));
      for (let t = steps - 1; t >= 0; t--) {
        const env = new Map(history[t]);
        env.set(adjoint.outputCotangent.id, cotangent.at(t));
        adjoint.states.forEach((s, i) => void env.set(s.after.id, carried[i]));
        evaluate(adjoint.body, env, dims, options);
        carried = adjoint.states.map((s) => overRows(s.before, env, dims));
        adjoint.inputs.forEach((input, i) => void results[i].at(t).set(overRows(input.cotangent, env, dims)));
        for (const { value, into } of adjoint.sums) {
          const scalar = into.type.extent === 'scalar';
          const total = totals.get(into.id) ?? new Float64Array(scalar ? 1 : features);
          overRows(value, env, dims).forEach((v, k) => {
            total[scalar ? 0 : k % features] += v;
          });
          totals.set(into.id, total);
        }
        for (const { left, right, into } of adjoint.outers) {
          const total = totals.get(into.id) ?? new Float64Array(features * features);
          addOuter(total, overRows(left, env, dims), overRows(right, env, dims), features);
          totals.set(into.id, total);
        }
      }
      evaluate(adjoint.prelude, totals, dims, options);
      for (const { parameter, value } of adjoint.gradients) {
        const total = gradient(context, keyOf(parameter));
        const own = atomValue(value, totals);
        for (let k = 0; k < total.length; k++) total[k] += own.length === 1 ? own[0] : own[k];
      }
      return results;
    },
  };
}

/** total_ij += sum over rows of left_i * right_j. */
function addOuter(total: Float64Array, left: Float64Array, right: Float64Array, n: number): void {
  for (let start = 0; start < left.length; start += n) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) total[i * n + j] += left[start + i] * right[start + j];
    }
  }
}
