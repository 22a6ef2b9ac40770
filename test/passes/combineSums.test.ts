import { describe, expect, it } from 'vitest';
import { type Env, evaluate, overRows } from '../../src/ir/evaluate.ts';
import type { PopulationNode } from '../../src/ir/graph.ts';
import type { Atom, Step } from '../../src/ir/step.ts';
import { combineSums, evaluateScaled } from '../../src/passes/combineSums.ts';
import { scheduleForward } from '../../src/passes/schedule.ts';
import { Stream } from '../../src/random/stream.ts';
import { graphOf } from '../support/graphs.ts';
import { randomNeuron } from '../support/randomNeuron.ts';

const dims = { rows: 2, features: 4 };

function stepOf(type: string, define?: string): Step {
  const layers = [{ name: 'h', type, from: ['input'], size: dims.features }];
  return (
    graphOf(layers, { define, classes: dims.features }).nodes.find((n) => n.kind === 'population') as PopulationNode
  ).step;
}

const library = [
  'LIF',
  'adLIF',
  'RLIF',
  'RadLIF',
  'LI',
  'MLP',
  'RNN',
  'LiGRU',
  'GRU',
  'NirRLIF',
  'NirCubaLIF',
  'NirRCubaLIF',
];
const factors = `neuron Factors {
  input I
  param p in [0.5, 1.5], q in [0.5, 1.5]
  recurrent V = orthogonal, Vs = orthogonal
  state u = 0, s = 0, z = 0
  let twice = V @ z + I / 2
  u' = -(p * (u - q * s) / q - 2 * (Vs @ s - s) + 3 - p * I) - twice / 2 + 0 * z
  s' = spike(p * u' - q, boxcar(0.5))
  z' = twice + u - (u - z)
  output 1 - z'
}`;
const steps: [string, Step][] = [
  ...library.map((type): [string, Step] => [type, stepOf(type)]),
  ['with factors', stepOf('Factors', factors)],
  ...Array.from({ length: 30 }, (_, seed): [string, Step] => [`random ${seed}`, stepOf('Random', randomNeuron(seed))]),
];

function randomEnv(step: Step, seed: number): Env {
  const stream = new Stream(seed, 'values');
  const sizes = { scalar: 1, features: dims.features, rows: dims.rows * dims.features, matrix: dims.features ** 2 };
  const given = [...step.inputs, ...step.parameters].map(({ variable }) => variable);
  const values = [...given, ...step.states.map(({ before }) => before)].map(({ id, type }): [number, Float64Array] => [
    id,
    Float64Array.from({ length: sizes[type.extent] }, () => stream.uniform(0.5, 1.5)),
  ]);
  return new Map(values);
}

describe.each(steps)('%s', (_, step) => {
  it.each([true, false])('computes the same (products into diagonals: %s)', (diagonals) => {
    const combined = combineSums(step, diagonals);
    const results = ({ states, output }: Step, env: Env) =>
      [...states.map(({ after }) => after), output].flatMap((atom: Atom) => [...overRows(atom, env, dims)]);
    for (let seed = 0; seed < 5; seed++) {
      const expected = randomEnv(step, seed);
      evaluate([...step.prelude, ...step.body], expected, dims);
      const actual = randomEnv(step, seed);
      evaluate(combined.step.prelude, actual, dims);
      for (const matrix of combined.matrices) actual.set(matrix.out.id, evaluateScaled(matrix, actual, dims.features));
      evaluate(combined.step.body, actual, dims);
      const values = results(combined.step, actual);
      results(step, expected).forEach((value, i) => {
        expect(Math.abs(values[i] - value), `result ${i}`).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(value)));
      });
    }
    const changing = ({ body }: Step) => body.filter(({ out }) => out.type.extent === 'rows').length;
    expect(changing(combined.step)).toBeLessThanOrEqual(changing(step) + 1);
  });
});

it('leaves few operations in the time loop', () => {
  const loops = ['LIF', 'RadLIF', 'LI'].map((type) =>
    scheduleForward(combineSums(stepOf(type), true).step).loop.map(({ prim }) => prim),
  );
  expect(loops).toEqual([
    ['sub', 'mul', 'add', 'greater'],
    ['mul', 'mul', 'mul', 'add', 'add', 'matvec', 'add', 'mul', 'mul', 'add', 'sub', 'greater'],
    ['mul', 'add'],
  ]);
});

it('scales a matrix only where nothing else reads it', () => {
  const { matrices } = combineSums(stepOf('Factors', factors), true);
  expect(matrices.map(({ matrix }) => matrix.name)).toEqual(['Vs']);
});
