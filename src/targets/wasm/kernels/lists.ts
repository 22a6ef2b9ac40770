import {
  add,
  and,
  bitsOf,
  choose,
  ctz,
  type Expr,
  eq,
  f32,
  ge,
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
  popcnt,
  shl,
  splat,
  storeI32,
  storeV,
  sub,
  sum,
  v,
  xor,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { padded, panelBytes, panelsOf, panelWidth } from '../layout.ts';
import { dense, denseRowBytes, eventBytes, type Listed, spanBytes, spanWords } from './events.ts';
import { eachStep, type Kernel, type Kernels, rowParams } from './kernel.ts';
import { maskedVector, maskWord, scaleOf } from './masks.ts';

/**
 * Lists the non-zero numbers of a row from address `out` on, times a dropout mask where `p` is given; gives the end of the
 * list.
 */
function listRow(k: Kernels, features: number, p: number | null): Func {
  const params = ['source', 'rows', 'row', 'out', 'span', ...(p === null ? [] : ['mask'])];
  const write = (f: Func) => {
    const [source, rows, row, out, span, mask] = f.parameters;
    f.do(storeI32(span, out, spanWords.start));
    const begin = f.let('begin', out);
    const differ = f.let('differ', 0);
    eachPanelOfRow(f, features, { source, rows, row, mask }, (address, feature, vectors, word) => {
      const bits = f.let('bits', nonZeros(address, vectors));
      if (word) f.set(bits, and(bits, word));
      eachBit(f, bits, (k) => {
        const at = f.let('at', add(address, mul(k, 4)));
        const value = p === null ? loadI32(at) : bitsOf(mulF(loadF32(at), f32(scaleOf(p))));
        f.do(storeI32(out, add(feature, k)));
        f.do(storeI32(out, f.let('value', value), 4));
        f.set(differ, or(differ, xor(loadI32(out, 4), loadI32(begin, 4))));
        f.set(out, add(out, eventBytes));
      });
    });
    f.do(storeI32(span, out, spanWords.end));
    f.do(storeI32(span, choose(eq(out, begin), i32(0), loadI32(begin, 4)), spanWords.shared));
    f.do(storeI32(span, choose(differ, begin, out), spanWords.mixed));
    f.return(out);
  };
  return k.helper(nameOf('list', features, p), params, write, 'i32');
}

const nameOf = (what: string, features: number, p: number | null): string =>
  `${what}${p === null ? '' : `Masked_${p}`}_${features}`;

/**
 * Lists `n` rows of real numbers that follow each other: where at least half of the numbers are not zero, the rows are copied,
 * times the mask, number after number, and their spans say so.
 */
function listRealRows(k: Kernels, features: number, p: number | null): Func {
  const row = listRow(k, features, p);
  const params = ['source', 'rows', 'firstRow', 'n', 'out', 'span', ...(p === null ? [] : ['mask'])];
  const write = (f: Func) => {
    const [source, rows, firstRow, n, out, span, mask] = f.parameters;
    const i = f.local('i32', 'i');
    const eachRow = (body: (row: Local) => void) => f.for(i, 0, n, 1, () => body(f.let('row', add(firstRow, i))));
    const count = f.let('count', 0);
    eachRow((row) => {
      eachPanelOfRow(f, features, { source, rows, row, mask }, (address, _, vectors, word) => {
        const bits = nonZeros(address, vectors);
        f.set(count, add(count, popcnt(word ? and(bits, word) : bits)));
      });
    });
    f.if(
      ge(mul(count, 2), mul(n, features)),
      () =>
        eachRow((row) => {
          f.do(storeI32(span, out, spanWords.start));
          f.do(storeI32(span, out, spanWords.end));
          f.do(storeI32(span, i32(0), spanWords.shared));
          f.do(storeI32(span, i32(dense), spanWords.mixed));
          eachPanelOfRow(f, features, { source, rows, row, mask }, (address, _, vectors, word) => {
            const bits = word && f.let('bits', v.splatInt(word));
            for (let x = 0; x < vectors; x++) {
              const vector = loadV(address, 16 * x);
              f.do(storeV(out, bits && p !== null ? maskedVector(vector, bits, x, p) : vector, 16 * x));
            }
            f.set(out, add(out, 16 * vectors));
          });
          const between = denseRowBytes(features) - 4 * padded(features);
          if (between > 0) f.set(out, add(out, between));
          f.set(span, add(span, spanBytes));
        }),
      () =>
        eachRow((own) => {
          f.set(out, call(row, [source, rows, own, out, span, ...(p === null ? [] : [mask])]));
          f.set(span, add(span, spanBytes));
        }),
    );
    f.return(out);
  };
  return k.helper(nameOf('listReal', features, p), params, write, 'i32');
}

/** The panels of a row: where its part lies, the first feature, the vectors, the mask's word where there is a mask. */
function eachPanelOfRow(
  f: Func,
  features: number,
  { source, rows, row, mask }: Readonly<Record<'source' | 'rows' | 'row', Local>> & { readonly mask?: Local },
  visit: (address: Local, feature: Local, vectors: number, word: Local | null) => void,
): void {
  const { full, tail } = panelsOf(features);
  const feature = f.let('feature', 0);
  const wordAt = mask && f.let('wordAt', maskWord(mask, i32(0), rows, row));
  const panel = (address: Local, vectors: number) => {
    visit(address, feature, vectors, wordAt ? f.let('word', loadI32(wordAt)) : null);
    if (wordAt) f.set(wordAt, add(wordAt, mul(rows, 4)));
  };
  if (full > 0) {
    const address = f.let('address', add(source, mul(row, panelBytes)));
    f.while(lt(feature, full * panelWidth), () => {
      panel(address, 8);
      f.set(address, add(address, mul(rows, panelBytes)));
      f.set(feature, add(feature, panelWidth));
    });
  }
  if (tail > 0) panel(f.let('address', sum(source, mul(rows, full * panelBytes), mul(row, tail * 4))), tail / 4);
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
      eachBit(f, bits, (k) => {
        f.do(storeI32(out, add(feature, k)));
        f.do(storeI32(out, i32(one), 4));
        f.set(out, add(out, eventBytes));
      });
      f.set(words, add(words, 4));
    });
    f.do(storeI32(span, out, spanWords.end));
    f.do(storeI32(span, out, spanWords.mixed));
    f.return(out);
  };
  return k.helper(`listBits_${features}`, ['words', 'out', 'span'], write, 'i32');
}

