import { describe, expect, it } from 'vitest';
import { type Env, evaluate, overRows } from '../../src/ir/evaluate.ts';
import type { PopulationNode } from '../../src/ir/graph.ts';
import type { Step } from '../../src/ir/step.ts';
import { computeProductsAhead } from '../../src/passes/productsAhead.ts';
import { type Schedule, scheduleForward } from '../../src/passes/schedule.ts';
import { Stream } from '../../src/random/stream.ts';
import { graphOf } from '../support/graphs.ts';

const dims = { rows: 1, features: 3 };

function stepOf(type: string): Step {
  const layers = [{ name: 'h', type, from: ['input'], size: dims.features }];
  return (graphOf(layers).nodes.find((n) => n.kind === 'population') as PopulationNode).step;
}

/** What is carried after each of some steps, with the same input in all of them. */
function run({ before, loop, carried }: Schedule, start: Env, constants: Env): number[][] {
  const env: Env = new Map([...constants, ...start]);
  evaluate(before, env, dims);
  return Array.from({ length: 6 }, () => {
    evaluate(loop, env, dims);
    const next = carried.map(({ next }) => overRows(next, env, dims));
    carried.forEach(({ current }, i) => {
      env.set(current.id, next[i]);
    });
    return next.flatMap((values) => [...values]);
  });
}

describe.each([
  ['RLIF', 1],
  ['RadLIF', 1],
  ['LIF', 0],
  ['GRU', 0],
])('%s', (type, count) => {
  it('computes the same with products ahead, those of real initial states among them', () => {
    const step = stepOf(type);
    const stream = new Stream(1, 'values');
    const random = (length: number) => Float64Array.from({ length }, () => stream.uniform(0, 2));
    const sizes = { scalar: 1, features: 3, rows: 3, matrix: 9 };
    const given = [...step.inputs, ...step.parameters].map(({ variable }) => variable);
    const constants: Env = new Map(given.map(({ id, type: { extent } }) => [id, random(sizes[extent])]));
    evaluate(step.prelude, constants, dims);
    const start: Env = new Map(step.states.map(({ before }) => [before.id, random(3)]));

    const schedule = scheduleForward(step);
    const { schedule: other, ahead } = computeProductsAhead(schedule);
    expect(ahead).toHaveLength(count);
    const first: Env = new Map([...constants, ...start]);
    evaluate(
      ahead.map(({ product }) => product),
      first,
      dims,
    );
    const products: Env = new Map(ahead.map(({ product: { out } }) => [out.id, first.get(out.id) as Float64Array]));
    const states = step.states.length * dims.features;
    const expected = run(schedule, start, constants);
    const actual = run(other, new Map([...start, ...products]), constants);
    expect(actual.map((carried) => carried.slice(0, states))).toEqual(expected);
    expect(new Set(expected.map(String)).size).toBeGreaterThan(1);
  });
});
