import {
  add,
  and,
  choose,
  divU,
  type Expr,
  eq,
  i32,
  type Local,
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
import type { Func } from '../assembler/func.ts';
import { matrixRows } from '../layout.ts';
import { denseGradient } from './dense.ts';
import { eventBytes, isDense, type Listed, spanBytes, startsWords } from './events.ts';
import {
  chunkRow,
  inTurns,
  type Kernel,
  type Kernels,
  onPanel,
  panelStart,
  type RowArgs,
  rowParams,
  samplesOf,
} from './kernel.ts';

/** How many inputs a weight gradient item covers: an even number. */
export const inputsPerItem = (inputs: number): number => Math.max(32, 2 * Math.ceil(inputs / 8));

/**
 * dW[input, outputs] = sum over the sorted events of an input of value * d[row, outputs]; item `panel * parts + part`.
 * The rows of a chunk's panel stay in the cache while all inputs of a part go through them. Rows that have no
 * lists are added by a dense product.
 */
export function weightGradientKernel(k: Kernels, { features: inputs, real }: Listed, outputs: number): Kernel {
  const params = ['gradient', 'd', 'dRows', 'starts', 'chunks', 'accumulate', 'spans', ...rowParams] as const;
  const part = inputsPerItem(inputs);
  const parts = Math.ceil(inputs / part);
  return k.kernelReading(
    `weightGradient${real ? 'Real' : ''}_${inputs}_${outputs}`,
    params,
    ['d', 'sorted', 'starts', 'events', 'spans'],
    (f, item, a) => {
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
                  f.set(totals[i], value ? k.multiplyAdd(value, d, totals[i]) : v.add(totals[i], d));
                });
                f.set(event, add(event, eventBytes));
              });
            sumUp(null);
            for (const t of totals) f.set(t, v.mul(t, shared));
            f.set(end, loadI32(place, 8));
            sumUp(() => loadSplat(event, 4));
            const target = f.let('target', add(weights, mul(input, width)));
            f.if(or(chunk, a.accumulate), () =>
              totals.forEach((t, i) => void f.set(t, v.add(t, loadV(target, 16 * i)))),
            );
            totals.forEach((t, i) => void f.do(storeV(target, t, 16 * i)));
          });
          f.set(start, add(start, startsWords(inputs) * 4));
          if (!real) return;
          eachDenseRun(f, a, chunk, (row, n, x) => {
            const d = f.let('dRow', add(rows, mul(row, width)));
            denseGradient(k, f, { n, x, from, to, d, gradient: weights }, { inputs, vectors, width });
          });
        });
        // Padding rows of a matrix that is summed over must hold nothing.
        for (let row = inputs; row < matrixRows(inputs); row++) {
          for (let i = 0; i < vectors; i++) f.do(storeV(add(weights, row * width), splat(0), 16 * i));
        }
      });
    },
  );
}

/** Rows that a gradient goes through at once: with the part of the operand that an item covers they stay in the first-level cache. */
const longestRun = 96;

/** The rows of a chunk that have no lists, a few steps at a time: `n` rows from `row` on, whose numbers start at `x`. */
function eachDenseRun(
  f: Func,
  a: RowArgs & { readonly spans: Local },
  chunk: Expr,
  body: (row: Local, n: Local, x: Local) => void,
): void {
  const samples = samplesOf(f, a, chunk);
  const row = f.let('row', chunkRow(a, chunk, i32(0)));
  const end = f.let('end', add(row, mul(a.T, a.group)));
  const spanOf = (row: Expr) => add(a.spans, mul(row, spanBytes));
  f.while(lt(row, end), () => {
    const n = f.let('n', samples);
    f.if(isDense(spanOf(row)), () => {
      const next = f.let('next', add(row, a.group));
      // Steps of a chunk that is not full leave gaps between their rows.
      f.if(eq(samples, a.group), () => {
        f.while(and(lt(next, end), and(lt(n, longestRun), isDense(spanOf(choose(lt(next, end), next, row))))), () => {
          f.set(n, add(n, a.group));
          f.set(next, add(next, a.group));
        });
      });
      body(row, n, f.let('x', loadI32(spanOf(row))));
      f.set(row, sub(next, a.group));
    });
    f.set(row, add(row, a.group));
  });
}
