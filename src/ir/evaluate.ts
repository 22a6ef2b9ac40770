import { primRules, typeOf } from './primitives.ts';
import type { Atom, Eqn, Extent, Prim } from './step.ts';

/**
 * The meaning of equations, in float64, slow and obvious: the judge of all targets and of the adjoint.
 * Values are row-major: scalar [1], features [F], rows [rows, F], matrix [F, F].
 */
export type Env = Map<number, Float64Array>;

export interface Dimensions {
  readonly rows: number;
  readonly features: number;
}

export interface EvaluateOptions {
  /** Replaces every spike by its surrogate's antiderivative, so that finite differences can check the adjoint. */
  readonly smoothSpikes?: boolean;
}

/** Adds the value of every equation to `env`. */
export function evaluate(eqns: readonly Eqn[], env: Env, dims: Dimensions, options: EvaluateOptions = {}): void {
  for (const eqn of eqns) {
    const args = eqn.args.map((atom) => atomValue(atom, env));
    env.set(eqn.out.id, options.smoothSpikes && eqn.surrogate ? smoothSpike(eqn, env, dims) : compute(eqn, args, dims));
  }
}

export function atomValue(atom: Atom, env: Env): Float64Array {
  if (atom.kind === 'lit') return Float64Array.of(atom.value);
  const value = env.get(atom.id);
  if (!value) throw new Error(`the variable "${atom.name}" (${atom.id}) has no value`);
  return value;
}

/** The value of an atom spread over [rows, features]. */
export function overRows(atom: Atom, env: Env, dims: Dimensions): Float64Array {
  const value = atomValue(atom, env);
  const { extent } = typeOf(atom);
  return Float64Array.from({ length: dims.rows * dims.features }, (_, i) => value[indexIn(extent, i, dims)]);
}

function compute(eqn: Eqn, args: readonly Float64Array[], dims: Dimensions): Float64Array {
  const { elementwise } = primRules[eqn.prim];
  if (!elementwise) return (structural[eqn.prim] as Structural)(args, dims);
  const { extent } = eqn.out.type;
  const extents = eqn.args.map((a) => typeOf(a).extent);
  return Float64Array.from({ length: sizeOf(extent, dims) }, (_, i) =>
    elementwise(...args.map((value, k) => value[indexIn(extents[k], i, dims)])),
  );
}

function smoothSpike(eqn: Eqn, env: Env, dims: Dimensions): Float64Array {
  const fn = eqn.surrogate?.antiderivative;
  if (!fn) throw new Error('a spike without a surrogate');
  const inner: Env = new Map([[fn.parameter.id, overRows(eqn.args[0], env, dims)]]);
  evaluate(fn.eqns, inner, dims);
  return overRows(fn.result, inner, dims);
}

function sizeOf(extent: Extent, { rows, features }: Dimensions): number {
  return { scalar: 1, features, rows: rows * features, matrix: features * features }[extent];
}

/** Where the element for index `i` of a wider value stands in a value of this extent. */
function indexIn(extent: Extent, i: number, { features }: Dimensions): number {
  return extent === 'scalar' ? 0 : extent === 'features' ? i % features : i;
}

type Structural = (args: readonly Float64Array[], dims: Dimensions) => Float64Array;

const structural: Partial<Record<Prim, Structural>> = {
  matvec: ([m, x], { rows, features: n }) => perRow(rows, n, (r, i) => sumOver(n, (j) => m[i * n + j] * x[r * n + j])),
  matvecTransposed: ([m, x], { rows, features: n }) =>
    perRow(rows, n, (r, j) => sumOver(n, (i) => m[i * n + j] * x[r * n + i])),
  zeroDiagonal: ([m], { features: n }) => {
    const result = m.slice();
    for (let i = 0; i < n; i++) result[i * n + i] = 0;
    return result;
  },
  softmax: ([x], { rows, features: n }) => {
    const peaks = Array.from({ length: rows }, (_, r) => Math.max(...x.subarray(r * n, (r + 1) * n)));
    const powers = perRow(rows, n, (r, i) => Math.exp(x[r * n + i] - peaks[r]));
    const totals = peaks.map((_, r) => sumOver(n, (j) => powers[r * n + j]));
    return perRow(rows, n, (r, i) => powers[r * n + i] / totals[r]);
  },
  softmaxAdjoint: ([y, g], { rows, features: n }) => {
    const dots = Array.from({ length: rows }, (_, r) => sumOver(n, (j) => g[r * n + j] * y[r * n + j]));
    return perRow(rows, n, (r, i) => y[r * n + i] * (g[r * n + i] - dots[r]));
  },
  sumFeatures: ([x]) => Float64Array.of(sumOver(x.length, (i) => x[i])),
};

function perRow(rows: number, features: number, value: (row: number, feature: number) => number): Float64Array {
  return Float64Array.from({ length: rows * features }, (_, i) => value(Math.floor(i / features), i % features));
}

function sumOver(n: number, term: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += term(i);
  return sum;
}
