import { typeOf } from '../ir/primitives.ts';
import type { Atom, Eqn } from '../ir/step.ts';

/** From the least to the greatest value that something can have. */
export type Range = readonly [number, number];

const anything: Range = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];

type RangeRule = (...args: Range[]) => Range;

const increasing =
  (f: (x: number) => number): RangeRule =>
  ([low, high]) => [f(low), f(high)];

const rules: Partial<Record<Eqn['prim'], RangeRule>> = {
  add: ([a, b], [c, d]) => [a + c, b + d],
  sub: ([a, b], [c, d]) => [a - d, b - c],
  mul: ([a, b], [c, d]) => hull([a * c, a * d, b * c, b * d]),
  neg: ([a, b]) => [-b, -a],
  min: ([a, b], [c, d]) => [Math.min(a, c), Math.min(b, d)],
  max: ([a, b], [c, d]) => [Math.max(a, c), Math.max(b, d)],
  clamp: (_, [low], [, high]) => [low, high],
  exp: increasing(Math.exp),
  tanh: increasing(Math.tanh),
  sigmoid: increasing((x) => 1 / (1 + Math.exp(-x))),
  detach: (x) => x,
};

/** What the ranges of literals and of `clamp` say about the values that equations compute; by variable. */
export function rangesOf(eqns: readonly Eqn[]): (atom: Atom) => Range {
  const known = new Map<number, Range>();
  const rangeOf = (atom: Atom): Range => {
    if (atom.kind === 'lit') return [atom.value, atom.value];
    return known.get(atom.id) ?? (typeOf(atom).set === 'spike' ? [0, 1] : anything);
  };
  for (const { out, prim, args } of eqns) {
    const range = rules[prim]?.(...args.map(rangeOf));
    if (range && !range.some(Number.isNaN)) known.set(out.id, range);
  }
  return rangeOf;
}

function hull(values: readonly number[]): Range {
  return [Math.min(...values), Math.max(...values)];
}
