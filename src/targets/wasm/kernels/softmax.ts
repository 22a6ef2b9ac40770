import { add, addF, blend, divF, type Expr, f32, loadV, shuffle, splat, storeV, v } from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { exp } from '../math.ts';
import { eachVectorOf, type Kernels } from './kernel.ts';
import { existing, lanesSum } from './norm.ts';

const rowParams = ['x', 'xRows', 'xRow', 'y', 'yRows', 'yRow'] as const;

/** y = softmax of a row of x; padding stays 0. */
export function softmaxRow(k: Kernels, features: number): Func {
  return k.helper(`softmax_${features}`, rowParams, (f) => {
    const [x, xRows, xRow, y, yRows, yRow] = f.parameters;
    const source = { rows: xRows, row: xRow };
    const target = { rows: yRows, row: yRow };
    const peak = f.let('peak', splat(Number.NEGATIVE_INFINITY));
    eachVectorOf(f, features, [source], ([o], feature) => {
      const value = blend(existing(features, feature), loadV(add(x, o)), splat(Number.NEGATIVE_INFINITY));
      f.set(peak, v.max(peak, f.let('value', value)));
    });
    f.set(peak, v.max(peak, shuffle(peak, peak, [2, 3, 0, 1])));
    f.set(peak, v.max(peak, shuffle(peak, peak, [1, 0, 3, 2])));
    const total = f.let('total', splat(0));
    eachVectorOf(f, features, [source, target], ([from, to], feature) => {
      const e = f.let('e', v.and(exp(f, v.sub(loadV(add(x, from)), peak)), existing(features, feature)));
      f.set(total, v.add(total, e));
      f.do(storeV(add(y, to), e));
    });
    const scale = f.let('scale', v.splatF32(divF(f32(1), lanesSum(total))));
    eachVectorOf(f, features, [target], ([to]) => {
      const at = f.let('at', add(y, to));
      f.do(storeV(at, v.mul(loadV(at), scale)));
    });
  });
}

/** z = y * (g - sum(g * y)) for a row. */
export function softmaxAdjointRow(k: Kernels, features: number): Func {
  const params = ['y', 'yRows', 'yRow', 'g', 'gRows', 'gRow', 'z', 'zRows', 'zRow'];
  return k.helper(`softmaxAdjoint_${features}`, params, (f) => {
    const [y, yRows, yRow, g, gRows, gRow, z, zRows, zRow] = f.parameters;
    const arrays = [
      { rows: yRows, row: yRow },
      { rows: gRows, row: gRow },
      { rows: zRows, row: zRow },
    ];
    const total = f.let('total', splat(0));
    eachVectorOf(f, features, arrays, ([a, b]) =>
      f.set(total, v.add(total, v.mul(loadV(add(y, a)), loadV(add(g, b))))),
    );
    const sum: Expr = f.let('sum', v.splatF32(addF(lanesSum(total), f32(0))));
    eachVectorOf(f, features, arrays, ([a, b, c]) =>
      f.do(storeV(add(z, c), v.mul(loadV(add(y, a)), v.sub(loadV(add(g, b)), sum)))),
    );
  });
}
