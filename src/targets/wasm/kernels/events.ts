import {
  add,
  addF,
  and,
  bitsOf,
  choose,
  ctz,
  type Expr,
  eq,
  type I32,
  i32,
  type Local,
  loadF32,
  loadI32,
  loadV,
  lt,
  mul,
  mulF,
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
import { padded, panelBytes, panelsOf } from '../layout.ts';
import { chunkRow, eachRow, type Kernel, type Kernels, rowParams } from './kernel.ts';

/**
 * Operands of which most numbers are zero. A row is a list of events, its numbers that are not zero: 8 bytes each, feature
 * and value. `spans` says where a row's list lies: 16 bytes a row, the addresses of its first event and of its end, and
 * the value that all its events share, or 0 where they differ: then they are multiplied one by one.
 */
export const eventBytes = 8;
export const spanBytes = 16;
export const spanWords = { start: 0, end: 4, shared: 8 } as const;

/**
 * Lists the non-zero numbers of a row from address `out` on; gives the end of the list. Where `masked`, the numbers are
 * products with those of an array `distance` bytes further.
 */
function listRow(k: Kernels, features: number, masked = false): Func {
  const { full, tail } = panelsOf(features);
  const params = ['source', 'rows', 'row', 'out', 'span', ...(masked ? ['distance'] : [])];
  const write = (f: Func) => {
    const [source, rows, row, out, span, distance] = f.parameters;
    const begin = f.let('begin', out);
    const differ = f.let('differ', 0);
    f.do(storeI32(span, out, spanWords.start));
    const panel = (address: Local, feature: Local, vectors: number) => {
      const bits = f.let('bits', nonZeros(address, vectors, masked ? distance : null));
      f.while(bits, () => {
        const k = f.let('k', ctz(bits));
        const at = f.let('at', add(address, mul(k, 4)));
        const value = masked ? bitsOf(mulF(loadF32(at), loadF32(add(at, distance)))) : loadI32(at);
        f.do(storeI32(out, add(feature, k)));
        f.do(storeI32(out, f.let('value', value), 4));
        f.set(differ, or(differ, xor(loadI32(out, 4), loadI32(begin, 4))));
        f.set(out, add(out, eventBytes));
        f.set(bits, and(bits, sub(bits, 1)));
      });
    };
    const feature = f.let('feature', 0);
    if (full > 0) {
      const address = f.let('address', add(source, mul(row, panelBytes)));
      f.while(lt(feature, full * 32), () => {
        panel(address, feature, 8);
        f.set(address, add(address, mul(rows, panelBytes)));
        f.set(feature, add(feature, 32));
      });
    }
    if (tail > 0) {
      const address = f.let('address', sum(source, mul(rows, full * panelBytes), mul(row, tail * 4)));
      panel(address, feature, tail / 4);
    }
    f.do(storeI32(span, out, spanWords.end));
    f.do(storeI32(span, choose(or(differ, eq(out, begin)), i32(0), loadI32(begin, 4)), spanWords.shared));
    f.return(out);
  };
  return k.helper(`list${masked ? 'Masked' : ''}_${features}`, params, write, 'i32');
}

/** One bit for each number of a panel's row that is not zero. */
function nonZeros(address: Expr, vectors: number, distance: Expr | null): Expr {
  const masks = Array.from({ length: vectors }, (_, i) => {
    const x = loadV(address, 16 * i);
    return v.ne(distance ? v.mul(x, loadV(add(address, distance), 16 * i)) : x, splat(0));
  });
  const pairs = inTwos(masks).map(([a, b = splat(0)]) => v.narrow32(a, b));
  const fours = inTwos(pairs).map(([a, b = splat(0)]) => v.bitmask8(v.narrow16(a, b)));
  return fours.map((bits, i) => (i === 0 ? bits : shl(bits, 16 * i))).reduce((a, b) => or(a, b));
}

const inTwos = <T>(items: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(items.length / 2) }, (_, i) => items.slice(2 * i, 2 * i + 2));

export const listRowCall = (k: Kernels, features: number, args: readonly I32[]): Expr =>
  call(listRow(k, features), args);

/** Lists all rows of an array; each chunk of samples has its own stretch of `events`. */
export function listKernel(k: Kernels, features: number, masked: boolean): Kernel {
  const list = listRow(k, features, masked);
  const params = ['source', 'mask', 'rows', 'events', 'spans', ...rowParams] as const;
  return k.kernel(`lists${masked ? 'Masked' : ''}_${features}`, params, (f, item, a) => {
    const distance = f.let('distance', sub(a.mask, a.source));
    const out = f.let('out', add(a.events, mul(item, mul(mul(a.group, a.T), padded(features) * eventBytes))));
    eachRow(f, a, item, (row) => {
      const span = add(a.spans, mul(row, spanBytes));
      f.set(out, call(list, [a.source, a.rows, row, out, span, ...(masked ? [distance] : [])]));
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

/**
 * Sorts the events of a chunk by feature: `starts` has, for each chunk, the addresses where the events of each feature
 * start, and `sorted` the events themselves, row and value.
 */
export function sortKernel(k: Kernels, inputs: number): Kernel {
  const params = ['events', 'spans', 'sorted', 'starts', ...rowParams] as const;
  return k.kernel(`sort_${inputs}`, params, (f, item, a) => {
    const starts = f.let('begin', add(a.starts, mul(item, (inputs + 1) * 4)));
    f.do(zeroFill(starts, i32((inputs + 1) * 4)));
    const place = f.local('i32', 'place');
    const eachOfChunk = (visit: (event: Local, row: Local) => void) =>
      eachRow(f, a, item, (row) => {
        const span = f.let('span', add(a.spans, mul(row, spanBytes)));
        eachEvent(f, span, (event) => visit(event, row));
      });
    eachOfChunk((event) => {
      f.set(place, add(starts, mul(loadI32(event), 4)));
      f.do(storeI32(place, add(loadI32(place), 1)));
    });
    // The sorted events of a chunk lie where its unsorted ones do in their array.
    const firstSpan = add(a.spans, mul(chunkRow(a, item, i32(0)), spanBytes));
    const begin = f.let('begin', add(a.sorted, sub(loadI32(firstSpan), a.events)));
    const next = f.let('next', begin);
    const i = f.local('i32', 'i');
    f.for(i, 0, i32(inputs), 1, () => {
      f.set(place, add(starts, mul(i, 4)));
      const count = f.let('count', loadI32(place));
      f.do(storeI32(place, next));
      f.set(next, add(next, mul(count, eventBytes)));
    });
    f.do(storeI32(add(starts, inputs * 4), next));
    eachOfChunk((event, row) => {
      f.set(place, add(starts, mul(loadI32(event), 4)));
      const to = f.let('to', loadI32(place));
      f.do(storeI32(to, row));
      f.do(storeI32(to, loadI32(event, 4), 4));
      f.do(storeI32(place, add(to, eventBytes)));
    });
    // Every start has moved to the next one: shift them back.
    f.set(i, inputs);
    f.while(i, () => {
      f.do(storeI32(add(starts, mul(i, 4)), loadI32(add(starts, mul(sub(i, 1), 4)))));
      f.set(i, sub(i, 1));
    });
    f.do(storeI32(starts, begin));
  });
}
