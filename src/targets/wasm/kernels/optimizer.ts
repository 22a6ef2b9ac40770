import type { OptimizerConfig } from '../../target.ts';
import {
  add,
  addF,
  choose,
  compareF,
  divF,
  type Expr,
  f32,
  type Local,
  loadF32,
  loadV,
  minU,
  mul,
  splat,
  sqrtF,
  storeF32,
  storeV,
  v,
} from '../assembler/expr.ts';
import type { Kernel, Kernels } from './kernel.ts';
import { lanesSum } from './norm.ts';

/** Numbers of the flat parameter vector that one item updates. */
export const optimizerChunk = 8192;

/** Sum of squares of a chunk of the gradients. */
export function squaresKernel(k: Kernels): Kernel {
  return k.kernel('squares', ['gradients', 'count', 'parts'], (f, item, a) => {
    const total = f.let('total', splat(0));
    const { from, to } = range(f.let('from', mul(item, optimizerChunk * 4)), a.count, (e) => f.let('to', e));
    const o = f.local('i32', 'o');
    f.for(o, from, to, 16, () => {
      const g = f.let('g', loadV(add(a.gradients, o)));
      f.set(total, v.add(total, v.mul(g, g)));
    });
    f.do(storeF32(add(a.parts, mul(item, 4)), lanesSum(total)));
  });
}

/** The factor that bounds the global norm, as torch.nn.utils.clip_grad_norm_. */
export function clipFactorKernel(k: Kernels): Kernel {
  return k.kernel('clipFactor', ['parts', 'chunks', 'factor', 'f_maximum'], (f, _, a) => {
    const total = f.let('total', f32(0));
    const i = f.local('i32', 'i');
    f.for(i, 0, a.chunks, 1, () => f.set(total, addF(total, loadF32(add(a.parts, mul(i, 4))))));
    const factor = f.let('bound', divF(a.f_maximum, addF(sqrtF(total), f32(1e-6))));
    f.do(storeF32(a.factor, choose(compareF.lt(factor, f32(1)), factor, f32(1))));
  });
}

function range(from: Local, count: Expr, keep: (e: Expr) => Local) {
  const end = keep(add(from, optimizerChunk * 4));
  return { from, to: keep(minU(end, keep(mul(count, 4)))) };
}

/** One update of a chunk of the flat parameter vector; SGD, Adam and AdamW as torch.optim has them. */
export function optimizerKernel(k: Kernels, config: OptimizerConfig): Kernel {
  const params = [
    'parameters',
    'gradients',
    'first',
    'second',
    'count',
    'clip',
    'f_rate',
    'f_deviation',
    'f_decay',
  ] as const;
  return k.kernel(config.kind, params, (f, item, a) => {
    const { from, to } = range(f.let('from', mul(item, optimizerChunk * 4)), a.count, (e) => f.let('to', e));
    const clip = f.let('factor', splat(1));
    f.if(a.clip, () => f.set(clip, v.splatF32(loadF32(a.clip))));
    const rate = f.let('rate', v.splatF32(a.f_rate));
    const o = f.local('i32', 'o');
    f.for(o, from, to, 16, () => {
      const at = (base: Local) => add(base, o);
      const p = f.let('p', loadV(at(a.parameters)));
      const g = f.let('g', v.mul(loadV(at(a.gradients)), clip));
      if (config.kind === 'adamw') f.set(p, v.mul(p, v.splatF32(a.f_decay)));
      else if (config.weightDecay !== 0) f.set(g, v.add(g, v.mul(p, splat(config.weightDecay))));
      if (config.kind === 'sgd') {
        if (config.momentum !== 0) {
          f.set(g, v.add(v.mul(loadV(at(a.first)), splat(config.momentum)), g));
          f.do(storeV(at(a.first), g));
        }
        f.do(storeV(at(a.parameters), v.sub(p, v.mul(g, rate))));
        return;
      }
      const { beta1, beta2, eps } = config;
      const m = f.let('m', v.add(v.mul(loadV(at(a.first)), splat(beta1)), v.mul(g, splat(1 - beta1))));
      const s = f.let('s', v.add(v.mul(loadV(at(a.second)), splat(beta2)), v.mul(v.mul(g, g), splat(1 - beta2))));
      f.do(storeV(at(a.first), m));
      f.do(storeV(at(a.second), s));
      const deviation = v.add(v.mul(v.sqrt(s), v.splatF32(a.f_deviation)), splat(eps));
      f.do(storeV(at(a.parameters), v.sub(p, v.mul(v.div(m, deviation), rate))));
    });
  });
}

export const chunksOf = (count: number): number => Math.ceil(count / optimizerChunk);
