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
  loadV,
  lt,
  mul,
  shrU,
  shuffle,
  splatF64,
  splatI32,
  storeV,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { padded } from '../layout.ts';
import { eachSample, eachVector, type Kernel, type Kernels, rowParams } from './kernel.ts';
import { existing } from './norm.ts';

/**
 * The draws of `targets/draws.ts`, made where they are used: Threefry-2x32-20 on four counters at a time. A sample's
 * stream is known by its key, two words.
 */
const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

type Pair = readonly [Local, Local];

/** Both words of four counters, given their low words and, where it is not 0, their high word, as integers. */
export function threefry(f: Func, key: Pair, counters: Expr, high: Expr | null = null): Pair {
  const [k0, k1] = key;
  const k2 = f.let('k2', v.xor(v.xor(k0, k1), splatI32(0x1bd11bda)));
  const keys = [k0, k1, k2];
  const a = f.let('a', high ? v.iadd(k0, high) : k0);
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

/** Bytes of the keys of so many samples, which are made four at a time. */
export const keyBytes = (samples: number): number => 8 * padded(samples);

/**
 * The keys of all samples: `start`, what is folded of the streams' path before the sample, goes on with the sample and then
 * `components` more, known by their words (`random/stream.ts`).
 */
export function streamKeysKernel(k: Kernels, components: number): Kernel {
  const words = Array.from({ length: components }, (_, i) => [`high${i}`, `low${i}`] as const);
  const params = ['B', 'samples', 'keys', 'start0', 'start1', ...words.flat()];
  return k.kernel(`streamKeys_${components}`, params, (f, _, a) => {
    const start = [f.let('start0', v.splatInt(a.start0)), f.let('start1', v.splatInt(a.start1))] as const;
    const [at, to] = [f.let('at', a.samples), f.let('to', a.keys)];
    const end = f.let('end', add(a.samples, mul(a.B, 4)));
    f.while(lt(at, end), () => {
      let key = threefry(f, start, loadV(at));
      for (const [high, low] of words) key = threefry(f, key, v.splatInt(a[low]), v.splatInt(a[high]));
      f.do(storeV(to, shuffle(...key, [0, 4, 1, 5])));
      f.do(storeV(to, shuffle(...key, [2, 6, 3, 7]), 16));
      f.set(at, add(at, 16));
      f.set(to, add(to, 32));
    });
  });
}

export function keyOf(f: Func, keys: Expr, sample: Expr): Pair {
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
