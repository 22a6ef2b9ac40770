import { expect, it } from 'vitest';
import { type Env, evaluate, overRows } from '../../../src/ir/evaluate.ts';
import type { AdjointStep, Step, Var } from '../../../src/ir/step.ts';
import { verifyAdjoint } from '../../../src/ir/verify.ts';
import { differentiate } from '../../../src/passes/differentiate.ts';
import { Stream } from '../../../src/random/stream.ts';
import { withoutDrives } from '../../../src/targets/wasm/neuron/leak.ts';
import { planNeuron } from '../../../src/targets/wasm/neuron/plan.ts';
import { stepOf } from '../../support/steps.ts';

const leaky = (potential: string, range = '[0.5, 0.97]') => `
  neuron Leaky {
    input I
    param alpha in ${range}, beta in [0.5, 0.9]
    state u = 0, w = 0
    w' = beta * w + u
    ${potential}
    output u'
  }`;

/** Gradients of the sum over outputs times `cotangents`, by parameter, in float64. */
function gradients(step: Step, adjoint: AdjointStep, stream: Stream): Map<string, number[]> {
  const [steps, dims] = [6, { rows: 3, features: 4 }];
  const random = (v: Var, low = 0, high = 1) => {
    const size = { scalar: 1, features: 4, rows: 12, matrix: 16 }[v.type.extent];
    return Float64Array.from({ length: size }, () => stream.uniform(low, high));
  };
  const constants: Env = new Map(step.parameters.map(({ variable }) => [variable.id, random(variable, 0.83, 0.96)]));
  evaluate(step.prelude, constants, dims);
  const history: Env[] = [];
  let states: Float64Array[] = step.states.map((s) => random(s.before));
  for (let t = 0; t < steps; t++) {
    const env: Env = new Map(constants);
    for (const { variable } of step.inputs) env.set(variable.id, random(variable, 0, 12));
    step.states.forEach((s, i) => void env.set(s.before.id, states[i]));
    evaluate(step.body, env, dims);
    states = step.states.map((s) => overRows(s.after, env, dims));
    history.push(env.set(adjoint.outputCotangent.id, random(adjoint.outputCotangent)));
  }
  const totals: Env = new Map(constants);
  for (const { into } of adjoint.outers) totals.set(into.id, new Float64Array(16));
  for (const { into } of adjoint.sums) totals.set(into.id, new Float64Array(4));
  let carried: Float64Array[] = adjoint.states.map(() => new Float64Array(12));
  for (const env of history.toReversed()) {
    adjoint.states.forEach((s, i) => void env.set(s.after.id, carried[i]));
    evaluate(adjoint.body, env, dims);
    carried = adjoint.states.map((s) => overRows(s.before, env, dims));
    for (const { value, into } of adjoint.sums) {
      overRows(value, env, dims).forEach((x, k) => {
        (totals.get(into.id) as Float64Array)[k % 4] += x;
      });
    }
  }
  evaluate(adjoint.prelude, totals, dims);
  return new Map(
    adjoint.gradients.map(({ parameter, value }) => [parameter, [...(totals.get((value as Var).id) as Float64Array)]]),
  );
}

const neurons: readonly (readonly [string, Step])[] = [
  ...['LIF', 'adLIF', 'RLIF', 'RadLIF', 'LI'].map((type) => [type, stepOf(type)] as const),
  ['one with the terms the other way round', stepOf('Leaky', leaky("u' = (I - w') * (1 - alpha) + u * alpha"))],
];

it.each(neurons)('the gradients of %s need no drive', (_, step) => {
  const given = differentiate(step);
  const adjoint = withoutDrives(given);
  verifyAdjoint(adjoint);
  expect(adjoint.sums).toHaveLength(given.sums.length - 1);
  const [actual, expected] = [adjoint, given].map((a) => gradients(step, a, new Stream(1, 'gradients')));
  expect(expected.get('alpha')).not.toContain(0);
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  for (const [name, values] of expected)
    values.forEach((x, i) => void expect(actual.get(name)![i], name).toBeCloseTo(x, 9));
});

it.each(['adLIF', 'RLIF', 'RadLIF'])('nothing but states is kept of %s', (type) => {
  expect(planNeuron(stepOf(type), 4, [false], true).kept).toEqual([]);
});

const mix = "u' = alpha * u + (1 - alpha) * (I - w')";

it.each([
  ['hardly leaks', leaky(mix, '[0.5, 0.999]')],
  ['need not leak', leaky(mix, '[0.5, 1]')],
  ['has a drive with a factor of its own', leaky("u' = alpha * u + (1 - beta) * (I - w')")],
  ['gains more than it leaks', leaky("u' = alpha * u + (2 - alpha) * (I - w')")],
  ['drives something else, too', leaky("u' = alpha * u + (1 - alpha) * (I - w') + (1 - alpha) * u")],
  ['is driven by what leaks', leaky("let y = I - w'\n    u' = alpha * y + (1 - alpha) * y")],
  ['leaks elsewhere, too', leaky("let y = alpha * u\n    u' = y + (1 - alpha) * (I - w' - tanh(y))")],
  ['is no state', leaky("let v = alpha * u + (1 - alpha) * (I - w')\n    u' = v * 0.5")],
])('a potential that %s is left as it is', (_, define) => {
  const adjoint = differentiate(stepOf('Leaky', define));
  expect(withoutDrives(adjoint)).toBe(adjoint);
});
