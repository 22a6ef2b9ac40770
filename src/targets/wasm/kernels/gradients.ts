import { add, addF, type Expr, f32, loadF32, loadV, minU, mul, splat, storeF32, storeV, v } from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { eachFeature, type Kernel, type Kernels } from './kernel.ts';
import { existing, lanesSum } from './norm.ts';

/** The sum of a layer's chunks, of both directions where `partsToo` is not 0; for a scalar, over the features too. */
export function layerSumsKernel(k: Kernels, features: number, scalar: boolean): Kernel {
  const params = ['parts', 'partsToo', 'start', 'stride', 'chunks', 'total'] as const;
  return k.kernelReading(`layerSums${scalar ? 'Scalar' : ''}_${features}`, params, ['parts', 'partsToo'], (f, _, a) => {
    const all = f.let('all', splat(0));
    eachFeature(f, features, (o) => {
      const sum = f.let('sum', splat(0));
      for (const parts of [a.parts, a.partsToo]) {
        f.if(parts, () => {
          const at = f.let('at', add(add(parts, a.start), o));
          const chunk = f.local('i32', 'chunk');
          f.for(chunk, 0, a.chunks, 1, () => {
            f.set(sum, v.add(sum, loadV(at)));
            f.set(at, add(at, a.stride));
          });
        });
      }
      if (scalar) f.set(all, v.add(all, v.and(sum, existing(features, o))));
      else f.do(storeV(add(a.total, o), sum));
    });
    if (scalar) f.do(storeV(a.total, v.splatF32(addF(lanesSum(all), f32(0)))));
  });
}

/** Copies memory, `part` bytes an item. */
export function copyKernel(k: Kernels): Kernel {
  return k.kernel('copy', ['x', 'y', 'bytes', 'part'], (f, item, a) => {
    const from = f.let('from', mul(item, a.part));
    const end = f.let('end', minU(f.let('next', add(from, a.part)), a.bytes));
    const o = f.local('i32', 'o');
    f.for(o, from, end, 16, () => f.do(storeV(add(a.y, o), loadV(add(a.x, o)))));
  });
}

/** A gradient of features (or one number) into its place among the parameters' gradients, without padding. */
export function gradientKernel(k: Kernels, features: number, scalar: boolean): Kernel {
  return k.kernel(scalar ? 'gradientScalar' : `gradient_${features}`, ['x', 'y', 'fromScalar'], (f, _, a) => {
    if (scalar) {
      f.do(storeF32(a.y, loadF32(a.x)));
      return;
    }
    eachFeature(f, features, (o) => {
      const x = f.let('x', loadV(add(a.x, o)));
      f.if(a.fromScalar, () => f.set(x, v.splatF32(loadF32(a.x))));
      f.do(storeV(add(a.y, o), v.and(x, existing(features, o))));
    });
  });
}

/** The sum over the features of an array, as one number in four lanes. */
export function sumFeatures(f: Func, features: number, x: Expr): Expr {
  const total = f.let('total', splat(0));
  eachFeature(f, features, (o) => f.set(total, v.add(total, v.and(loadV(add(x, o)), existing(features, o)))));
  return v.splatF32(lanesSum(total));
}
