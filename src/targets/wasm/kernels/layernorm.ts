import {
  add,
  addF,
  divF,
  type Expr,
  f32,
  loadSplat,
  loadV,
  mul,
  splat,
  sqrtF,
  storeF32,
  storeV,
  v,
} from '../assembler/expr.ts';
import { padded } from '../layout.ts';
import { eachFeature, eachRow, eachVector, type Kernel, type Kernels, rowParams } from './kernel.ts';
import { existing, lanesSum, sumParts } from './norm.ts';

/** Layernorm: y = x̂ * weight + bias with x̂ over the features of a row, of x (+ ownBias); keeps mean and inverse per row. */
export function layernormKernel(k: Kernels, features: number): Kernel {
  const params = ['x', 'y', 'rows', 'ownBias', 'weight', 'bias', 'statistics', 'f_eps', ...rowParams] as const;
  return k.kernel(`layernorm_${features}`, params, (f, item, a) => {
    const n = f32(features);
    eachRow(f, a, item, (row) => {
      const sum = f.let('sum', splat(0));
      f.if(a.ownBias, () =>
        eachVector(f, features, a.rows, row, (o, feature) => {
          const at = f.let('at', add(a.x, o));
          f.do(storeV(at, v.add(loadV(at), loadV(add(a.ownBias, feature)))));
        }),
      );
      eachVector(f, features, a.rows, row, (o) => f.set(sum, v.add(sum, loadV(add(a.x, o)))));
      const mean = f.let('mean', divF(lanesSum(sum), n));
      const means = f.let('means', v.splatF32(mean));
      f.set(sum, splat(0));
      eachVector(f, features, a.rows, row, (o, feature) => {
        const d = f.let('d', v.and(v.sub(loadV(add(a.x, o)), means), existing(features, feature)));
        f.set(sum, v.add(sum, v.mul(d, d)));
      });
      const inverse = f.let('inverse', divF(f32(1), sqrtF(addF(divF(lanesSum(sum), n), a.f_eps))));
      const kept = f.let('kept', add(a.statistics, mul(row, 8)));
      f.do(storeF32(kept, mean));
      f.do(storeF32(kept, inverse, 4));
      eachVector(f, features, a.rows, row, (o, feature) => {
        const normal = v.mul(v.sub(loadV(add(a.x, o)), means), v.splatF32(inverse));
        f.do(storeV(add(a.y, o), v.add(v.mul(normal, loadV(add(a.weight, feature))), loadV(add(a.bias, feature)))));
      });
    });
  });
}

/** In place the cotangent of a layernorm's input; per chunk, the sums of d * x̂, of d, and of the result. */
export function layernormBackwardKernel(k: Kernels, features: number): Kernel {
  const params = ['d', 'x', 'rows', 'weight', 'statistics', 'parts', ...rowParams] as const;
  return k.kernel(`layernormBackward_${features}`, params, (f, item, a) => {
    const n = f32(features);
    const size = padded(features) * 4;
    const parts = f.let('chunkParts', add(a.parts, mul(item, 3 * size)));
    eachFeature(f, features, (o) => [0, 1, 2].map((i) => f.do(storeV(add(parts, o), splat(0), i * size))));
    const accumulate = (address: Expr, value: Expr, offset: number) => {
      const at = f.let('sumAt', address);
      f.do(storeV(at, v.add(loadV(at, offset), value), offset));
    };
    eachRow(f, a, item, (row) => {
      const kept = f.let('kept', add(a.statistics, mul(row, 8)));
      const mean = f.let('mean', loadSplat(kept));
      const inverse = f.let('inverse', loadSplat(kept, 4));
      const plain = f.let('plain', splat(0));
      const weighted = f.let('weighted', splat(0));
      const normal = (o: Expr) => v.mul(v.sub(loadV(add(a.x, o)), mean), inverse);
      eachVector(f, features, a.rows, row, (o, feature) => {
        const d = f.let('dv', loadV(add(a.d, o)));
        const x = f.let('xv', normal(o));
        const g = f.let('g', v.mul(d, loadV(add(a.weight, feature))));
        f.set(plain, v.add(plain, g));
        f.set(weighted, v.add(weighted, v.mul(g, x)));
        accumulate(add(parts, feature), v.mul(d, x), 0);
        accumulate(add(parts, feature), d, size);
      });
      const meanG = f.let('meanG', v.splatF32(divF(lanesSum(plain), n)));
      const meanW = f.let('meanW', v.splatF32(divF(lanesSum(weighted), n)));
      eachVector(f, features, a.rows, row, (o, feature) => {
        const g = v.mul(loadV(add(a.d, o)), loadV(add(a.weight, feature)));
        const dx = v.mul(v.sub(v.sub(g, meanG), v.mul(normal(o), meanW)), inverse);
        const result = f.let('dx', v.and(dx, existing(features, feature)));
        f.do(storeV(add(a.d, o), result));
        accumulate(add(parts, feature), result, 2 * size);
      });
    });
  });
}

/** Adds up three vectors per chunk into the gradients of a layernorm; `gOwnBias` is 0 where the product has no bias. */
export function layernormGradientKernel(k: Kernels, features: number): Kernel {
  const params = ['parts', 'chunks', 'gWeight', 'gBias', 'gOwnBias'] as const;
  return k.kernel(`layernormGradient_${features}`, params, (f, _, a) => {
    eachFeature(f, features, (o) => {
      const [weight, bias, own] = sumParts(f, add(a.parts, o), a.chunks, 3, padded(features) * 4);
      f.do(storeV(add(a.gWeight, o), weight));
      f.do(storeV(add(a.gBias, o), bias));
      f.if(a.gOwnBias, () => f.do(storeV(add(a.gOwnBias, o), own)));
    });
  });
}
