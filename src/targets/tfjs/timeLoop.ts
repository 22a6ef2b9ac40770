import type { Eqn, Var } from '../../ir/step.ts';
import type { Schedule } from '../../passes/schedule.ts';
import { type Env, read, run } from './emit.ts';
import type { Ops, Tensor } from './ops.ts';
import { Sequence } from './sequence.ts';

/** [time, rows, features] of a layer's sequences. */
export type SequenceShape = readonly [time: number, rows: number, features: number];

/** What a scheduled body works on: values that do not vary over time, and sequences, both by variable id. */
export interface Values {
  readonly once: Env;
  readonly sequences: Map<number, Sequence>;
}

/**
 * Runs a scheduled body over time, forward or `reversed`, adding what it computes to `values`: everything of `before`
 * and `after`, and of the loop what `kept` lists (besides what `after` reads).
 */
export function runOverTime(
  ops: Ops,
  schedule: Schedule,
  values: Values,
  shape: SequenceShape,
  options: { readonly initial: readonly Tensor[]; readonly reversed: boolean; readonly kept: readonly Var[] },
): void {
  runOnSequences(ops, schedule.before, values, shape);
  const recorded = recordedVars(schedule, options.kept);
  const history = runLoop(ops, schedule, recorded, values, shape, options);
  recorded.forEach((v, i) => void values.sequences.set(v.id, Sequence.ofSteps(ops, history[i])));
  runOnSequences(ops, schedule.after, values, shape);
}

/** One pass of equations over whole sequences. */
function runOnSequences(ops: Ops, eqns: readonly Eqn[], values: Values, shape: SequenceShape): void {
  if (eqns.length === 0) return;
  const env: Env = new Map(values.once);
  for (const arg of eqns.flatMap((e) => e.args)) {
    const sequence = arg.kind === 'var' && values.sequences.get(arg.id);
    if (sequence) env.set(arg.id, sequence.whole);
  }
  run(ops, eqns, env);
  for (const { out } of eqns) {
    const value = env.get(out.id) as Tensor;
    if (out.type.extent === 'rows') values.sequences.set(out.id, Sequence.ofWhole(ops, ops.expand(value, shape)));
    else values.once.set(out.id, value);
  }
}

function runLoop(
  ops: Ops,
  schedule: Schedule,
  recorded: readonly Var[],
  values: Values,
  [time, rows, features]: SequenceShape,
  { initial, reversed }: { readonly initial: readonly Tensor[]; readonly reversed: boolean },
): Tensor[][] {
  const { tf } = ops;
  const history: Tensor[][] = recorded.map(() => new Array(time));
  if (recorded.length === 0) return history;
  const slices = schedule.sliced.map((v) => (values.sequences.get(v.id) as Sequence).steps);
  let carried = initial;
  for (let k = 0; k < time; k++) {
    const t = reversed ? time - 1 - k : k;
    const { next, now } = tf.tidy(() => {
      const env: Env = new Map(values.once);
      schedule.sliced.forEach((v, i) => void env.set(v.id, slices[i][t]));
      schedule.carried.forEach(({ current }, i) => void env.set(current.id, carried[i]));
      run(ops, schedule.loop, env);
      const fill = (x: Tensor) => ops.expand(x, [rows, features]);
      return {
        next: schedule.carried.map((c) => fill(read(ops, env, c.next))),
        now: recorded.map((v) => fill(read(ops, env, v))),
      };
    });
    now.forEach((value, i) => {
      history[i][t] = value;
    });
    carried = next;
  }
  return history;
}

/** Variables of the loop, or carried, that something after it reads. */
function recordedVars(schedule: Schedule, kept: readonly Var[]): Var[] {
  const inLoop = new Set([...schedule.loop.map((e) => e.out.id), ...schedule.carried.map((c) => c.current.id)]);
  const recorded = new Map<number, Var>();
  for (const atom of [...schedule.after.flatMap((e) => e.args), ...kept]) {
    if (atom.kind === 'var' && inLoop.has(atom.id)) recorded.set(atom.id, atom);
  }
  return [...recorded.values()];
}
