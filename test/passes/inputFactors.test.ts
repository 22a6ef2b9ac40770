import { describe, expect, it } from 'vitest';
import { atomValue, type Env, evaluate, overRows } from '../../src/ir/evaluate.ts';
import type { PopulationNode } from '../../src/ir/graph.ts';
import type { Step } from '../../src/ir/step.ts';
import { type CombinedStep, combineSums, evaluateScaled } from '../../src/passes/combineSums.ts';
import { takeInputFactors } from '../../src/passes/inputFactors.ts';
import { Stream } from '../../src/random/stream.ts';
import { graphOf } from '../support/graphs.ts';

const dims = { rows: 2, features: 3 };

function combinedStep(type: string): CombinedStep {
  const layers = [{ name: 'h', type, from: ['input'], size: dims.features }];
  const population = graphOf(layers).nodes.find((n) => n.kind === 'population') as PopulationNode;
  return combineSums(population.step, false);
}

const taken = (type: string, isFree = true) => takeInputFactors(combinedStep(type).step, () => isFree);

describe.each([
  ['LIF', ['I']],
  ['RadLIF', ['I']],
  ['LI', ['I']],
  ['GRU', []],
])('%s', (type, inputs) => {
  it('has its inputs multiplied outside, and computes the same', () => {
    const { step, matrices } = combinedStep(type);
    const other = takeInputFactors(step, () => true);
    expect([...other.factors.keys()]).toEqual(inputs);
    expect(other.step.body).toHaveLength(step.body.length - inputs.length);

    const stream = new Stream(1, 'values');
    const sizes = { scalar: 1, features: 3, rows: 6, matrix: 9 };
    const given = [...step.inputs, ...step.parameters].map(({ variable }) => variable);
    const all = [...given, ...step.states.map(({ before }) => before)];
    const env: Env = new Map(
      all.map(({ id, type: { extent } }) => [
        id,
        Float64Array.from({ length: sizes[extent] }, () => stream.uniform(0, 2)),
      ]),
    );
    evaluate(step.prelude, env, dims);
    for (const matrix of matrices) env.set(matrix.out.id, evaluateScaled(matrix, env, dims.features));
    const results = ({ body, states, output }: Step, start: Env) => {
      const own = new Map(start);
      evaluate(body, own, dims);
      return [output, ...states.map(({ after }) => after)].map((atom) => [...overRows(atom, own, dims)]);
    };
    const multiplied = new Map(env);
    other.step.inputs.forEach(({ name, variable }, i) => {
      const factor = other.factors.has(name) ? atomValue(other.factors.get(name)!, env) : Float64Array.of(1);
      const values = env.get(step.inputs[i].variable.id) as Float64Array;
      multiplied.set(
        variable.id,
        values.map((v, k) => v * factor[factor.length === 1 ? 0 : k % 3]),
      );
    });
    expect(results(other.step, multiplied)).toEqual(results(step, env));
  });
});

it('leaves inputs alone that nothing could multiply', () => {
  expect(taken('LIF', false).factors.size).toBe(0);
  expect(taken('LIF', false).step).toEqual(combinedStep('LIF').step);
});
