import type { Atom, Eqn, Prim } from '../../../ir/step.ts';
import { blend, type Expr, type Local, splat, v } from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { atan, exp, log, sigmoid, tanh } from '../math.ts';

/** The value of four neurons as an expression that is cheap to repeat: a variable, a constant. */
export type ValueOf = (atom: Atom) => Expr;

type Emitter = (f: Func, ...args: Expr[]) => Expr;

/** A primitive that needs all features of a row at once is no expression of four lanes: it is a stage of its own. */
const wholeRow = 'whole row';

const one = splat(1);
const isTrue = (mask: Expr): Expr => v.and(mask, one);

const emitters: Readonly<Record<Prim, Emitter | typeof wholeRow>> = {
  add: (_, a, b) => v.add(a, b),
  sub: (_, a, b) => v.sub(a, b),
  mul: (_, a, b) => v.mul(a, b),
  div: (_, a, b) => v.div(a, b),
  neg: (_, a) => v.neg(a),
  min: (_, a, b) => v.min(a, b),
  max: (_, a, b) => v.max(a, b),
  exp,
  log,
  sqrt: (_, a) => v.sqrt(a),
  abs: (_, a) => v.abs(a),
  tanh,
  atan,
  sigmoid,
  relu: (_, a) => v.max(a, splat(0)),
  clamp: (_, x, low, high) => v.min(v.max(x, low), high),
  greater: (_, a, b) => isTrue(v.gt(a, b)),
  greaterEqual: (_, a, b) => isTrue(v.ge(a, b)),
  equal: (_, a, b) => isTrue(v.eq(a, b)),
  select: (_, condition, a, b) => blend(v.ne(condition, splat(0)), a, b),
  spike: (_, x) => isTrue(v.gt(x, splat(0))),
  detach: (_, a) => a,
  matvec: wholeRow,
  matvecTransposed: wholeRow,
  zeroDiagonal: wholeRow,
  softmax: wholeRow,
  softmaxAdjoint: wholeRow,
  sumFeatures: wholeRow,
};

/** Primitives that take less time than to read a number that is not in the cache. */
export const cheap: readonly Prim[] = [
  'add',
  'sub',
  'mul',
  'neg',
  'min',
  'max',
  'relu',
  'abs',
  'clamp',
  'select',
  'spike',
];

export const isElementwise = (prim: Prim): boolean => emitters[prim] !== wholeRow;

/** Computes an elementwise equation into a new variable. */
export function emit(f: Func, { prim, args, out }: Eqn, read: ValueOf): Local {
  const emitter = emitters[prim];
  if (emitter === wholeRow) throw new Error(`${prim} is not elementwise`);
  return f.let(out.name.replaceAll("'", '_'), emitter(f, ...args.map(read)));
}
