import {
  add,
  addF,
  and,
  choose,
  type Expr,
  eq,
  f32,
  ge,
  i32,
  type Local,
  lane,
  loadF32,
  loadI32,
  loadV,
  lt,
  minU,
  mul,
  mulF,
  shrU,
  shuffle,
  splat,
  storeF32,
  storeV,
  sub,
  sum,
  v,
  zeroFill,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { matrixRows, padded, panelBytes, panelsOf } from '../layout.ts';
import { spanBytes, spanWords } from './events.ts';
import { eachStep, inTurns, type Kernel, type Kernels, onPanel, panelStart, rowParams } from './kernel.ts';
import { maskWord, scaleOf } from './masks.ts';

/**
 * Products with transposed weights: x[row, input] = d[row] . weights[input], the cotangents of a product's inputs. Where
 * gates are listed, only the inputs listed for a row are computed, the others are zero.
 */
const rowArgs = ['n', 'weights', 'd', 'dRows', 'dRow', 'x', 'xRows', 'xRow', 'accumulate'];

/** A gate is the index of an input, 4 bytes; spans are those of events. */
export const gateBytes = 4;

/** Rows that go through a panel of weights together. */
const tile = 16;

/** Room for the partial sums of a tile. */
export const scratchBytes = (inputs: number): number => tile * padded(inputs) * 16;

/** For `n` rows that follow each other; their lists do, too. The results are multiplied by a dropout mask where `p` is given. */
export function gatedDots(k: Kernels, inputs: number, outputs: number, p: number | null): Func {
  const name = `gatedDots${p === null ? '' : `Masked_${p}`}_${inputs}_${outputs}`;
  const params = [...rowArgs, 'spans', 'spanRow', 'scratch', ...(p === null ? [] : ['mask'])];
  return k.helper(name, params, (f) => {
    const [n, weights, d, dRows, dRow, x, xRows, xRow, accumulate, spans, spanRow, scratch, mask] = f.parameters;
    f.while(n, () => {
      const rows = f.let('rows', minU(n, f.let('tile', tile)));
      const firstSpan = f.let('firstSpan', add(spans, mul(spanRow, spanBytes)));
      const endSpan = f.let('endSpan', add(firstSpan, mul(rows, spanBytes)));
      const listed = sub(loadI32(sub(endSpan, spanBytes), spanWords.end), loadI32(firstSpan, spanWords.start));
      f.do(zeroFill(scratch, mul(listed, 16 / gateBytes)));
      const panel = f.local('i32', 'panel');
      f.for(panel, 0, i32(panelsOf(outputs).count), 1, () => {
        partialDots(k, f, outputs, panel, {
          weights: panelStart(weights, panel, i32(matrixRows(inputs))),
          d: panelStart(d, panel, dRows),
          dRow,
          firstSpan,
          endSpan,
          scratch,
        });
      });
      const span = f.let('span', firstSpan);
      const row = f.let('row', xRow);
      const at = f.let('sumAt', scratch);
      f.while(lt(span, endSpan), () => {
        f.if(eq(accumulate, 0), () => zeroRow(f, inputs, x, xRows, row));
        eachGate(f, span, (input) => {
          const place = f.let('place', elementOf(inputs, x, xRows, row, input));
          const partial = f.let('partial', loadV(at));
          const halves = f.let('halves', v.add(partial, shuffle(partial, partial, [2, 3, 0, 1])));
          const dot = f.let('dot', addF(lane(halves, 0), lane(halves, 1)));
          if (p !== null) {
            const word = loadI32(maskWord(mask, shrU(input, 5), xRows, row));
            const kept = and(shrU(word, and(input, 31)), 1);
            f.set(dot, mulF(dot, choose(kept, f32(scaleOf(p)), f32(0))));
          }
          f.do(storeF32(place, addF(loadF32(place), dot)));
          f.set(at, add(at, 16));
        });
        f.set(span, add(span, spanBytes));
        f.set(row, add(row, 1));
      });
      for (const first of [dRow, xRow, spanRow]) f.set(first, add(first, rows));
      f.set(n, sub(n, rows));
    });
  });
}

/** Adds, for every gate of some rows, what one panel of outputs gives to four partial sums. */
function partialDots(
  k: Kernels,
  f: Func,
  outputs: number,
  panel: Expr,
  at: Readonly<Record<'weights' | 'd' | 'dRow' | 'firstSpan' | 'endSpan' | 'scratch', Expr>>,
): void {
  const weights = f.let('w', at.weights);
  const row = f.let('dAt', at.d);
  const partial = f.let('partialAt', at.scratch);
  const span = f.let('span', at.firstSpan);
  onPanel(f, outputs, panel, (vectors, width) => {
    f.set(row, add(row, mul(at.dRow, width)));
    const ds = Array.from({ length: vectors }, (_, i) => f.local('v128', `d${i}`));
    f.while(lt(span, at.endSpan), () => {
      ds.forEach((d, i) => void f.set(d, loadV(row, 16 * i)));
      eachGate(f, span, (input, gate, end) => {
        const from = f.let('from', add(weights, mul(input, width)));
        const total = f.let('total', loadV(partial));
        inTurns(f, vectors, [gate, end], (i) => f.set(total, k.multiplyAdd(ds[i], loadV(from, 16 * i), total)));
        f.do(storeV(partial, total));
        f.set(partial, add(partial, 16));
      });
      f.set(row, add(row, width));
      f.set(span, add(span, spanBytes));
    });
  });
}

function eachGate(f: Func, span: Expr, body: (input: Local, gate: Local, end: Local) => void): void {
  const gate = f.let('gate', loadI32(span, spanWords.start));
  const end = f.let('end', loadI32(span, spanWords.end));
  f.while(lt(gate, end), () => {
    body(f.let('input', loadI32(gate)), gate, end);
    f.set(gate, add(gate, gateBytes));
  });
}

/** Address of an element of an array [rows, features]. */
function elementOf(features: number, base: Expr, rows: Expr, row: Expr, feature: Expr): Expr {
  const { full, tail } = panelsOf(features);
  const start = panelStart(base, shrU(feature, 5), rows);
  const inPanel = mul(and(feature, 31), 4);
  if (tail === 0) return sum(start, mul(row, panelBytes), inPanel);
  const width = full === 0 ? i32(tail * 4) : choose(lt(feature, full * 32), i32(panelBytes), i32(tail * 4));
  return sum(start, mul(row, width), inPanel);
}

function zeroRow(f: Func, features: number, base: Expr, rows: Expr, row: Expr): void {
  const { full, tail } = panelsOf(features);
  if (full > 0) {
    const at = f.let('zeroAt', add(base, mul(row, panelBytes)));
    const panel = f.let('panel', full);
    f.while(panel, () => {
      for (let i = 0; i < 8; i++) f.do(storeV(at, splat(0), 16 * i));
      f.set(at, add(at, mul(rows, panelBytes)));
      f.set(panel, sub(panel, 1));
    });
  }
  if (tail > 0) {
    const at = f.let('zeroAt', sum(base, mul(rows, full * panelBytes), mul(row, tail * 4)));
    for (let i = 0; i < tail / 4; i++) f.do(storeV(at, splat(0), 16 * i));
  }
}

/** For `n` rows that follow each other, all inputs: four inputs of two rows at a time. */
export function denseDots(k: Kernels, inputs: number, outputs: number): Func {
  return k.helper(`denseDots_${inputs}_${outputs}`, rowArgs, (f) => {
    const [n, weights, d, dRows, dRow, x, xRows, xRow, accumulate] = f.parameters;
    const input = f.local('i32', 'input');
    f.for(input, 0, i32(padded(inputs)), 4, () => {
      const row = f.let('row', 0);
      const block = (count: number) => {
        const totals = fourDots(k, f, outputs, count, {
          weights: (width) => add(weights, mul(input, width)),
          panelOfWeights: i32(matrixRows(inputs)),
          d: (width) => add(d, mul(add(dRow, row), width)),
          panelOfD: dRows,
        });
        totals.forEach((four) => {
          const place = f.let('place', elementOf(inputs, x, xRows, add(xRow, row), input));
          f.do(storeV(place, v.add(four, v.and(v.splatInt(sub(0, accumulate)), loadV(place)))));
          f.set(row, add(row, 1));
        });
      };
      f.while(ge(sub(n, row), 2), () => block(2));
      f.if(lt(row, n), () => block(1));
    });
  });
}

/** For each of `count` rows its dot products with four rows of weights. */
function fourDots(
  k: Kernels,
  f: Func,
  outputs: number,
  count: number,
  at: {
    /** Where the rows start in the first panel, for panels of so many bytes; how many rows the panels have. */
    readonly weights: (width: number) => Expr;
    readonly panelOfWeights: Expr;
    readonly d: (width: number) => Expr;
    readonly panelOfD: Expr;
  },
): Local[] {
  const { full, tail } = panelsOf(outputs);
  const totals = Array.from({ length: count }, () => [0, 1, 2, 3].map((i) => f.let(`dot${i}`, splat(0))));
  const through = (panels: number, width: number, skipped: number) => {
    const skip = (rows: Expr) => mul(rows, skipped * panelBytes);
    const w = f.let('wAt', add(at.weights(width), skip(at.panelOfWeights)));
    const row = f.let('dAt', add(at.d(width), skip(at.panelOfD)));
    const panel = f.let('panel', panels);
    f.while(panel, () => {
      const end = f.let('end', add(w, width));
      f.while(lt(w, end), () => {
        const ds = totals.map((_, r) => f.let('d', loadV(row, r * width)));
        for (let i = 0; i < 4; i++) {
          const own = f.let('w', loadV(w, i * width));
          totals.forEach((t, r) => void f.set(t[i], k.multiplyAdd(ds[r], own, t[i])));
        }
        f.set(w, add(w, 16));
        f.set(row, add(row, 16));
      });
      f.set(w, add(w, mul(sub(at.panelOfWeights, 1), panelBytes)));
      f.set(row, add(row, mul(sub(at.panelOfD, 1), panelBytes)));
      f.set(panel, sub(panel, 1));
    });
  };
  if (full > 0) through(full, panelBytes, 0);
  if (tail > 0) through(1, tail * 4, full);
  return totals.map(([a, b, c, e]) => {
    const ab = f.let('ab', v.add(shuffle(a, b, [0, 4, 2, 6]), shuffle(a, b, [1, 5, 3, 7])));
    const ce = f.let('ce', v.add(shuffle(c, e, [0, 4, 2, 6]), shuffle(c, e, [1, 5, 3, 7])));
    return f.let('dots', v.add(shuffle(ab, ce, [0, 1, 4, 5]), shuffle(ab, ce, [2, 3, 6, 7])));
  });
}

/** The cotangents of the inputs of a product, for the rows of a chunk of samples. */
export function inputGradientKernel(k: Kernels, inputs: number, outputs: number): Kernel {
  const rows = denseDots(k, inputs, outputs);
  const params = ['weights', 'd', 'dRows', 'x', 'xRows', 'accumulate', ...rowParams] as const;
  return k.kernelReading(`inputGradient_${inputs}_${outputs}`, params, ['weights', 'd'], (f, item, a) => {
    eachStep(f, a, item, (row, _, samples) => {
      f.do(call(rows, [samples, a.weights, a.d, a.dRows, row, a.x, a.xRows, row, a.accumulate]));
    });
  });
}

/** The same where gates are listed, and times a dropout mask where `p` is given. */
export function gatedInputGradientKernel(k: Kernels, inputs: number, outputs: number, p: number | null): Kernel {
  const rows = gatedDots(k, inputs, outputs, p);
  const params = [
    'weights',
    'd',
    'dRows',
    'x',
    'xRows',
    'accumulate',
    'spans',
    'scratch',
    'mask',
    ...rowParams,
  ] as const;
  const name = `gatedInputGradient${p === null ? '' : `Masked_${p}`}_${inputs}_${outputs}`;
  return k.kernelReading(name, params, ['weights', 'd', 'events', 'spans', 'mask'], (f, item, a) => {
    const scratch = f.let('own', add(a.scratch, mul(item, scratchBytes(inputs))));
    eachStep(f, a, item, (row, _, samples) => {
      const lists = [a.spans, row, scratch, ...(p === null ? [] : [a.mask])];
      f.do(call(rows, [samples, a.weights, a.d, a.dRows, row, a.x, a.xRows, row, a.accumulate, ...lists]));
    });
  });
}
