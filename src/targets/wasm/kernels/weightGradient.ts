import {
  add,
  divU,
  type Expr,
  i32,
  loadI32,
  loadSplat,
  loadV,
  lt,
  minU,
  mul,
  or,
  splat,
  storeV,
  sub,
  v,
} from '../assembler/expr.ts';
import { matrixRows } from '../layout.ts';
import { eventBytes, startsWords } from './events.ts';
import { inTurns, type Kernel, type Kernels, onPanel, panelStart } from './kernel.ts';

/** How many inputs a weight gradient item covers. */
export const inputsPerItem = (inputs: number): number => Math.max(32, Math.ceil(inputs / 4));

/**
 * dW[input, outputs] = sum over the sorted events of an input of value * d[row, outputs]; item `panel * parts + part`.
 * The rows of a chunk's panel stay in the cache while all inputs of a part go through them.
 */
export function weightGradientKernel(k: Kernels, inputs: number, outputs: number): Kernel {
  const params = ['gradient', 'd', 'dRows', 'starts', 'chunks', 'accumulate'] as const;
  const part = inputsPerItem(inputs);
  const parts = Math.ceil(inputs / part);
  return k.kernel(`weightGradient_${inputs}_${outputs}`, params, (f, item, a) => {
    const panel = f.let('panel', divU(item, parts));
    const from = f.let('from', mul(sub(item, mul(panel, parts)), part));
    const to = f.let('to', minU(f.let('end', add(from, part)), i32(inputs)));
    const rows = f.let('rows', panelStart(a.d, panel, a.dRows));
    const weights = f.let('w', panelStart(a.gradient, panel, i32(matrixRows(inputs))));
    const chunk = f.local('i32', 'chunk');
    const start = f.let('start', a.starts);
    onPanel(f, outputs, panel, (vectors, width) => {
      const totals = Array.from({ length: vectors }, (_, i) => f.local('v128', `g${i}`));
      f.for(chunk, 0, a.chunks, 1, () => {
        const input = f.local('i32', 'input');
        const shared = f.let('shared', loadSplat(start, (2 * inputs + 1) * 4));
        f.for(input, from, to, 1, () => {
          const place = f.let('place', add(start, mul(input, 8)));
          const event = f.let('event', loadI32(place));
          const end = f.let('end', loadI32(place, 4));
          for (const t of totals) f.set(t, splat(0));
          const sumUp = (factor: (() => Expr) | null) =>
            f.while(lt(event, end), () => {
              const row = f.let('row', add(rows, mul(loadI32(event), width)));
              const value = factor && f.let('value', factor());
              inTurns(f, vectors, [event, end], (i) => {
                const d = loadV(row, 16 * i);
                f.set(totals[i], v.add(totals[i], value ? v.mul(value, d) : d));
              });
              f.set(event, add(event, eventBytes));
            });
          sumUp(null);
          for (const t of totals) f.set(t, v.mul(t, shared));
          f.set(end, loadI32(place, 8));
          sumUp(() => loadSplat(event, 4));
          const target = f.let('target', add(weights, mul(input, width)));
          f.if(or(chunk, a.accumulate), () => totals.forEach((t, i) => void f.set(t, v.add(t, loadV(target, 16 * i)))));
          totals.forEach((t, i) => void f.do(storeV(target, t, 16 * i)));
        });
        f.set(start, add(start, startsWords(inputs) * 4));
      });
      // Padding rows of a matrix that is summed over must hold nothing.
      for (let row = inputs; row < matrixRows(inputs); row++) {
        for (let i = 0; i < vectors; i++) f.do(storeV(add(weights, row * width), splat(0), 16 * i));
      }
    });
  });
}