/** Every bit that is set, from the lowest on; `bits` is used up. */
export function eachBit(f: Func, bits: Local, body: (k: Local) => void): void {
  f.while(bits, () => {
    body(f.let('k', ctz(bits)));
    f.set(bits, and(bits, sub(bits, 1)));
  });
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

/** Where `n` rows lie that are to be listed, and where their lists and spans go. */
type RowsToList = Readonly<Record<'source' | 'rows' | 'row' | 'n' | 'span', Expr>> & {
  readonly out: Local;
  readonly mask?: Local;
};

/** Lists rows that follow each other; moves `out` to the end of the lists. */
export function listRows(k: Kernels, f: Func, { features, real }: Listed, p: number | null, at: RowsToList): void {
  const mask = at.mask ? [at.mask] : [];
  if (real) {
    const list = listRealRows(k, features, p);
    f.set(at.out, call(list, [at.source, at.rows, at.row, at.n, at.out, at.span, ...mask]));
    return;
  }
  const list = listRow(k, features, p);
  const [row, span, left] = [f.let('row', at.row), f.let('span', at.span), f.let('left', at.n)];
  f.while(left, () => {
    f.set(at.out, call(list, [at.source, at.rows, row, at.out, span, ...mask]));
    f.set(row, add(row, 1));
    f.set(span, add(span, spanBytes));
    f.set(left, sub(left, 1));
  });
}

/** Lists all rows of an array, times a dropout mask where `p` is given; each chunk has its own stretch of `events`. */
export function listKernel(k: Kernels, listed: Listed, p: number | null): Kernel {
  const { features, real } = listed;
  const params = ['source', 'mask', 'rows', 'events', 'spans', ...rowParams] as const;
  return k.kernel(nameOf(real ? 'listsReal' : 'lists', features, p), params, (f, item, a) => {
    const out = f.let('out', add(a.events, mul(item, mul(mul(a.group, a.T), padded(features) * eventBytes))));
    eachStep(f, a, item, (row, _, n) => {
      const span = add(a.spans, mul(row, spanBytes));
      const { source, rows, mask } = a;
      listRows(k, f, listed, p, { source, rows, row, n, out, span, ...(p !== null && { mask }) });
    });
  });
}
