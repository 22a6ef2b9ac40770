import {
  add,
  addF,
  and,
  divF,
  type Expr,
  f32,
  ge,
  type Local,
  lane,
  loadF32,
  loadI32,
  loadSplat,
  loadV,
  lt,
  mul,
  mulF,
  ne,
  splat,
  splatI32,
  storeV,
  sub,
  subF,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { padded } from '../layout.ts';
import {
  eachFeature,
  eachRowInPanel,
  eachStep,
  type Kernel,
  type Kernels,
  onPanel,
  panelAndChunk,
  panelStart,
  type RowArgs,
  rowParams,
} from './kernel.ts';

/** Rows of a panel's chunk, address by address; of valid steps only where `lengths` is not 0. */
function eachPanelRow(
  f: Func,
  rows: RowArgs,
  chunk: Expr,
  width: number,
  lengths: Local | null,
  body: (offset: Local) => void,
): void {
  const offset = f.local('i32', 'offset');
  const end = f.local('i32', 'end');
  eachStep(f, rows, chunk, (row, t, samples) => {
    f.set(offset, mul(row, width));
    f.set(end, add(offset, mul(samples, width)));
    const length = lengths ? f.let('length', add(lengths, mul(mul(chunk, rows.group), 4))) : null;
    f.while(lt(offset, end), () => {
      if (lengths && length) {
        f.unless(and(ne(lengths, 0), ge(t, loadI32(length))), () => body(offset));
        f.set(length, add(length, 4));
      } else body(offset);
      f.set(offset, add(offset, width));
    });
  });
}

const vectorsOf = (f: Func, name: string, count: number): Local[] =>
  Array.from({ length: count }, (_, i) => f.local('v128', `${name}${i}`));

/** Offset of a chunk's panel in `parts` [chunks, kinds, features]. */
function partAddress(parts: Expr, features: number, kinds: number, kind: number, chunk: Expr, panel: Expr): Expr {
  const size = padded(features) * 4;
  return add(add(parts, mul(chunk, kinds * size)), add(mul(panel, 128), kind * size));
}

/** What `writeStatistics` needs besides rows: the array, where the statistics go, lengths, and how many steps are valid. */
export const statisticsParams = ['x', 'rows', 'parts', 'lengths', 'counts'] as const;
type StatisticsArgs = Readonly<Record<(typeof statisticsParams)[number], Local>> & RowArgs;

/** Mean and summed squared deviation of a panel's chunk, over valid steps. */
export function writeStatistics(f: Func, features: number, panel: Expr, chunk: Expr, a: StatisticsArgs): void {
  const x = f.let('start', panelStart(a.x, panel, a.rows));
  const count = f.let('count', v.div(splat(1), loadSplat(add(a.counts, mul(chunk, 4)))));
  onPanel(f, features, panel, (vectors, width) => {
    const means = vectorsOf(f, 'mean', vectors);
    const squares = vectorsOf(f, 'square', vectors);
    for (const m of means) f.set(m, splat(0));
    for (const s of squares) f.set(s, splat(0));
    eachPanelRow(f, a, chunk, width, a.lengths, (o) => {
      const row = f.let('at', add(x, o));
      means.forEach((m, i) => void f.set(m, v.add(m, loadV(row, 16 * i))));
    });
    for (const m of means) f.set(m, v.mul(m, count));
    eachPanelRow(f, a, chunk, width, a.lengths, (o) => {
      const row = f.let('at', add(x, o));
      squares.forEach((s, i) => {
        const d = f.let('d', v.sub(loadV(row, 16 * i), means[i]));
        f.set(s, v.add(s, v.mul(d, d)));
      });
    });
    const part = f.let('part', partAddress(a.parts, features, 2, 0, chunk, panel));
    means.forEach((m, i) => void f.do(storeV(part, m, 16 * i)));
    squares.forEach((s, i) => void f.do(storeV(part, s, padded(features) * 4 + 16 * i)));
  });
}

/** Merges the chunks' statistics (Chan et al. 1979) into the coefficients of batchnorm and the running statistics. */
export function batchnormKernel(k: Kernels, features: number): Kernel {
  const params = [
    'parts',
    'counts',
    'chunks',
    'weight',
    'ownBias',
    'scale',
    'mean',
    'inverse',
    'runningMean',
    'runningVar',
    'f_momentum',
    'f_eps',
    'f_unbiased',
  ] as const;
  return k.kernel(`batchnorm_${features}`, params, (f, _, a) => {
    const size = padded(features) * 4;
    eachFeature(f, features, (o) => {
      const mean = f.let('m', splat(0));
      const squares = f.let('squares', splat(0));
      const total = f.let('total', f32(0));
      const chunk = f.local('i32', 'chunk');
      const part = f.let('part', add(a.parts, o));
      f.for(chunk, 0, a.chunks, 1, () => {
        const count = f.let('count', loadF32(add(a.counts, mul(chunk, 4))));
        const both = f.let('both', addF(total, count));
        const delta = f.let('delta', v.sub(loadV(part), mean));
        f.set(mean, v.add(mean, v.mul(delta, v.splatF32(divF(count, both)))));
        const spread = v.mul(v.mul(delta, delta), v.splatF32(divF(mulF(total, count), both)));
        f.set(squares, v.add(squares, v.add(loadV(part, size), spread)));
        f.set(total, both);
        f.set(part, add(part, 2 * size));
      });
      const variance = f.let('variance', v.div(squares, v.splatF32(total)));
      const inverse = f.let('inv', v.div(splat(1), v.sqrt(v.add(variance, v.splatF32(a.f_eps)))));
      storeAffine(f, a, o, mean, inverse);
      const observed = f.let('observed', mean);
      f.if(a.ownBias, () => f.set(observed, v.add(mean, loadV(add(a.ownBias, o)))));
      blendInto(f, add(a.runningMean, o), observed, a.f_momentum);
      blendInto(f, add(a.runningVar, o), v.mul(variance, v.splatF32(a.f_unbiased)), a.f_momentum);
    });
  });
}

type AffineArgs = Record<'weight' | 'scale' | 'mean' | 'inverse', Local>;

function storeAffine(f: Func, a: AffineArgs, o: Expr, mean: Local, inverse: Local): void {
  const scale = f.let('s', v.mul(loadV(add(a.weight, o)), inverse));
  f.do(storeV(add(a.scale, o), scale));
  f.do(storeV(add(a.mean, o), mean));
  f.do(storeV(add(a.inverse, o), inverse));
}

function blendInto(f: Func, address: Expr, value: Expr, momentum: Expr): void {
  const kept = v.mul(loadV(address), v.splatF32(subF(f32(1), momentum)));
  f.do(storeV(address, v.add(kept, v.mul(value, v.splatF32(momentum)))));
}

/** y = (x - mean) * scale + bias. */
export function affineKernel(k: Kernels, features: number): Kernel {
  const params = ['x', 'y', 'rows', 'mean', 'scale', 'bias', ...rowParams] as const;
  return k.kernel(`affine_${features}`, params, (f, item, a) => {
    eachRowInPanel(f, features, a, a.rows, item, ({ o, feature }, vectors) => {
      const [x, y] = [f.let('xAt', add(a.x, o)), f.let('yAt', add(a.y, o))];
      for (let i = 0; i < 16 * vectors; i += 16) {
        const per = (base: Local) => loadV(add(base, feature), i);
        f.do(storeV(y, v.add(v.mul(v.sub(loadV(x, i), per(a.mean)), per(a.scale)), per(a.bias)), i));
      }
    });
  });
}

/** Per chunk, sums of d and of d * (x - mean). */
export function normSumsKernel(k: Kernels, features: number): Kernel {
  const params = ['d', 'x', 'rows', 'mean', 'parts', ...rowParams] as const;
  return k.kernel(`normSums_${features}`, params, (f, item, a) => {
    const { panel, chunk } = panelAndChunk(f, item, a);
    const x = f.let('xStart', panelStart(a.x, panel, a.rows));
    const d = f.let('dStart', panelStart(a.d, panel, a.rows));
    const feature = f.let('feature', mul(panel, 128));
    const part = f.let('part', partAddress(a.parts, features, 2, 0, chunk, panel));
    onPanel(f, features, panel, (vectors, width) => {
      // Two vectors at a time: sums and statistics of them fit the registers.
      for (let i = 0; i < vectors; i += 2) {
        const pair = [i, i + 1].filter((k) => k < vectors);
        const plain = vectorsOf(f, 'sum', pair.length);
        const weighted = vectorsOf(f, 'weighted', pair.length);
        const mean = pair.map((k) => f.let('m', loadV(add(a.mean, feature), 16 * k)));
        for (const t of [...plain, ...weighted]) f.set(t, splat(0));
        eachPanelRow(f, a, chunk, width, null, (o) => {
          const xs = f.let('xs', add(x, o));
          const ds = f.let('ds', add(d, o));
          pair.forEach((k, n) => {
            const value = f.let('value', loadV(ds, 16 * k));
            f.set(plain[n], v.add(plain[n], value));
            f.set(weighted[n], v.add(weighted[n], v.mul(value, v.sub(loadV(xs, 16 * k), mean[n]))));
          });
        });
        pair.forEach((k, n) => {
          f.do(storeV(part, plain[n], 16 * k));
          f.do(storeV(part, weighted[n], padded(features) * 4 + 16 * k));
        });
      }
    });
  });
}

/** From the sums: the gradients of weight and bias, and what `normBackward` subtracts. */
export function normGradientKernel(k: Kernels, features: number): Kernel {
  const params = ['parts', 'chunks', 'scale', 'inverse', 'gWeight', 'gBias', 'offset', 'slope', 'f_count'] as const;
  return k.kernel(`normGradient_${features}`, params, (f, _, a) => {
    const size = padded(features) * 4;
    eachFeature(f, features, (o) => {
      const [plain, centered] = sumParts(f, add(a.parts, o), a.chunks, 2, size);
      const inverse = f.let('i', loadV(add(a.inverse, o)));
      const weighted = f.let('weighted', v.mul(centered, inverse));
      f.do(storeV(add(a.gBias, o), plain));
      f.do(storeV(add(a.gWeight, o), weighted));
      const share = f.let('share', v.div(loadV(add(a.scale, o)), v.splatF32(a.f_count)));
      f.do(storeV(add(a.offset, o), v.mul(share, plain)));
      f.do(storeV(add(a.slope, o), v.mul(v.mul(share, inverse), weighted)));
    });
  });
}

/** Sums over chunks, in their order, of `kinds` vectors each. */
export function sumParts(f: Func, first: Expr, chunks: Expr, kinds: number, size: number): Local[] {
  const totals = Array.from({ length: kinds }, () => f.let('total', splat(0)));
  const part = f.let('part', first);
  const chunk = f.local('i32', 'chunk');
  f.for(chunk, 0, chunks, 1, () => {
    totals.forEach((t, i) => void f.set(t, v.add(t, loadV(part, i * size))));
    f.set(part, add(part, kinds * size));
  });
  return totals;
}

/** In place: d = d * scale - (offset + slope * (x - mean)), on padded steps d * scale. */
export function normBackwardKernel(k: Kernels, features: number): Kernel {
  const params = ['d', 'x', 'rows', 'scale', 'mean', 'offset', 'slope', 'lengths', ...rowParams] as const;
  return k.kernel(`normBackward_${features}`, params, (f, item, a) => {
    const valid = f.let('valid', splatI32(-1));
    eachRowInPanel(f, features, a, a.rows, item, ({ o, feature, b, t }, vectors) => {
      f.if(a.lengths, () => f.set(valid, v.splatInt(sub(0, lt(t, loadI32(add(a.lengths, mul(b, 4))))))));
      const [x, d] = [f.let('xAt', add(a.x, o)), f.let('dAt', add(a.d, o))];
      for (let i = 0; i < 16 * vectors; i += 16) {
        const per = (base: Local) => loadV(add(base, feature), i);
        const common = v.add(per(a.offset), v.mul(v.sub(loadV(x, i), per(a.mean)), per(a.slope)));
        f.do(storeV(d, v.sub(v.mul(loadV(d, i), per(a.scale)), v.and(common, valid)), i));
      }
    });
  });
}

/** Sums over the rows of a chunk, of valid steps only where `lengths` is not 0. */
export function rowSumsKernel(k: Kernels, features: number): Kernel {
  const params = ['x', 'rows', 'parts', 'lengths', ...rowParams] as const;
  return k.kernel(`rowSums_${features}`, params, (f, item, a) => {
    const { panel, chunk } = panelAndChunk(f, item, a);
    const x = f.let('start', panelStart(a.x, panel, a.rows));
    onPanel(f, features, panel, (vectors, width) => {
      const sums = vectorsOf(f, 'sum', vectors);
      for (const s of sums) f.set(s, splat(0));
      eachPanelRow(f, a, chunk, width, a.lengths, (o) => {
        const row = f.let('at', add(x, o));
        sums.forEach((s, i) => void f.set(s, v.add(s, loadV(row, 16 * i))));
      });
      const part = f.let('part', partAddress(a.parts, features, 1, 0, chunk, panel));
      sums.forEach((s, i) => void f.do(storeV(part, s, 16 * i)));
    });
  });
}

/** total = factor * the chunks' sums. */
export function totalKernel(k: Kernels, features: number): Kernel {
  const params = ['parts', 'chunks', 'total', 'f_factor'] as const;
  return k.kernel(`total_${features}`, params, (f, _, a) => {
    eachFeature(f, features, (o) => {
      const [sum] = sumParts(f, add(a.parts, o), a.chunks, 1, padded(features) * 4);
      f.do(storeV(add(a.total, o), v.mul(sum, v.splatF32(a.f_factor))));
    });
  });
}

/** The sum of the four lanes, of features that exist. */
export function lanesSum(x: Expr): Expr {
  return addF(addF(lane(x, 0), lane(x, 1)), addF(lane(x, 2), lane(x, 3)));
}

/** All bits of the lanes of a vector of features that exist. */
export function existing(features: number, feature: Expr): Expr {
  const lanes = v.iadd(v.splatInt(feature), lanesOffsets);
  return v.iltU(lanes, splatI32(features * 4));
}

const lanesOffsets: Expr = {
  type: 'v128',
  code: [0xfd, 12, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 12, 0, 0, 0],
  text: '[0, 4, 8, 12]',
};
