import { type EqnBuilder, isLit, lit } from '../ir/builder.ts';
import { typeOf } from '../ir/primitives.ts';
import type { Atom, Var } from '../ir/step.ts';

/** `size` times 1 or -1; a literal size is not negative. */
export interface Factor {
  readonly negative: boolean;
  readonly size: Atom;
}

/** factor * value, or factor * (product.matrix @ product.vector), which has not been computed yet. */
export interface Term {
  readonly factor: Factor;
  readonly value: Var;
  readonly product?: { readonly matrix: Var; readonly vector: Var };
}

/** The terms, each with a value of its own that extends over rows, and a constant, which does not. */
export interface Sum {
  readonly terms: readonly Term[];
  readonly constant: Atom;
}

/** Whether the atom is the same at every time step. */
export const isConstant = (atom: Atom): boolean => typeOf(atom).extent !== 'rows';

export function factorOf(atom: Atom): Factor {
  if (atom.kind === 'lit' && atom.value < 0) return { negative: true, size: lit(-atom.value) };
  return { negative: false, size: atom };
}

export const one = factorOf(lit(1));
export const minusOne = factorOf(lit(-1));

export function sumOf(atom: Atom): Sum {
  if (isConstant(atom)) return { terms: [], constant: atom };
  return { terms: [{ value: atom as Var, factor: one }], constant: lit(0) };
}

export function signed(builder: EqnBuilder, { negative, size }: Factor): Atom {
  return negative ? builder.emit('neg', [size]) : size;
}

export function times(builder: EqnBuilder, { terms, constant }: Sum, by: Factor): Sum {
  const product = ({ negative, size }: Factor): Factor => ({
    negative: negative !== by.negative,
    size: builder.emit('mul', [size, by.size]),
  });
  return {
    terms: terms.map((term) => ({ ...term, factor: product(term.factor) })).filter(isPresent),
    constant: signed(builder, product(factorOf(constant))),
  };
}

export function plus(builder: EqnBuilder, a: Sum, b: Sum): Sum {
  const terms = new Map(a.terms.map((term) => [term.value.id, term]));
  for (const term of b.terms) {
    const known = terms.get(term.value.id);
    terms.set(term.value.id, known ? { ...term, factor: sumOfFactors(builder, known.factor, term.factor) } : term);
  }
  return {
    terms: [...terms.values()].filter(isPresent),
    constant: builder.emit('add', [a.constant, b.constant]),
  };
}

function sumOfFactors(builder: EqnBuilder, a: Factor, b: Factor): Factor {
  const { negative, size } = factorOf(builder.emit(a.negative === b.negative ? 'add' : 'sub', [a.size, b.size]));
  return { negative: negative !== a.negative, size };
}

function isPresent({ factor }: Term): boolean {
  return !isLit(factor.size, 0);
}

/**
 * Adds the terms, none of which is a product any more, to `start`; terms of equal size are multiplied by it once.
 * Returns null where there is nothing to add.
 */
export function addUp(builder: EqnBuilder, terms: readonly Term[], start: Atom | null): Atom | null {
  const groups = new Map<string, Term[]>();
  for (const term of terms) {
    const { size } = term.factor;
    const key = size.kind === 'var' ? `v${size.id}` : `${size.value}`;
    groups.set(key, [...(groups.get(key) ?? []), term]);
  }
  const parts = [...groups.values()].map((group) => {
    const negative = group.every(({ factor }) => factor.negative);
    const inner = group.map(({ value, factor }) => ({ value, negative: factor.negative !== negative }));
    const total = addSigned(builder, inner, null) as Atom;
    return { negative, value: builder.emit('mul', [group[0].factor.size, total]) };
  });
  return addSigned(builder, parts, start);
}

function addSigned(
  builder: EqnBuilder,
  parts: readonly { readonly negative: boolean; readonly value: Atom }[],
  start: Atom | null,
): Atom | null {
  const positiveFirst = parts.toSorted((a, b) => Number(a.negative) - Number(b.negative));
  let total = start;
  for (const { negative, value } of positiveFirst) {
    if (total === null) total = negative ? builder.emit('neg', [value]) : value;
    else total = builder.emit(negative ? 'sub' : 'add', [total, value]);
  }
  return total;
}
