import {
  add,
  type Expr,
  i32,
  type Local,
  loadSplat,
  loadV,
  lt,
  mul,
  shuffle,
  splatF64,
  storeV,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { panelBytes, panelsOf, rowBytes } from '../layout.ts';
import { eachRow, type Kernel, type Kernels, onPanel, panelStart, rowParams } from './kernel.ts';

/**
 * x = source W^T, added up in float64 and rounded once, for a chunk of rows; the matrix lies row by row. So the order of the
 * sums does not show in float32.
 */
export function doubleProductKernel(k: Kernels, inputs: number, outputs: number): Kernel {
  const params = ['source', 'weights', 'x', 'rows', ...rowParams] as const;
  return k.kernel(`doubleProduct_${inputs}_${outputs}`, params, (f, chunk, a) => {
    const panel = f.local('i32', 'panel');
    eachRow(f, a, chunk, (row) => {
      f.for(panel, 0, i32(panelsOf(outputs).count), 1, () => {
        onPanel(f, outputs, panel, (vectors, width) => {
          const target = f.let('target', add(panelStart(a.x, panel, a.rows), mul(row, width)));
          const weights = f.let('column', add(a.weights, mul(panel, panelBytes)));
          // Two vectors of four at a time: their sums in float64 stay in registers.
          for (let i = 0; i < vectors; i += 2) {
            const offsets = (i + 1 < vectors ? [i, i + 1] : [i]).map((n) => 16 * n);
            const sums = offsets.map(() => [f.let('low', splatF64(0)), f.let('high', splatF64(0))]);
            const weight = f.let('weight', weights);
            eachNumber(f, inputs, { base: a.source, rows: a.rows, row }, (number) => {
              const factor = f.let('factor', v.promoteLow(number));
              offsets.forEach((o, n) => {
                const four = f.let('four', loadV(weight, o));
                const halves = [four, shuffle(four, four, [2, 3, 2, 3])].map(v.promoteLow);
                sums[n].forEach((sum, h) => void f.set(sum, v.f64add(sum, v.f64mul(factor, halves[h]))));
              });
              f.set(weight, add(weight, rowBytes(outputs)));
            });
            sums.forEach(([low, high], n) => {
              f.do(storeV(target, shuffle(v.demote(low), v.demote(high), [0, 1, 4, 5]), offsets[n]));
            });
          }
        });
      });
    });
  });
}

/** The numbers of a row of an array [rows, features], each in all lanes. */
function eachNumber(
  f: Func,
  features: number,
  at: { readonly base: Local; readonly rows: Local; readonly row: Local },
  body: (number: Expr) => void,
): void {
  const { full, tail } = panelsOf(features);
  const address = f.local('i32', 'number');
  const end = f.local('i32', 'end');
  const through = (start: Expr, count: number) => {
    f.set(address, start);
    f.set(end, add(address, 4 * count));
    f.while(lt(address, end), () => {
      body(loadSplat(address));
      f.set(address, add(address, 4));
    });
  };
  if (full > 0) {
    const panel = f.local('i32', 'fullPanel');
    f.for(panel, 0, i32(full), 1, () => {
      through(add(panelStart(at.base, panel, at.rows), mul(at.row, panelBytes)), panelBytes / 4);
    });
  }
  if (tail > 0) {
    const rest = features - (full * panelBytes) / 4;
    through(add(panelStart(at.base, i32(full), at.rows), mul(at.row, tail * 4)), rest);
  }
}
