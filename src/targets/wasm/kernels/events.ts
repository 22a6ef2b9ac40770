import {
  add,
  addF,
  and,
  bitsOf,
  choose,
  ctz,
  type Expr,
  eq,
  f32,
  gt,
  type I32,
  i32,
  type Local,
  loadF32,
  loadI32,
  loadV,
  lt,
  mul,
  mulF,
  ne,
  or,
  shl,
  splat,
  storeF32,
  storeI32,
  sub,
  sum,
  v,
  xor,
  zeroFill,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { padded, panelBytes, panelsOf, panelWidth } from '../layout.ts';
import { chunkRow, eachRow, type Kernel, type Kernels, rowParams } from './kernel.ts';
import { maskWord, scaleOf } from './masks.ts';

/**
 * Operands of which most numbers are zero. A row is a list of events, its numbers that are not zero: 8 bytes each, feature
 * and value. `spans` says where a row's list lies: 16 bytes a row, the addresses of its first event and of its end; those
 * before `mixed` have the same value, `shared`, and need not be multiplied one by one.
 */
export const eventBytes = 8;
export const spanBytes = 16;
export const spanWords = { start: 0, end: 4, shared: 8, mixed: 12 } as const;

/**
 * Lists the non-zero numbers of a row from address `out` on, times a dropout mask where `p` is given; gives the end of the
 * list.
 */
function listRow(k: Kernels, features: number, p: number | null): Func {
  const { full, tail } = panelsOf(features);
  const params = ['source', 'rows', 'row', 'out', 'span', ...(p === null ? [] : ['mask'])];
  const write = (f: Func) => {
    const [source, rows, row, out, span, mask] = f.parameters;
    const begin = f.let('begin', out);
    const differ = f.let('differ', 0);
    const word = p === null ? null : f.let('word', maskWord(mask, i32(0), rows, row));
    f.do(storeI32(span, out, spanWords.start));
    const panel = (address: Local, feature: Local, vectors: number) => {
      const bits = f.let('bits', nonZeros(address, vectors));
      if (word) f.set(bits, and(bits, loadI32(word)));
      f.while(bits, () => {
        const k = f.let('k', ctz(bits));
        const at = f.let('at', add(address, mul(k, 4)));
        const value = p === null ? loadI32(at) : bitsOf(mulF(loadF32(at), f32(scaleOf(p))));
        f.do(storeI32(out, add(feature, k)));
        f.do(storeI32(out, f.let('value', value), 4));
        f.set(differ, or(differ, xor(loadI32(out, 4), loadI32(begin, 4))));
        f.set(out, add(out, eventBytes));
        f.set(bits, and(bits, sub(bits, 1)));
      });
      if (word) f.set(word, add(word, mul(rows, 4)));
    };
    const feature = f.let('feature', 0);
    if (full > 0) {
      const address = f.let('address', add(source, mul(row, panelBytes)));
      f.while(lt(feature, full * panelWidth), () => {
        panel(address, feature, 8);
        f.set(address, add(address, mul(rows, panelBytes)));
        f.set(feature, add(feature, panelWidth));
      });
    }
    if (tail > 0) {
      const address = f.let('address', sum(source, mul(rows, full * panelBytes), mul(row, tail * 4)));
      panel(address, feature, tail / 4);
    }
    f.do(storeI32(span, out, spanWords.end));
    f.do(storeI32(span, choose(eq(out, begin), i32(0), loadI32(begin, 4)), spanWords.shared));
    f.do(storeI32(span, choose(differ, begin, out), spanWords.mixed));
    f.return(out);
  };
  return k.helper(`list${p === null ? '' : `Masked_${p}`}_${features}`, params, write, 'i32');
}

/** Lists the features whose bits are set, with the value 1, from address `out` on; gives the end of the list. */
export function listBits(k: Kernels, features: number): Func {
  const write = (f: Func) => {
    const [words, out, span] = f.parameters;
    const one = 0x3f800000;
    f.do(storeI32(span, out, spanWords.start));
    f.do(storeI32(span, i32(one), spanWords.shared));
    const feature = f.local('i32', 'feature');
    f.for(feature, 0, i32(padded(features)), panelWidth, () => {
      const bits = f.let('bits', loadI32(words));
      f.while(bits, () => {
        f.do(storeI32(out, add(feature, ctz(bits))));
        f.do(storeI32(out, i32(one), 4));
        f.set(out, add(out, eventBytes));
        f.set(bits, and(bits, sub(bits, 1)));
      });
      f.set(words, add(words, 4));
    });
    f.do(storeI32(span, out, spanWords.end));
    f.do(storeI32(span, out, spanWords.mixed));
    f.return(out);
  };
  return k.helper(`listBits_${features}`, ['words', 'out', 'span'], write, 'i32');
}

/** One bit for each number of a panel's row that is not zero. */
export function nonZeros(address: Expr, vectors: number): Expr {
  return maskBits(Array.from({ length: vectors }, (_, i) => v.ne(loadV(address, 16 * i), splat(0))));
}

/** One bit for each lane of up to 8 vectors whose lanes are all 0 or all 1. */
export function maskBits(masks: readonly Expr[]): Expr {
  const pairs = inTwos(masks).map(([a, b = splat(0)]) => v.narrow32(a, b));
  const fours = inTwos(pairs).map(([a, b = splat(0)]) => v.bitmask8(v.narrow16(a, b)));
  return fours.map((bits, i) => (i === 0 ? bits : shl(bits, 16 * i))).reduce((a, b) => or(a, b));
}

const inTwos = <T>(items: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(items.length / 2) }, (_, i) => items.slice(2 * i, 2 * i + 2));

