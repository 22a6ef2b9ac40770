import {
  add,
  divU,
  type Expr,
  eq,
  gt,
  i32,
  type Local,
  loadI32,
  loadSplat,
  loadV,
  lt,
  minU,
  mul,
  remU,
  splat,
  storeV,
  sub,
  sum,
  v,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { type Panels, panelBytes, panelsOf, rowBytes } from '../layout.ts';
import { eventBytes, spanBytes, spanWords } from './events.ts';
import { eachRow, type Kernel, type Kernels, onPanel, panelStart, rowParams } from './kernel.ts';

/**
 * Products for inference, where matrices stay as they are and samples may be few. Matrices lie row by row, so that an event
 * reads one long stretch, and several events go through the sums together. Sums are added up in the order in which those
 * of `gather` are: the bits are the same.
 */

/** A matrix in panels, row by row; items are panels. */
export function toRowsKernel(k: Kernels, outputs: number): Kernel {
  const params = ['matrix', 'matrixRows', 'inputs', 'target'] as const;
  return k.kernel(`toRows_${outputs}`, params, (f, panel, a) => {
    const from = f.let('from', panelStart(a.matrix, panel, a.matrixRows));
    const to = f.let('to', add(a.target, mul(panel, panelBytes)));
    onPanel(f, outputs, panel, (vectors, width) => {
      const left = f.let('left', a.inputs);
      f.while(left, () => {
        for (let i = 0; i < vectors; i++) f.do(storeV(to, loadV(from, 16 * i), 16 * i));
        f.set(from, add(from, width));
        f.set(to, add(to, rowBytes(outputs)));
        f.set(left, sub(left, 1));
      });
    });
  });
}

/** Events that go through the sums together, where they need not be multiplied and where they do; then those left over. */
const together = { plain: [8, 4, 1], multiplied: [4, 1] } as const;

/** y[row] = sum over the events of a span of value * weights[feature], for panels `first` to `end` (not included). */
export function sumRows(k: Kernels, outputs: number): Func {
  const params = ['first', 'end', 'weights', 'span', 'y', 'yRows', 'yRow'];
  return k.helper(`sumRows_${outputs}`, params, (f) => {
    const [first, end, weights, span, y, yRows, yRow] = f.parameters;
    const start = f.let('start', add(weights, mul(first, panelBytes)));
    const columns = new Columns(f, panelsOf(outputs), { first, end, y, yRows, yRow });
    const event = f.let('event', loadI32(span, spanWords.start));
    const stop = f.local('i32', 'stop');
    const addUp = (counts: readonly number[], multiplied: boolean) => {
      for (const count of counts) {
        const last = f.let('last', sub(stop, (count - 1) * eventBytes));
        f.while(lt(event, last), () => {
          const indices = Array.from({ length: count }, (_, i) => i);
          const rows = indices.map((i) =>
            f.let('row', add(start, mul(loadI32(event, i * eventBytes), rowBytes(outputs)))),
          );
          const values = multiplied ? indices.map((i) => f.let('value', loadSplat(event, i * eventBytes + 4))) : null;
          columns.addRows(rows, values);
          f.set(event, add(event, count * eventBytes));
        });
      }
    };
    columns.each([], (target, vectors) => {
      for (let i = 0; i < vectors; i++) f.do(storeV(target, splat(0), 16 * i));
    });
    f.set(stop, loadI32(span, spanWords.mixed));
    addUp(together.plain, false);
    const one = 0x3f800000;
    f.unless(eq(loadI32(span, spanWords.shared), one), () => {
      const shared = f.let('shared', loadSplat(span, spanWords.shared));
      columns.each([], (target, vectors) => {
        for (let i = 0; i < vectors; i++) f.do(storeV(target, v.mul(loadV(target, 16 * i), shared), 16 * i));
      });
    });
    f.set(stop, loadI32(span, spanWords.end));
    addUp(together.multiplied, true);
  });
}

interface Target {
  /** Panels, the last one not included. */
  readonly first: Expr;
  readonly end: Expr;
  readonly y: Expr;
  readonly yRows: Expr;
  readonly yRow: Expr;
}

/** Some panels of one row of an array in panels, next to rows of matrices. */
class Columns {
  private readonly f: Func;
  private readonly tail: number;
  private readonly full: boolean;
  private readonly target: Local;
  private readonly left: Local;
  private readonly firstTarget: Local;
  private readonly panels: Local;
  private readonly stride: Local;
  private readonly tailTarget: Local | null;
  private readonly hasTail: Expr;

  constructor(f: Func, { full, tail }: Panels, { first, end, y, yRows, yRow }: Target) {
    this.f = f;
    this.tail = tail;
    this.full = full > 0;
    this.target = f.local('i32', 'target');
    this.left = f.local('i32', 'left');
    this.panels = f.let('panels', sub(minU(end, i32(full)), first));
    this.stride = f.let('stride', mul(yRows, panelBytes));
    this.firstTarget = f.let('firstTarget', sum(y, mul(first, this.stride), mul(yRow, panelBytes)));
    this.tailTarget = tail > 0 ? f.let('tailTarget', sum(y, mul(this.stride, full), mul(yRow, tail * 4))) : null;
    this.hasTail = gt(end, full);
  }

  /** Each panel's vectors; `rows` are addresses that move along. */
  each(rows: readonly Local[], body: (target: Local, vectors: number) => void): void {
    const { f, target, left } = this;
    if (this.full) {
      f.set(target, this.firstTarget);
      f.set(left, this.panels);
      f.while(gt(left, 0), () => {
        body(target, panelBytes / 16);
        f.set(target, add(target, this.stride));
        for (const row of rows) f.set(row, add(row, panelBytes));
        f.set(left, sub(left, 1));
      });
    }
    const { tailTarget } = this;
    if (tailTarget) f.if(this.hasTail, () => body(tailTarget, this.tail / 4));
  }

  /** Adds rows, times `values` where they are given, one after the other; two vectors at a time stay in registers. */
  addRows(rows: readonly Local[], values: readonly Local[] | null): void {
    const { f } = this;
    this.each(rows, (target, vectors) => {
      for (let i = 0; i < vectors; i += 2) {
        const offsets = (i + 1 < vectors ? [i, i + 1] : [i]).map((n) => 16 * n);
        const sums = offsets.map((o) => f.let('sum', loadV(target, o)));
        rows.forEach((row, r) => {
          offsets.forEach((o, s) => {
            const weight = loadV(row, o);
            f.set(sums[s], v.add(sums[s], values ? v.mul(values[r], weight) : weight));
          });
        });
        sums.forEach((s, n) => void f.do(storeV(target, s, offsets[n])));
      }
    });
  }
}

/** Panels of outputs that one item of a product covers. */
const blockPanels = 8;

export const blocksOf = (outputs: number): number => Math.ceil(panelsOf(outputs).count / blockPanels);

/** x = events W^T, a block of outputs and a chunk of samples at a time (item `block * chunks + chunk`). */
export function rowProductKernel(k: Kernels, outputs: number): Kernel {
  const params = ['weights', 'spans', 'x', 'rows', ...rowParams] as const;
  return k.kernel(`rowProduct_${outputs}`, params, (f, item, a) => {
    const chunks = f.let('chunks', divU(sum(a.B, a.group, -1), a.group));
    const first = f.let('first', mul(divU(item, chunks), blockPanels));
    const end = f.let('end', minU(add(first, blockPanels), i32(panelsOf(outputs).count)));
    eachRow(f, a, remU(item, chunks), (row) => {
      const span = add(a.spans, mul(row, spanBytes));
      f.do(call(sumRows(k, outputs), [first, end, a.weights, span, a.x, a.rows, row]));
    });
  });
}
