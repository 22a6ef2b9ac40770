import {
  add,
  type Expr,
  i32,
  type Local,
  loadI32,
  loadSplat,
  loadV,
  lt,
  mul,
  splat,
  storeV,
  sub,
  v,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { matrixRows } from '../layout.ts';
import { denseProduct } from './dense.ts';
import { eventBytes, isDense, type Listed, spanBytes, spanWords } from './events.ts';
import {
  eachStep,
  inTurns,
  type Kernel,
  type Kernels,
  onPanel,
  panelAndChunk,
  panelStart,
  type RowArgs,
  rowParams,
} from './kernel.ts';
import { statisticsParams, writeStatistics } from './norm.ts';

/**
 * y = sum over the events of a row of value * weights[feature], for one panel of `n` rows that follow each other; rows that
 * have no lists go through a dense product.
 */
export function gather(k: Kernels, outputs: number, { features, real }: Listed): Func {
  const params = ['panel', 'n', 'weights', 'y', 'yRows', 'yRow', 'spans', 'spanRow'];
  return k.helper(nameOf('gather', outputs, { features, real }), params, (f) => {
    const [panel, n, weights, y, yRows, yRow, spans, spanRow] = f.parameters;
    const start = f.let('w', panelStart(weights, panel, i32(matrixRows(features))));
    const target = f.let('target', panelStart(y, panel, yRows));
    const span = f.let('span', add(spans, mul(spanRow, spanBytes)));
    onPanel(f, outputs, panel, (vectors, width) => {
      f.set(target, add(target, mul(yRow, width)));
      if (real) {
        f.if(isDense(span), () => {
          const at = { n, weights: start, x: loadI32(span, spanWords.start), y: target };
          denseProduct(k, f, at, { inputs: features, vectors, width });
          f.return0();
        });
      }
      f.while(n, () => {
        const totals = gatherRow(k, f, span, vectors, (feature) => add(start, mul(feature, width)));
        totals.forEach((total, i) => void f.do(storeV(target, total, 16 * i)));
        f.set(target, add(target, width));
        f.set(span, add(span, spanBytes));
        f.set(n, sub(n, 1));
      });
    });
  });
}

/** Sums the weights that the events of a span select, times their values. */
function gatherRow(k: Kernels, f: Func, span: Local, vectors: number, addressOf: (feature: Expr) => Expr): Local[] {
  const totals = Array.from({ length: vectors }, (_, i) => f.local('v128', `y${i}`));
  const event = f.let('event', loadI32(span, spanWords.start));
  const end = f.let('end', loadI32(span, spanWords.mixed));
  for (const total of totals) f.set(total, splat(0));
  const sumUp = (factor: (() => Expr) | null) =>
    f.while(lt(event, end), () => {
      const from = f.let('from', addressOf(loadI32(event)));
      const value = factor && f.let('value', factor());
      inTurns(f, vectors, [event, end], (i) => {
        const weights = loadV(from, 16 * i);
        f.set(totals[i], value ? k.multiplyAdd(value, weights, totals[i]) : v.add(totals[i], weights));
      });
      f.set(event, add(event, eventBytes));
    });
  sumUp(null);
  const shared = f.let('shared', loadSplat(span, spanWords.shared));
  for (const total of totals) f.set(total, v.mul(total, shared));
  f.set(end, loadI32(span, spanWords.end));
  sumUp(() => loadSplat(event, 4));
  return totals;
}

/** x = events W^T for all rows of a chunk and one panel of outputs. */
export function productKernel(k: Kernels, outputs: number, listed: Listed): Kernel {
  const params = [...productParams, 'x', 'rows', ...rowParams] as const;
  return k.kernel(nameOf('product', outputs, listed), params, (f, item, a) => {
    const { panel, chunk } = panelAndChunk(f, item, a);
    writeProduct(k, f, outputs, listed, panel, chunk, a);
  });
}

/** The same, and the statistics of the result for batchnorm, while it is in the cache. */
export function productStatisticsKernel(k: Kernels, outputs: number, listed: Listed): Kernel {
  const params = [...productParams, ...statisticsParams, ...rowParams] as const;
  return k.kernel(nameOf('productStatistics', outputs, listed), params, (f, item, a) => {
    const { panel, chunk } = panelAndChunk(f, item, a);
    writeProduct(k, f, outputs, listed, panel, chunk, a);
    writeStatistics(f, outputs, panel, chunk, a);
  });
}

const productParams = ['weights', 'spans'] as const;

const nameOf = (what: string, outputs: number, { features, real }: Listed): string =>
  `${what}_${outputs}_of_${features}${real ? '_real' : ''}`;

type ProductArgs = Readonly<Record<(typeof productParams)[number] | 'x' | 'rows', Local>> & RowArgs;

function writeProduct(
  k: Kernels,
  f: Func,
  outputs: number,
  listed: Listed,
  panel: Expr,
  chunk: Expr,
  a: ProductArgs,
): void {
  eachStep(f, a, chunk, (row, _, samples) => {
    f.do(call(gather(k, outputs, listed), [panel, samples, a.weights, a.x, a.rows, row, a.spans, row]));
  });
}
