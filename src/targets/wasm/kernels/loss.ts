import {
  add,
  addF,
  blend,
  divF,
  type Expr,
  f32,
  ge,
  lane,
  loadI32,
  loadV,
  lt,
  mul,
  shuffle,
  splat,
  splatI32,
  storeF32,
  storeV,
  sub,
  subF,
  v,
} from '../assembler/expr.ts';
import { exp, log } from '../math.ts';
import { eachRow, eachRowInPanel, eachVector, type Kernel, type Kernels, rowParams } from './kernel.ts';
import { existing, lanesSum } from './norm.ts';

/**
 * Cross-entropy of every row against its sample's label: `losses` [B, T], and in `d` the cotangent of the scores, both
 * times 1 / count, 0 on padded steps. `d` is 0 in evaluation.
 */
export function crossEntropyKernel(k: Kernels, classes: number): Kernel {
  const params = ['scores', 'rows', 'labels', 'losses', 'd', 'lengths', 'f_weight', ...rowParams] as const;
  return k.kernel(`crossEntropy_${classes}`, params, (f, item, a) => {
    eachRow(f, a, item, (row, b, t) => {
      const label = f.let('label', mul(loadI32(add(a.labels, mul(b, 4))), 4));
      const weight = f.let('weight', a.f_weight);
      f.if(a.lengths, () => f.if(ge(t, loadI32(add(a.lengths, mul(b, 4)))), () => f.set(weight, f32(0))));
      const score = (o: Expr, feature: Expr) =>
        blend(existing(classes, feature), loadV(add(a.scores, o)), splat(Number.NEGATIVE_INFINITY));
      const peak = f.let('peak', splat(Number.NEGATIVE_INFINITY));
      eachVector(f, classes, a.rows, row, (o, feature) => f.set(peak, v.max(peak, f.let('score', score(o, feature)))));
      f.set(peak, v.max(peak, shuffle(peak, peak, [2, 3, 0, 1])));
      f.set(peak, v.max(peak, shuffle(peak, peak, [1, 0, 3, 2])));
      const total = f.let('total', splat(0));
      const own = f.let('own', splat(0));
      const isLabel = (feature: Expr) => v.ieq(v.iadd(v.splatInt(feature), offsets), v.splatInt(label));
      eachVector(f, classes, a.rows, row, (o, feature) => {
        const e = f.let('e', v.and(exp(f, v.sub(loadV(add(a.scores, o)), peak)), existing(classes, feature)));
        f.set(total, v.add(total, e));
        f.set(own, v.add(own, v.and(loadV(add(a.scores, o)), isLabel(feature))));
      });
      const sum = f.let('sum', lanesSum(total));
      const logSum = log(f, f.let('sums', v.splatF32(sum)));
      const loss = addF(lane(peak, 0), subF(lane(logSum, 0), lanesSum(own)));
      const place = f.let('place', add(a.losses, mul(add(mul(b, a.T), t), 4)));
      f.do(storeF32(place, mulF32(loss, weight)));
      f.if(a.d, () => {
        const scale = f.let('scale', v.splatF32(divF(f32(1), sum)));
        eachVector(f, classes, a.rows, row, (o, feature) => {
          const e = f.let('e', v.and(exp(f, v.sub(loadV(add(a.scores, o)), peak)), existing(classes, feature)));
          const target = v.and(splat(1), isLabel(feature));
          f.do(storeV(add(a.d, o), v.mul(v.sub(v.mul(e, scale), target), v.splatF32(weight))));
        });
      });
    });
  });
}

const offsets: Expr = {
  type: 'v128',
  code: [0xfd, 12, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 12, 0, 0, 0],
  text: '[0, 4, 8, 12]',
};

const mulF32 = (a: Expr, b: Expr): Expr => ({
  type: 'f32',
  code: [...a.code, ...b.code, 0x94],
  text: `(${a.text} * ${b.text})`,
});

/** Adds to the cotangents of a layer's output the slope of the firing-rate regulariser, on valid steps. */
export function regularizerKernel(k: Kernels, features: number): Kernel {
  const params = ['d', 'rows', 'rates', 'lengths', 'f_min', 'f_max', 'f_slope', ...rowParams] as const;
  return k.kernel(`regularizer_${features}`, params, (f, item, a) => {
    const valid = f.let('valid', splatI32(-1));
    eachRowInPanel(f, features, a, a.rows, item, ({ o, feature, b, t }, vectors) => {
      f.if(a.lengths, () => f.set(valid, v.splatInt(sub(0, lt(t, loadI32(add(a.lengths, mul(b, 4))))))));
      const d = f.let('dAt', add(a.d, o));
      for (let i = 0; i < 16 * vectors; i += 16) {
        const rate = f.let('rate', loadV(add(a.rates, feature), i));
        const above = v.and(v.gt(rate, v.splatF32(a.f_max)), v.splatF32(a.f_slope));
        const below = v.and(v.lt(rate, v.splatF32(a.f_min)), v.splatF32(a.f_slope));
        const slope = v.and(v.and(v.sub(above, below), valid), existing(features, add(feature, i)));
        f.do(storeV(d, v.add(loadV(d, i), slope), i));
      }
    });
  });
}

/** y = x, y += x or y = 0, for arrays of equal shape. */
export function combineKernel(k: Kernels, features: number, operation: 'add' | 'copy' | 'zero'): Kernel {
  const params = ['x', 'y', 'rows', ...rowParams] as const;
  return k.kernel(`${operation}_${features}`, params, (f, item, a) => {
    eachRowInPanel(f, features, a, a.rows, item, ({ o }, vectors) => {
      const [x, y] = [f.let('xAt', add(a.x, o)), f.let('yAt', add(a.y, o))];
      for (let i = 0; i < 16 * vectors; i += 16) {
        const value = { add: v.add(loadV(y, i), loadV(x, i)), copy: loadV(x, i), zero: splat(0) }[operation];
        f.do(storeV(y, value, i));
      }
    });
  });
}
