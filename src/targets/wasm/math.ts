import { blend, type Expr, ishl, ishrS, ishrU, splat, splatI32, v } from './assembler/expr.ts';
import type { Func } from './assembler/func.ts';

/**
 * Elementary functions on four lanes, after S. Moshier's Cephes library (single precision). The largest relative errors
 * against float64, over the range of float32, are below 3e-7; a test holds them to it. Results below the smallest normal
 * number may be 0. NaN gives NaN.
 */
export type VectorFunction = (f: Func, x: Expr) => Expr;

/** Horner's rule; the coefficient of the highest power comes first. */
function polynomial(x: Expr, coefficients: readonly number[]): Expr {
  return coefficients.slice(1).reduce<Expr>((p, c) => v.add(v.mul(p, x), splat(c)), splat(coefficients[0]));
}

export const exp: VectorFunction = (f, x) => {
  const bounded = f.let('x', v.min(v.max(x, splat(-104)), splat(89)));
  const n = f.let('n', v.nearest(v.mul(bounded, splat(Math.LOG2E))));
  const r = f.let('r', v.sub(v.sub(bounded, v.mul(n, splat(0.693359375))), v.mul(n, splat(-2.1219444e-4))));
  const p = polynomial(r, [1.98756915e-4, 1.39819995e-3, 8.33345191e-3, 4.16657959e-2, 1.66666655e-1, 5.00000012e-1]);
  const y = f.let('y', v.add(v.add(v.mul(v.mul(p, r), r), r), splat(1)));
  // 2^n in two factors, each of which is a normal number.
  const half = f.let('half', ishrS(v.toInt(n), 1));
  const rest = v.isub(v.toInt(n), half);
  return f.let('exp', v.mul(v.mul(y, powerOfTwo(half)), powerOfTwo(rest)));
};

const powerOfTwo = (n: Expr): Expr => ishl(v.iadd(n, splatI32(127)), 23);

export const log: VectorFunction = (f, x) => {
  const tiny = f.let('tiny', v.lt(x, splat(1.17549435e-38)));
  const normal = f.let('x', blend(tiny, v.mul(x, splat(2 ** 23)), x));
  const biased = v.isub(ishrU(normal, 23), splatI32(126));
  const exponent = f.let('e', v.sub(v.fromInt(biased), v.and(tiny, splat(23))));
  const mantissa = f.let('m', v.or(v.and(normal, splatI32(0x007fffff)), splatI32(0x3f000000)));
  const low = f.let('low', v.lt(mantissa, splat(Math.SQRT1_2)));
  f.set(exponent, v.sub(exponent, v.and(low, splat(1))));
  const m = f.let('m1', v.sub(v.add(mantissa, v.and(low, mantissa)), splat(1)));
  const z = f.let('z', v.mul(m, m));
  const p = polynomial(
    m,
    [
      7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
      2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    ],
  );
  const y = v.sub(v.sub(v.mul(v.mul(p, m), z), v.mul(exponent, splat(2.1219444e-4))), v.mul(z, splat(0.5)));
  const finite = f.let('log', v.add(v.add(m, y), v.mul(exponent, splat(0.693359375))));
  f.set(finite, blend(v.eq(x, splat(Number.POSITIVE_INFINITY)), x, finite));
  f.set(finite, blend(v.eq(x, splat(0)), splat(Number.NEGATIVE_INFINITY), finite));
  // Below zero, and NaN, are not at least zero.
  return f.let('log', blend(v.ge(x, splat(0)), finite, splat(Number.NaN)));
};

export const sigmoid: VectorFunction = (f, x) => f.let('sigmoid', v.div(splat(1), v.add(splat(1), exp(f, v.neg(x)))));

export const tanh: VectorFunction = (f, x) => {
  const size = f.let('size', v.abs(x));
  const e = exp(f, v.add(size, size));
  const far = f.let('far', v.sub(splat(1), v.div(splat(2), v.add(e, splat(1)))));
  const z = f.let('z', v.mul(x, x));
  const p = polynomial(
    z,
    [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1],
  );
  const near = f.let('near', v.add(v.mul(v.mul(p, z), x), x));
  return f.let('tanh', blend(v.lt(size, splat(0.625)), near, withSign(far, x)));
};

export const atan: VectorFunction = (f, x) => {
  const size = f.let('size', v.abs(x));
  const large = f.let('large', v.gt(size, splat(2.414213562373095)));
  const middle = f.let('middle', v.andNot(v.gt(size, splat(0.41421356237309503)), large));
  const offset = v.or(v.and(large, splat(Math.PI / 2)), v.and(middle, splat(Math.PI / 4)));
  const shifted = v.div(v.sub(size, splat(1)), v.add(size, splat(1)));
  const reduced = f.let('r', blend(large, v.div(splat(-1), size), blend(middle, shifted, size)));
  const z = f.let('z', v.mul(reduced, reduced));
  const p = polynomial(z, [8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1]);
  const y = v.add(offset, v.add(v.mul(v.mul(p, z), reduced), reduced));
  return f.let('atan', withSign(y, x));
};

function withSign(size: Expr, x: Expr): Expr {
  return v.or(size, v.and(x, splatI32(0x80000000 | 0)));
}
