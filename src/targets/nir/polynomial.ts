/**
 * What a neuron's equations compute, as polynomials in states, inputs, recurrent products and spikes, with one
 * coefficient for each neuron. Spikes are 0 or 1, so that their powers are themselves.
 */
export interface Indeterminate {
  /** Equal ids are equal values. */
  readonly id: string;
  /** Its value is 0 or 1. */
  readonly binary: boolean;
}

interface Term {
  readonly factors: readonly Indeterminate[];
  readonly coefficients: Float64Array;
}

/** Products of more factors stand for themselves: no neuron here needs them, and they grow without bound. */
const largestDegree = 4;

export class Polynomial {
  private readonly terms: ReadonlyMap<string, Term>;

  private constructor(terms: Iterable<Term>) {
    const kept = [...terms].filter(({ coefficients }) => coefficients.some((v) => v !== 0));
    this.terms = new Map(kept.map((term) => [keyOf(term.factors), term]));
  }

  static constant(coefficients: Float64Array): Polynomial {
    return new Polynomial([{ factors: [], coefficients }]);
  }

  static of(indeterminate: Indeterminate, size: number): Polynomial {
    return new Polynomial([{ factors: [indeterminate], coefficients: new Float64Array(size).fill(1) }]);
  }

  /** The ids in each of its terms. */
  get monomials(): readonly (readonly string[])[] {
    return [...this.terms.values()].map(({ factors }) => factors.map(({ id }) => id));
  }

  get constant(): boolean {
    return [...this.terms.keys()].every((key) => key === '');
  }

  /** The coefficients of a product of indeterminates (of none: the constant), or null where it does not occur. */
  coefficients(...ids: readonly string[]): Float64Array | null {
    return this.terms.get(ids.toSorted().join(' '))?.coefficients ?? null;
  }

  /** Its only indeterminate where it is nothing but that, times 1. */
  get single(): Indeterminate | null {
    const [term, ...others] = this.terms.values();
    if (!term || others.length > 0 || term.factors.length !== 1) return null;
    return term.coefficients.every((v) => v === 1) ? term.factors[0] : null;
  }

  plus(other: Polynomial): Polynomial {
    return this.combine(other, 1);
  }

  minus(other: Polynomial): Polynomial {
    return this.combine(other, -1);
  }

  /** Null where a product has too many factors. */
  times(other: Polynomial): Polynomial | null {
    const products = new Map<string, Term>();
    for (const a of this.terms.values()) {
      for (const b of other.terms.values()) {
        const factors = multiply(a.factors, b.factors);
        if (factors.length > largestDegree) return null;
        const key = keyOf(factors);
        const before = products.get(key)?.coefficients;
        const coefficients = a.coefficients.map((v, i) => v * b.coefficients[i] + (before ? before[i] : 0));
        products.set(key, { factors, coefficients });
      }
    }
    return new Polynomial(products.values());
  }

  /** Times one number for each neuron. */
  scaledBy(factors: Float64Array): Polynomial {
    const terms = [...this.terms.values()];
    return new Polynomial(terms.map((t) => ({ ...t, coefficients: t.coefficients.map((v, i) => v * factors[i]) })));
  }

  /** The parts of p = without + of * indeterminate, for a binary one. */
  split(id: string): { without: Polynomial; of: Polynomial } {
    const terms = [...this.terms.values()];
    const has = ({ factors }: Term) => factors.some((f) => f.id === id);
    const divided = terms.filter(has).map((t) => ({ ...t, factors: t.factors.filter((f) => f.id !== id) }));
    return { without: new Polynomial(terms.filter((t) => !has(t))), of: new Polynomial(divided) };
  }

  private combine(other: Polynomial, sign: number): Polynomial {
    const sums = new Map(this.terms);
    for (const [key, { factors, coefficients }] of other.terms) {
      const before = sums.get(key)?.coefficients;
      sums.set(key, { factors, coefficients: coefficients.map((v, i) => (before ? before[i] : 0) + sign * v) });
    }
    return new Polynomial(sums.values());
  }
}

function multiply(a: readonly Indeterminate[], b: readonly Indeterminate[]): Indeterminate[] {
  const added = b.filter((f) => !(f.binary && a.some((known) => known.id === f.id)));
  return [...a, ...added].toSorted((x, y) => (x.id < y.id ? -1 : 1));
}

function keyOf(factors: readonly Indeterminate[]): string {
  return factors.map(({ id }) => id).join(' ');
}
