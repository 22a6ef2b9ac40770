import type { Atom, Extent, Prim, ValueSet, VarType } from './step.ts';

/**
 * The type rules of all primitives, and the meaning of the elementwise ones on numbers. Adding a primitive fails to
 * compile until this table, the adjoint's and every target's have it.
 */
export interface PrimRule {
  readonly arity: number;
  /** The result's type, or one sentence about what is wrong with the operands. */
  readonly type: (args: readonly VarType[]) => VarType | string;
  /** Elementwise primitives only: one element of the result from one element of each operand. */
  readonly elementwise?: (...args: number[]) => number;
}

const order: readonly Extent[] = ['scalar', 'features', 'rows'];
const strength: readonly ValueSet[] = ['spike', 'count', 'real'];

export function typeOf(atom: Atom): VarType {
  if (atom.kind === 'var') return atom.type;
  return { extent: 'scalar', set: setOfNumber(atom.value) };
}

function setOfNumber(value: number): ValueSet {
  if (value === 0 || value === 1) return 'spike';
  return Number.isInteger(value) && value > 0 ? 'count' : 'real';
}

/** The set that holds the values of all of them. */
export function weakest(sets: readonly ValueSet[]): ValueSet {
  return strength[Math.max(...sets.map((s) => strength.indexOf(s)))];
}

function broadcast(args: readonly VarType[], set: ValueSet): VarType | string {
  const extents = args.map((a) => a.extent);
  if (extents.includes('matrix')) {
    // Sums of matrices occur in adjoints, where one matrix is used twice.
    if (extents.every((e) => e === 'matrix')) return { extent: 'matrix', set: 'real' };
    return 'a recurrent matrix can only be used on the left of "@"';
  }
  return { extent: order[Math.max(...extents.map((e) => order.indexOf(e)))], set };
}

type SetRule = (sets: readonly ValueSet[]) => ValueSet;
const real: SetRule = () => 'real';
const spike: SetRule = () => 'spike';
const sumOfCounts: SetRule = (sets) => (sets.includes('real') ? 'real' : 'count');

function elementwise(arity: number, set: SetRule, f: (...args: number[]) => number): PrimRule {
  return {
    arity,
    elementwise: f,
    type: (args) => broadcast(args, set(args.map((a) => a.set))),
  };
}

function product(): PrimRule {
  return {
    arity: 2,
    type: ([matrix, vector]) => {
      if (matrix.extent !== 'matrix') return 'the left side of "@" must be a recurrent matrix';
      if (vector.extent !== 'rows') return 'the right side of "@" must be a vector computed from a state or an input';
      return { extent: vector.extent, set: 'real' };
    },
  };
}

function overFeatures(arity: number): PrimRule {
  return {
    arity,
    type: (args) =>
      args.some((a) => a.extent === 'matrix') ? 'expected a vector with one value per neuron' : broadcast(args, 'real'),
  };
}

export const primRules: Readonly<Record<Prim, PrimRule>> = {
  add: elementwise(2, sumOfCounts, (a, b) => a + b),
  sub: elementwise(2, real, (a, b) => a - b),
  mul: elementwise(2, weakest, (a, b) => a * b),
  div: elementwise(2, real, (a, b) => a / b),
  neg: elementwise(1, real, (a) => -a),
  min: elementwise(2, weakest, (a, b) => Math.min(a, b)),
  max: elementwise(2, weakest, (a, b) => Math.max(a, b)),
  exp: elementwise(1, real, Math.exp),
  log: elementwise(1, real, Math.log),
  sqrt: elementwise(1, real, Math.sqrt),
  abs: elementwise(1, ([set]) => set, Math.abs),
  tanh: elementwise(1, real, Math.tanh),
  atan: elementwise(1, real, Math.atan),
  sigmoid: elementwise(1, real, (a) => 1 / (1 + Math.exp(-a))),
  relu: elementwise(
    1,
    ([set]) => set,
    (a) => Math.max(a, 0),
  ),
  clamp: elementwise(3, weakest, (x, low, high) => Math.min(Math.max(x, low), high)),
  greater: elementwise(2, spike, (a, b) => (a > b ? 1 : 0)),
  greaterEqual: elementwise(2, spike, (a, b) => (a >= b ? 1 : 0)),
  equal: elementwise(2, spike, (a, b) => (a === b ? 1 : 0)),
  select: elementwise(
    3,
    ([, a, b]) => weakest([a, b]),
    (condition, a, b) => (condition !== 0 ? a : b),
  ),
  spike: elementwise(1, spike, (x) => (x > 0 ? 1 : 0)),
  detach: elementwise(
    1,
    ([set]) => set,
    (a) => a,
  ),
  matvec: product(),
  matvecTransposed: product(),
  zeroDiagonal: {
    arity: 1,
    type: ([m]) => (m.extent === 'matrix' ? m : 'expected a recurrent matrix'),
  },
  softmax: overFeatures(1),
  softmaxAdjoint: overFeatures(2),
  sumFeatures: { arity: 1, type: () => ({ extent: 'scalar', set: 'real' }) },
};
