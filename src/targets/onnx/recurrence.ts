import type { Atom, Eqn, Var } from '../../ir/step.ts';
import type { Schedule } from '../../passes/schedule.ts';
import type { GraphBuilder, Value } from './builder.ts';
import type { Scope } from './equations.ts';
import { valueInfo } from './proto.ts';

/** next = factor * current + drive, where neither of these depends on a state: a leaky integrator, a sum over time. */
export interface Recurrence {
  readonly current: Var;
  readonly next: Var;
  /** Null for 1. */
  readonly factor: Var | null;
  /** Of every time step. */
  readonly drive: Var;
}

/**
 * The recurrences that a loop consists of; null where it does anything else. A state may have the next value of another,
 * as long as nothing reads it.
 */
export function recurrencesOf({ loop, carried, sliced }: Schedule): Recurrence[] | null {
  const eqns = new Map(loop.map((eqn) => [eqn.out.id, eqn]));
  const drives = new Set(sliced.map(({ id }) => id));
  const found = new Map<number, Recurrence>();
  let matched = 0;
  for (const { current, next } of carried) {
    const sum = next.kind === 'var' ? eqns.get(next.id) : undefined;
    if (sum?.prim !== 'add') return null;
    for (const [own, drive] of [sum.args, sum.args.toReversed()]) {
      const scaled = own.kind === 'var' ? eqns.get(own.id) : undefined;
      const factor = isVar(own, current) ? null : factorIn(scaled, current);
      if (factor === undefined || drive.kind !== 'var' || !drives.has(drive.id)) continue;
      found.set(sum.out.id, { current, next: sum.out, factor, drive });
      matched += factor ? 2 : 1;
    }
  }
  const isComplete = matched === loop.length && carried.every(({ next }) => next.kind === 'var' && found.has(next.id));
  return isComplete ? [...found.values()] : null;
}

/** The factor of `current` in a product of the two; undefined where it is no such product. */
function factorIn(eqn: Eqn | undefined, current: Var): Var | undefined {
  if (eqn?.prim !== 'mul') return undefined;
  const factor = eqn.args.find((arg) => !isVar(arg, current));
  const isOfParameters = factor?.kind === 'var' && factor.type.extent !== 'rows';
  return isOfParameters && eqn.args.some((arg) => isVar(arg, current)) ? factor : undefined;
}

function isVar(atom: Atom, variable: Var): boolean {
  return atom.kind === 'var' && atom.id === variable.id;
}

/**
 * The values of a recurrence in one row that starts from `start` [1, features], without a loop over time steps: after every
 * step, [time, 1, features], and after the last one, [1, features].
 */
export function emitRecurrence(
  scope: Scope,
  recurrence: Recurrence,
  start: Value,
): { readonly sequence: Value; readonly last: Value } {
  const { builder } = scope;
  const { name } = recurrence.next;
  const values = emitValues(scope, recurrence, start);
  const bounds = [[1], [Number.MAX_SAFE_INTEGER], [0]].map((v) => builder.ints(v));
  return {
    sequence: builder.op('Slice', [values, ...bounds], `${name}_sequence`),
    last: builder.op('Gather', [values, builder.index(-1)], `${name}_last`, { axis: 0 }),
  };
}

/** The start and the values after every step, [1 + time, 1, features]. */
function emitValues(scope: Scope, { next, factor, drive }: Recurrence, start: Value): Value {
  const { builder } = scope;
  const first = builder.op('Unsqueeze', [start, builder.ints([0])], `${next.name}_start`);
  const drives = builder.op('Concat', [first, scope.value(drive)], `${next.name}_drives`, { axis: 0 });
  if (factor === null) return builder.op('CumSum', [drives, builder.index(0)], `${next.name}_sums`);
  return emitDoubling(builder, drives, scope.value(factor), factor, next.name);
}

/**
 * y(t) = sum over k of factor^k x(t - k): y gathers 1, 2, 4, ... terms by adding factor^span times itself `span` steps
 * earlier, as often as it takes for the span to reach the length (Hillis & Steele 1986, "Data parallel algorithms").
 */
function emitDoubling(builder: GraphBuilder, x: Value, factor: Value, { type }: Var, wish: string): Value {
  const length = builder.op('Shape', [x], `${wish}_length`, { start: 0, end: 1 });
  const [sums, power, span] = ['sums', 'power', 'span'].map((name) => builder.name(`${wish}_${name}`));
  const inner = builder.subgraph();
  const name = inner.name(`${wish}_doubling`);
  const [round, goes, y, by, far] = ['round', 'goes', 'y', 'by', 'far'].map((v) => inner.name(`${name}.${v}`));

  const zeros = inner.op('Concat', [far, builder.ints([0, 0, 0, 0, 0])], `${name}.pads`, { axis: 0 });
  const shifted = inner.op('Pad', [y, zeros], `${name}.shifted`);
  const bounds = [builder.ints([0]), length, builder.ints([0])];
  const earlier = inner.op('Slice', [shifted, ...bounds], `${name}.earlier`);
  const gathered = inner.op('Add', [y, inner.op('Mul', [earlier, by], `${name}.weighted`)], `${name}.gathered`);
  const square = inner.op('Mul', [by, by], `${name}.square`);
  const twice = inner.op('Add', [far, far], `${name}.twice`);
  const more = inner.op('Squeeze', [inner.op('Less', [twice, length], `${name}.less`)], `${name}.more`);

  const sequence = (value: Value) => valueInfo(value, 'float32', [`${name}.time`, 1, `${name}.features`]);
  const factors = (value: Value) => valueInfo(value, 'float32', type.extent === 'scalar' ? [] : [`${name}.features`]);
  const steps = (value: Value) => valueInfo(value, 'int64', [1]);
  const flag = (value: Value) => valueInfo(value, 'bool', []);
  builder.node('Loop', ['', builder.yes(), x, factor, builder.ints([1])], [sums, power, span], {
    body: {
      name,
      node: inner.nodes,
      initializer: [],
      input: [valueInfo(round, 'int64', []), flag(goes), sequence(y), factors(by), steps(far)],
      output: [flag(more), sequence(gathered), factors(square), steps(twice)],
    },
  });
  return sums;
}
