import type { Initializer } from '../../../ir/initializer.ts';
import {
  add,
  type Expr,
  i32,
  ishl,
  ishrU,
  type Local,
  lanesI32,
  loadSplat,
  mul,
  shrU,
  shuffle,
  splatF64,
  splatI32,
  storeV,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { eachSample, eachVector, type Kernel, type Kernels, rowParams } from './kernel.ts';
import { existing } from './norm.ts';

/**
 * The draws of `targets/draws.ts`, made where they are used: Threefry-2x32-20 on four counters at a time. A sample's
 * stream is known by its key, two words that the host computes from the stream's path.
 */
const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

/** Both words of four counters (their high words are 0), as integers. */
export function threefry(f: Func, key: readonly [Local, Local], counters: Expr): readonly [Local, Local] {
  const [k0, k1] = key;
  const k2 = f.let('k2', v.xor(v.xor(k0, k1), splatI32(0x1bd11bda)));
  const keys = [k0, k1, k2];
  const a = f.let('a', k0);
  const b = f.let('b', v.iadd(counters, k1));
  for (let group = 0; group < 5; group++) {
    for (const bits of rotations[group % 2]) {
      f.set(a, v.iadd(a, b));
      f.set(b, v.xor(v.or(ishl(b, bits), ishrU(b, 32 - bits)), a));
    }
    f.set(a, v.iadd(a, keys[(group + 1) % 3]));
    f.set(b, v.iadd(v.iadd(b, keys[(group + 2) % 3]), splatI32(group + 1)));
  }
  return [a, b];
}

export function keyOf(f: Func, keys: Expr, sample: Expr): readonly [Local, Local] {
  const at = f.let('keyAt', add(keys, mul(sample, 8)));
  return [f.let('k0', loadSplat(at)), f.let('k1', loadSplat(at, 4))];
}

/** Uniform numbers into the row of every sample before its first step. */
export function uniformKernel(
  k: Kernels,
  features: number,
  { low, high }: Extract<Initializer, { kind: 'uniform' }>,
): Kernel {
  const params = ['keys', 'target', 'rows', ...rowParams] as const;
  return k.kernel(`uniform_${features}_${low}_${high}`, params, (f, item, a) => {
    eachSample(f, a, item, i32(-1), (row, b) => {
      const key = keyOf(f, a.keys, b);
      eachVector(f, features, a.rows, row, (o, feature) => {
        // Two numbers per counter.
        const counters = v.iadd(v.splatInt(shrU(feature, 3)), lanesI32(0, 1, 0, 1));
        const [first, second] = threefry(f, key, counters);
        const words = f.let('words', ishrU(shuffle(first, second, [0, 4, 1, 5]), 8));
        const drawn = shuffle(
          scaled(words, low, high),
          scaled(shuffle(words, words, [2, 3, 2, 3]), low, high),
          [0, 1, 4, 5],
        );
        f.do(storeV(add(a.target, o), v.and(drawn, existing(features, feature))));
      });
    });
  });
}

/** low + (high - low) * word / 2^24 in float64, rounded once, of the two low lanes. */
function scaled(words: Expr, low: number, high: number): Expr {
  const unit = v.f64mul(v.lowToF64(words), splatF64(2 ** -24));
  return v.demote(v.f64add(splatF64(low), v.f64mul(splatF64(high - low), unit)));
}
