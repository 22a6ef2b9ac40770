import { add, type Expr, ge, type Local, loadSplat, loadV, lt, mul, splat, storeV, sub } from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { denseRowBytes } from './events.ts';
import type { Kernels } from './kernel.ts';

/**
 * Products whose operand has few zeros: its rows lie one after the other, all numbers of each. They go through the products in
 * pairs, and half a panel of outputs stays in registers.
 */

/** Vectors that stay in registers, for each of two rows. */
const halves = (vectors: number): number[][] =>
  [
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ]
    .map((half) => half.filter((i) => i < vectors))
    .filter((half) => half.length > 0);

/** Runs `block` for two of `n` rows at a time, then for the one that is left over. */
function inPairs(f: Func, n: Expr, block: (count: number) => void): void {
  const left = f.let('left', n);
  f.while(ge(left, 2), () => {
    block(2);
    f.set(left, sub(left, 2));
  });
  f.if(left, () => block(1));
}

/** `totals[r][i]` += values[r] * vectors[i]. */
function addProducts(
  k: Kernels,
  f: Func,
  totals: readonly (readonly Local[])[],
  values: readonly Local[],
  vectors: Expr[],
): void {
  vectors.forEach((vector, i) => {
    const own = f.let('own', vector);
    totals.forEach((row, r) => void f.set(row[i], k.multiplyAdd(values[r], own, row[i])));
  });
}

/**
 * y = rows times a panel of weights [inputs, outputs], whose rows of `width` bytes start at `weights`. The `n` rows
 * start at `x`, the results go to `y`.
 */
export function denseProduct(
  k: Kernels,
  f: Func,
  at: { readonly n: Expr; readonly weights: Expr; readonly x: Expr; readonly y: Expr },
  { inputs, vectors, width }: { readonly inputs: number; readonly vectors: number; readonly width: number },
): void {
  const rowBytes = denseRowBytes(inputs);
  for (const half of halves(vectors)) {
    const row = f.let('rowAt', at.x);
    const target = f.let('yAt', at.y);
    inPairs(f, at.n, (count) => {
      const rows = Array.from({ length: count }, (_, r) => r);
      const totals = rows.map(() => half.map(() => f.let('total', splat(0))));
      const x = f.let('x', row);
      const end = f.let('end', add(row, inputs * 4));
      const from = f.let('from', at.weights);
      f.while(lt(x, end), () => {
        const values = rows.map((r) => f.let('value', loadSplat(x, r * rowBytes)));
        addProducts(
          k,
          f,
          totals,
          values,
          half.map((i) => loadV(from, 16 * i)),
        );
        f.set(from, add(from, width));
        f.set(x, add(x, 4));
      });
      rows.forEach((r) => {
        half.forEach((i, n) => void f.do(storeV(target, totals[r][n], r * width + 16 * i)));
      });
      f.set(row, add(row, count * rowBytes));
      f.set(target, add(target, count * width));
    });
  }
}

/**
 * gradient += rows^T d, for inputs `from` (even) up to `to` and a panel of outputs; the gradient's rows of `width` bytes start
 * at `gradient`, those of d at `d`.
 */
export function denseGradient(
  k: Kernels,
  f: Func,
  at: Readonly<Record<'n' | 'x' | 'from' | 'to' | 'd' | 'gradient', Expr>>,
  { inputs, vectors, width }: { readonly inputs: number; readonly vectors: number; readonly width: number },
): void {
  const rowBytes = denseRowBytes(inputs);
  const end = f.let('endOfD', add(at.d, mul(at.n, width)));
  for (const half of halves(vectors)) {
    const first = f.let('first', add(at.x, mul(at.from, 4)));
    const target = f.let('target', add(at.gradient, mul(at.from, width)));
    inPairs(f, sub(at.to, at.from), (count) => {
      const pair = Array.from({ length: count }, (_, r) => r);
      const totals = pair.map((r) => half.map((i) => f.let('total', loadV(target, r * width + 16 * i))));
      const x = f.let('x', first);
      const d = f.let('dAt', at.d);
      f.while(lt(d, end), () => {
        const values = pair.map((r) => f.let('value', loadSplat(x, 4 * r)));
        addProducts(
          k,
          f,
          totals,
          values,
          half.map((i) => loadV(d, 16 * i)),
        );
        f.set(d, add(d, width));
        f.set(x, add(x, rowBytes));
      });
      pair.forEach((r) => {
        half.forEach((i, n) => void f.do(storeV(target, totals[r][n], r * width + 16 * i)));
      });
      f.set(first, add(first, 4 * count));
      f.set(target, add(target, count * width));
    });
  }
}
