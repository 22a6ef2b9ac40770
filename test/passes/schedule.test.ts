import { describe, expect, it } from 'vitest';
import { type Env, evaluate, overRows } from '../../src/ir/evaluate.ts';
import type { PopulationNode } from '../../src/ir/graph.ts';
import type { Eqn, Step, Var } from '../../src/ir/step.ts';
import { differentiate } from '../../src/passes/differentiate.ts';
import { residualUses, type Schedule, scheduleBackward, scheduleForward } from '../../src/passes/schedule.ts';
import { Stream } from '../../src/random/stream.ts';
import { graphOf } from '../support/graphs.ts';
import { randomNeuron } from '../support/randomNeuron.ts';

const dims = { rows: 2, features: 3 };
const time = 3;

function stepOf(type: string, define?: string): Step {
  const layers = [{ name: 'h', type, from: ['input'], size: 3 }];
  return (graphOf(layers, { define }).nodes.find((n) => n.kind === 'population') as PopulationNode).step;
}

const names = (eqns: readonly Eqn[]) => eqns.map((e) => e.out.name);
const library = ['LIF', 'adLIF', 'RLIF', 'RadLIF', 'LI', 'MLP', 'RNN', 'LiGRU', 'GRU'];
const steps: [string, Step][] = [
  ...library.map((type): [string, Step] => [type, stepOf(type)]),
  ...Array.from({ length: 10 }, (_, seed): [string, Step] => [`random ${seed}`, stepOf('Random', randomNeuron(seed))]),
];

/** Runs a body over time, given what is known at the start (per step: `given`), in the order that `run` makes of it. */
function simulate(
  schedule: Schedule,
  given: readonly Env[],
  initial: Env,
  run: 'in order' | 'by parts',
  body: readonly Eqn[],
) {
  const envs = given.map((env): Env => new Map(env));
  const first = run === 'by parts' ? schedule.before : [];
  const inside = run === 'by parts' ? schedule.loop : body;
  const last = run === 'by parts' ? schedule.after : [];
  for (const env of envs) evaluate(first, env, dims);
  let carried: Env = initial;
  for (const env of envs) {
    for (const [id, value] of carried) env.set(id, value);
    evaluate(inside, env, dims);
    carried = new Map(schedule.carried.map((c) => [c.current.id, overRows(c.next, env, dims)]));
  }
  for (const env of envs) evaluate(last, env, dims);
  return envs.map((env) => body.map((e) => env.get(e.out.id)));
}

function randomEnv(vars: readonly Var[], stream: Stream): Env {
  const sizes = { scalar: 1, features: dims.features, rows: dims.rows * dims.features, matrix: dims.features ** 2 };
  const value = (v: Var) => Float64Array.from({ length: sizes[v.type.extent] }, () => stream.uniform(0.1, 1.5));
  return new Map(vars.map((v) => [v.id, value(v)]));
}

function expectPartition(schedule: Schedule, body: readonly Eqn[]) {
  const { before, loop, after } = schedule;
  const position = (e: Eqn) => body.indexOf(e);
  expect([...before, ...loop, ...after].map(position).sort((a, b) => a - b)).toEqual([...body.keys()]);
  for (const part of [before, loop, after])
    expect(part.map(position)).toEqual(part.map(position).sort((a, b) => a - b));
}

describe.each(steps)('the schedule of %s', (_, step) => {
  const adjoint = differentiate(step);
  const stream = new Stream(1, step.name);
  const constants = randomEnv(
    step.parameters.map((p) => p.variable),
    stream,
  );
  evaluate(step.prelude, constants, dims);
  const perStep = (vars: readonly Var[]) =>
    Array.from({ length: time }, (): Env => new Map([...constants, ...randomEnv(vars, stream)]));

  it('runs the forward pass by parts as in order', () => {
    const schedule = scheduleForward(step);
    expectPartition(schedule, step.body);
    const given = perStep(step.inputs.map((i) => i.variable));
    const initial = randomEnv(
      step.states.map((s) => s.before),
      stream,
    );
    const run = (how: 'in order' | 'by parts') => simulate(schedule, given, initial, how, step.body);
    expect(run('by parts')).toEqual(run('in order'));
  });

  it('runs the backward pass by parts as in order', () => {
    const schedule = scheduleBackward(adjoint);
    expectPartition(schedule, adjoint.body);
    const given = perStep([...adjoint.residuals, adjoint.outputCotangent]);
    const initial = randomEnv(
      adjoint.states.map((s) => s.after),
      stream,
    );
    const run = (how: 'in order' | 'by parts') => simulate(schedule, given, initial, how, adjoint.body);
    expect(run('by parts')).toEqual(run('in order'));
  });

  it('lists what the loop reads from outside', () => {
    for (const schedule of [scheduleForward(step), scheduleBackward(adjoint)]) {
      const inside = new Set([...schedule.loop.map((e) => e.out), ...schedule.carried.map((c) => c.current)]);
      const atoms = [...schedule.loop.flatMap((e) => e.args), ...schedule.carried.map((c) => c.next)];
      const outside = atoms.filter((a): a is Var => a.kind === 'var' && a.type.extent === 'rows' && !inside.has(a));
      expect(new Set(schedule.sliced)).toEqual(new Set(outside));
    }
  });

  it('uses every residual', () => {
    const { whole, steps: single } = residualUses(adjoint, scheduleBackward(adjoint));
    expect(new Set([...whole, ...single])).toEqual(new Set(adjoint.residuals));
  });
});

describe('the loop is as small as it can be', () => {
  it('keeps the input current of a LIF out of the loop', () => {
    const { before, loop, after } = scheduleForward(stepOf('LIF'));
    expect(before).toHaveLength(1);
    expect(names(loop)).toContain("u'");
    expect(after).toEqual([]);
  });

  it('computes surrogate slopes before the backward loop, weight and input gradients after it', () => {
    const adjoint = differentiate(stepOf('RadLIF'));
    const { before, loop, after } = scheduleBackward(adjoint);
    expect(before.some((e) => e.prim === 'greater' || e.prim === 'greaterEqual')).toBe(true);
    expect(loop.some((e) => e.prim === 'greater' || e.prim === 'greaterEqual')).toBe(false);
    expect(loop.filter((e) => e.prim === 'matvecTransposed')).toHaveLength(1);
    expect(after.length).toBeGreaterThan(0);
  });

  it('has no loop where nothing is carried', () => {
    const step = stepOf('MLP');
    for (const { loop, after } of [scheduleForward(step), scheduleBackward(differentiate(step))]) {
      expect([...loop, ...after]).toEqual([]);
    }
  });
});