export const listRowCall = (k: Kernels, features: number, args: readonly I32[]): Expr =>
  call(listRow(k, features, null), args);

/** Lists all rows of an array, times a dropout mask where `p` is given; each chunk has its own stretch of `events`. */
export function listKernel(k: Kernels, features: number, p: number | null): Kernel {
  const list = listRow(k, features, p);
  const params = ['source', 'mask', 'rows', 'events', 'spans', ...rowParams] as const;
  return k.kernel(`lists${p === null ? '' : `Masked_${p}`}_${features}`, params, (f, item, a) => {
    const out = f.let('out', add(a.events, mul(item, mul(mul(a.group, a.T), padded(features) * eventBytes))));
    eachRow(f, a, item, (row) => {
      const span = add(a.spans, mul(row, spanBytes));
      f.set(out, call(list, [a.source, a.rows, row, out, span, ...(p === null ? [] : [a.mask])]));
    });
  });
}

/** The events of a row. */
function eachEvent(f: Func, span: Local, body: (event: Local) => void): void {
  const event = f.let('event', loadI32(span, spanWords.start));
  const end = f.let('end', loadI32(span, spanWords.end));
  f.while(lt(event, end), () => {
    body(event);
    f.set(event, add(event, eventBytes));
  });
}

/** Sums over the listed rows of a chunk, of valid steps only where `lengths` is not 0. */
export function listSumsKernel(k: Kernels, features: number): Kernel {
  const params = ['spans', 'parts', 'lengths', ...rowParams] as const;
  return k.kernel(`listSums_${features}`, params, (f, item, a) => {
    const parts = f.let('sums', add(a.parts, mul(item, padded(features) * 4)));
    f.do(zeroFill(parts, i32(padded(features) * 4)));
    eachRow(f, a, item, (row, b, t) => {
      const valid = f.let('valid', 1);
      f.if(a.lengths, () => f.set(valid, lt(t, loadI32(add(a.lengths, mul(b, 4))))));
      f.if(valid, () => {
        const span = f.let('span', add(a.spans, mul(row, spanBytes)));
        eachEvent(f, span, (event) => {
          const at = f.let('at', add(parts, mul(loadI32(event), 4)));
          f.do(storeF32(at, addF(loadF32(at), loadF32(event, 4))));
        });
      });
    });
  });
}

/** Words of `starts` per chunk: where the events of each feature start, in two parts, the end, and the shared value. */
export const startsWords = (inputs: number): number => 2 * inputs + 2;

/**
 * Sorts the events of a chunk by feature; of each feature those first whose value is that of the chunk's last event, and
 * need not be multiplied one by one. `sorted` has the events: row and value.
 */
export function sortKernel(k: Kernels, inputs: number): Kernel {
  const params = ['events', 'spans', 'sorted', 'starts', ...rowParams] as const;
  return k.kernel(`sort_${inputs}`, params, (f, item, a) => {
    const words = startsWords(inputs);
    const starts = f.let('begin', add(a.starts, mul(item, words * 4)));
    f.do(zeroFill(starts, i32(words * 4)));
    const shared = f.let('shared', 0);
    eachRow(f, a, item, (row) => {
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      const end = f.let('end', loadI32(span, spanWords.end));
      f.if(gt(end, loadI32(span, spanWords.start)), () => f.set(shared, loadI32(sub(end, 4))));
    });
    const place = f.local('i32', 'place');
    const eachOfChunk = (visit: (event: Local, row: Local) => void) =>
      eachRow(f, a, item, (row) => {
        const span = f.let('span', add(a.spans, mul(row, spanBytes)));
        eachEvent(f, span, (event) => {
          f.set(place, sum(starts, mul(loadI32(event), 8), mul(ne(loadI32(event, 4), shared), 4)));
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
    eachOfChunk((event, row) => {
      const to = f.let('to', loadI32(place));
      f.do(storeI32(to, row));
      f.do(storeI32(to, loadI32(event, 4), 4));
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
