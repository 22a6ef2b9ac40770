import {
  add,
  addF,
  type Expr,
  eq,
  gt,
  i32,
  type Local,
  loadF32,
  loadI32,
  loadV,
  lt,
  mul,
  ne,
  storeF32,
  storeI32,
  storeV,
  sub,
  sum,
  v,
  zeroFill,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { padded, rowBytes } from '../layout.ts';
import { chunkRow, eachRow, eachStep, type Kernel, type Kernels, type RowArgs, rowParams } from './kernel.ts';

/**
 * Operands of which most numbers are zero. A row is a list of events, its numbers that are not zero: 8 bytes each, feature
 * and value. `spans` says where a row's list lies: 16 bytes a row, the addresses of its first event and of its end; those
 * before `mixed` have the same value, `shared`, and need not be multiplied one by one.
 */
export const eventBytes = 8;
export const spanBytes = 16;
export const spanWords = { start: 0, end: 4, shared: 8, mixed: 12 } as const;

/** What the rows that are listed hold. */
export interface Listed {
  readonly features: number;
  /** Real numbers: where at least half of some rows are not zero, they are laid out for dense products (`dense.ts`). */
  readonly real: boolean;
}

/** What `mixed` is of a row that has no list: all its numbers lie where the list would start. */
export const dense = 0;

/** Bytes from such a row to the next: an odd number of cache lines, so that rows do not all fall on the same ones. */
export function denseRowBytes(features: number): number {
  const apart = rowBytes(features);
  // A list must have room for it.
  return apart <= eventBytes * padded(features) ? apart : 4 * padded(features);
}

/** Whether the rows of a step, given the first one's span, lie number after number. */
export const isDense = (span: Expr): Expr => eq(loadI32(span, spanWords.mixed), dense);

/** The events of a row. */
function eachEvent(f: Func, span: Local, body: (event: Local) => void): void {
  const event = f.let('event', loadI32(span, spanWords.start));
  eachEventUntil(f, event, loadI32(span, spanWords.end), () => body(event));
}

/** Moves `event` on to an address. */
function eachEventUntil(f: Func, event: Local, address: Expr, body: () => void): void {
  const end = f.let('end', address);
  f.while(lt(event, end), () => {
    body();
    f.set(event, add(event, eventBytes));
  });
}

/** Sums over the listed rows of a chunk, of valid steps only where `lengths` is not 0. */
export function listSumsKernel(k: Kernels, { features, real }: Listed): Kernel {
  const params = ['spans', 'parts', 'lengths', ...rowParams] as const;
  return k.kernel(`listSums${real ? 'Real' : ''}_${features}`, params, (f, item, a) => {
    const parts = f.let('sums', add(a.parts, mul(item, padded(features) * 4)));
    f.do(zeroFill(parts, i32(padded(features) * 4)));
    eachRow(f, a, item, (row, b, t) => {
      const valid = f.let('valid', 1);
      f.if(a.lengths, () => f.set(valid, lt(t, loadI32(add(a.lengths, mul(b, 4))))));
      f.if(valid, () => {
        const span = f.let('span', add(a.spans, mul(row, spanBytes)));
        if (real) f.if(isDense(span), () => addVectors(f, parts, loadI32(span), padded(features) / 4));
        eachEvent(f, span, (event) => {
          const at = f.let('at', add(parts, mul(loadI32(event), 4)));
          f.do(storeF32(at, addF(loadF32(at), loadF32(event, 4))));
        });
      });
    });
  });
}

/** Adds so many vectors from one address to those at another. */
function addVectors(f: Func, to: Expr, from: Expr, vectors: number): void {
  const [target, source] = [f.let('target', to), f.let('source', from)];
  const left = f.let('vectors', vectors);
  f.while(left, () => {
    f.do(storeV(target, v.add(loadV(target), loadV(source))));
    f.set(target, add(target, 16));
    f.set(source, add(source, 16));
    f.set(left, sub(left, 1));
  });
}

/** Words of `starts` per chunk: where the events of each feature start, in two parts, the end, and the shared value. */
export const startsWords = (inputs: number): number => 2 * inputs + 2;

/** The rows of a chunk that have lists. */
function eachSparseRow(
  f: Func,
  a: RowArgs & { readonly spans: Local },
  chunk: Expr,
  { real }: Listed,
  body: (span: Local, row: Local) => void,
): void {
  eachStep(f, a, chunk, (first, _, samples) => {
    const span = f.let('span', add(a.spans, mul(first, spanBytes)));
    const row = f.let('row', first);
    const left = f.let('left', samples);
    if (real) f.if(isDense(span), () => f.set(left, 0));
    f.while(left, () => {
      body(span, row);
      f.set(span, add(span, spanBytes));
      f.set(row, add(row, 1));
      f.set(left, sub(left, 1));
    });
  });
}

/**
 * Sorts the events of a chunk by feature; of each feature those first whose value is that of the chunk's last event, and
 * need not be multiplied one by one. `sorted` has the events: row and value. Rows that go through dense products are left out.
 */
export function sortKernel(k: Kernels, listed: Listed): Kernel {
  const inputs = listed.features;
  const params = ['events', 'spans', 'sorted', 'starts', ...rowParams] as const;
  return k.kernel(`sort${listed.real ? 'Real' : ''}_${inputs}`, params, (f, item, a) => {
    const words = startsWords(inputs);
    const starts = f.let('begin', add(a.starts, mul(item, words * 4)));
    f.do(zeroFill(starts, i32(words * 4)));
    const shared = f.let('shared', 0);
    eachSparseRow(f, a, item, listed, (span) => {
      const end = f.let('end', loadI32(span, spanWords.end));
      f.if(gt(end, loadI32(span, spanWords.start)), () => f.set(shared, loadI32(sub(end, 4))));
    });
    const [place, value] = [f.local('i32', 'place'), f.local('i32', 'value')];
    const isOther = () => mul(ne(value, shared), 4);
    const eachOfChunk = (visit: (event: Local, row: Local) => void) =>
      eachSparseRow(f, a, item, listed, (span, row) => {
        // Events that share a value all go to the same part.
        f.set(value, loadI32(span, spanWords.shared));
        const part = f.let('part', add(starts, isOther()));
        const event = f.let('event', loadI32(span, spanWords.start));
        eachEventUntil(f, event, loadI32(span, spanWords.mixed), () => {
          f.set(place, add(part, mul(loadI32(event), 8)));
          visit(event, row);
        });
        eachEventUntil(f, event, loadI32(span, spanWords.end), () => {
          f.set(value, loadI32(event, 4));
          f.set(place, sum(starts, mul(loadI32(event), 8), isOther()));
          visit(event, row);
        });
      });
    eachOfChunk(() => f.do(storeI32(place, add(loadI32(place), 1))));
    // The sorted events of a chunk lie where its unsorted ones do in their array.
    const firstSpan = add(a.spans, mul(chunkRow(a, item, i32(0)), spanBytes));
    const begin = f.let('begin', add(a.sorted, sub(loadI32(firstSpan), a.events)));
    const next = f.let('next', begin);
    const i = f.local('i32', 'i');
    f.for(i, 0, i32(2 * inputs), 1, () => {
      f.set(place, add(starts, mul(i, 4)));
      const count = f.let('count', loadI32(place));
      f.do(storeI32(place, next));
      f.set(next, add(next, mul(count, eventBytes)));
    });
    eachOfChunk((_, row) => {
      const to = f.let('to', loadI32(place));
      f.do(storeI32(to, row));
      f.do(storeI32(to, value, 4));
      f.do(storeI32(place, add(to, eventBytes)));
    });
    // Every start has moved to the next one: shift them back.
    f.set(i, 2 * inputs);
    f.while(i, () => {
      f.do(storeI32(add(starts, mul(i, 4)), loadI32(add(starts, mul(sub(i, 1), 4)))));
      f.set(i, sub(i, 1));
    });
    f.do(storeI32(starts, begin));
    f.do(storeI32(starts, shared, (2 * inputs + 1) * 4));
  });
}
