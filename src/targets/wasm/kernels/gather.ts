import {
  add,
  type Expr,
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
import { eventBytes, spanBytes, spanWords } from './events.ts';
import {
  eachStep,
  inTurns,
  type Kernel,
  type Kernels,
  onPanel,
  panelAndChunk,
  panelStart,
  rowParams,
} from './kernel.ts';

/** y = sum over the events of a row of value * weights[feature], for one panel of `n` rows that follow each other. */
export function gather(k: Kernels, outputs: number): Func {
  const params = ['panel', 'n', 'weights', 'inputs', 'y', 'yRows', 'yRow', 'spans', 'spanRow'];
  return k.helper(`gather_${outputs}`, params, (f) => {
    const [panel, n, weights, inputs, y, yRows, yRow, spans, spanRow] = f.parameters;
    const start = f.let('w', panelStart(weights, panel, inputs));
    const target = f.let('target', panelStart(y, panel, yRows));
    const span = f.let('span', add(spans, mul(spanRow, spanBytes)));
    onPanel(f, outputs, panel, (vectors, width) => {
      f.set(target, add(target, mul(yRow, width)));
      f.while(n, () => {
        const totals = gatherRow(f, span, vectors, (feature) => add(start, mul(feature, width)));
        totals.forEach((total, i) => void f.do(storeV(target, total, 16 * i)));
        f.set(target, add(target, width));
        f.set(span, add(span, spanBytes));
        f.set(n, sub(n, 1));
      });
    });
  });
}

/** Sums the weights that the events of a span select, times their values. */
function gatherRow(f: Func, span: Local, vectors: number, addressOf: (feature: Expr) => Expr): Local[] {
  const totals = Array.from({ length: vectors }, (_, i) => f.local('v128', `y${i}`));
  const event = f.let('event', loadI32(span, spanWords.start));
  const end = f.let('end', loadI32(span, spanWords.mixed));
  for (const total of totals) f.set(total, splat(0));
  const sumUp = (term: (from: Local, i: number) => Expr) =>
    f.while(lt(event, end), () => {
      const from = f.let('from', addressOf(loadI32(event)));
      inTurns(f, vectors, [event, end], (i) => f.set(totals[i], v.add(totals[i], term(from, i))));
      f.set(event, add(event, eventBytes));
    });
  sumUp((from, i) => loadV(from, 16 * i));
  const shared = f.let('shared', loadSplat(span, spanWords.shared));
  for (const total of totals) f.set(total, v.mul(total, shared));
  f.set(end, loadI32(span, spanWords.end));
  sumUp((from, i) => v.mul(loadSplat(event, 4), loadV(from, 16 * i)));
  return totals;
}

/** y = x W^T for all rows of a chunk and one panel of outputs. */
export function productKernel(k: Kernels, outputs: number): Kernel {
  const rows = gather(k, outputs);
  const params = ['weights', 'inputs', 'y', 'yRows', 'spans', ...rowParams] as const;
  return k.kernel(`product_${outputs}`, params, (f, item, a) => {
    const { panel, chunk } = panelAndChunk(f, item, a);
    eachStep(f, a, chunk, (row, _, samples) => {
      f.do(call(rows, [panel, samples, a.weights, a.inputs, a.y, a.yRows, row, a.spans, row]));
    });
  });
}
