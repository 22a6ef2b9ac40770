import {
  add,
  addF,
  and,
  choose,
  type Expr,
  eq,
  eqz,
  f32,
  ge,
  type I32,
  i32,
  type Local,
  loadF32,
  loadI32,
  loadU16,
  lt,
  mul,
  shrU,
  splat,
  storeF32,
  storeI32,
  storeV,
  sub,
  sum,
  toFloat,
  zeroFill,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { panelBytes, panelWidth } from '../layout.ts';
import { eventBytes, spanBytes, spanWords } from './events.ts';
import {
  chunkRow,
  eachRow,
  eachSample,
  eachVector,
  type Kernel,
  type Kernels,
  type RowArgs,
  rowParams,
} from './kernel.ts';

/** Lists events from the host's arrays: offsets of the rows (sample, step), units and counts; counts of 1 come first. */
export function importEvents(k: Kernels): Kernel {
  const params = ['offsets', 'units', 'counts', 'events', 'spans', ...rowParams] as const;
  return k.kernel('importEvents', params, (f, item, a) => {
    eachRow(f, a, item, (row, b, t) => {
      const offset = f.let('offset', add(a.offsets, mul(add(mul(b, a.T), t), 4)));
      const i = f.let('i', loadI32(offset));
      const end = f.let('end', loadI32(offset, 4));
      const front = f.let('front', add(a.events, mul(i, eventBytes)));
      const back = f.let('back', add(a.events, mul(end, eventBytes)));
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      f.do(storeI32(span, front, spanWords.start));
      f.do(storeI32(span, back, spanWords.end));
      f.do(storeF32(span, f32(1), spanWords.shared));
      f.while(lt(i, end), () => {
        const count = f.let('count', loadU16(add(a.counts, mul(i, 2))));
        const isOne = f.let('isOne', eq(count, 1));
        f.set(back, sub(back, mul(eqz(isOne), eventBytes)));
        const out = f.let('out', choose(isOne, front, back));
        f.do(storeI32(out, loadU16(add(a.units, mul(i, 2)))));
        f.do(storeF32(out, toFloat(count), 4));
        f.set(front, add(front, mul(isOne, eventBytes)));
        f.set(i, add(i, 1));
      });
      f.do(storeI32(span, front, spanWords.mixed));
    });
  });
}

/** Address of an element of an array [rows, features] of any size. */
function elementAddress(base: Expr, rows: Expr, features: Expr, row: Expr, feature: Expr): Expr {
  const full = and(features, -32);
  const panel = shrU(feature, 5);
  const tailWidth = mul(and(add(sub(features, full), 3), -4), 4);
  const width = choose(lt(feature, full), i32(panelBytes), tailWidth);
  return sum(base, mul(mul(panel, rows), panelBytes), mul(row, width), mul(and(feature, 31), 4));
}

/** From the host's row-major [B, T, features] into an array. Padding features become 0. */
export function unpackKernel(k: Kernels): Kernel {
  const params = ['source', 'target', 'rows', 'features', ...rowParams] as const;
  return k.kernel('unpack', params, (f, item, a) => {
    eachRow(f, a, item, (row, b, t) => {
      const from = f.let('from', add(a.source, mul(mul(add(mul(b, a.T), t), a.features), 4)));
      const feature = f.local('i32', 'feature');
      const end = f.let('padded', and(add(a.features, 3), -4));
      f.for(feature, 0, end, 1, () => {
        const to = f.let('to', elementAddress(a.target, a.rows, a.features, row, feature));
        f.if(
          lt(feature, a.features),
          () => f.do(storeF32(to, loadF32(from))),
          () => f.do(storeI32(to, i32(0))),
        );
        f.set(from, add(from, 4));
      });
    });
  });
}

/**
 * Copies (or adds) `count` features from one array to another, from feature `from` to feature `to` on; `reversed` turns
 * each sample's sequence around within its length (`lengths` is 0 where every step is valid).
 */
export function placeKernel(k: Kernels): Kernel {
  const params = [
    'source',
    'sourceFeatures',
    'from',
    'target',
    'targetFeatures',
    'to',
    'count',
    'rows',
    'reversed',
    'accumulate',
    'lengths',
    ...rowParams,
  ] as const;
  return k.kernel('place', params, (f, item, a) => {
    eachSample(f, a, item, i32(0), (firstRow, b) => {
      const length = f.let('length', a.T);
      f.if(a.lengths, () => f.set(length, loadI32(add(a.lengths, mul(b, 4)))));
      const t = f.local('i32', 't');
      f.for(t, 0, a.T, 1, () => {
        const row = f.let('row', add(firstRow, mul(t, a.group)));
        const other = f.let('other', row);
        f.if(and(a.reversed, lt(t, length)), () => f.set(other, add(firstRow, mul(sub(sub(length, 1), t), a.group))));
        const feature = f.local('i32', 'feature');
        f.for(feature, 0, a.count, 1, () => {
          const source = elementAddress(a.source, a.rows, a.sourceFeatures, row, add(feature, a.from));
          const target = f.let('target', elementAddress(a.target, a.rows, a.targetFeatures, other, add(feature, a.to)));
          const value = f.let('value', loadF32(source));
          f.if(a.accumulate, () => f.set(value, addF(value, loadF32(target))));
          f.do(storeF32(target, value));
        });
        zeroPadding(f, a, other);
      });
    });
  });
}

/** The padding of the target after its last feature. */
function zeroPadding(
  f: Func,
  a: { target: Expr; targetFeatures: Expr; rows: Expr; to: Expr; count: Expr },
  row: Expr,
): void {
  f.if(ge(add(a.to, a.count), a.targetFeatures), () => {
    const feature = f.let('padding', a.targetFeatures);
    f.while(and(feature, 3), () => {
      const inLast = add(
        elementAddress(a.target, a.rows, a.targetFeatures, row, sub(a.targetFeatures, 1)),
        padDistance(feature, a.targetFeatures),
      );
      f.do(storeI32(inLast, i32(0)));
      f.set(feature, add(feature, 1));
    });
  });
}

const padDistance = (feature: Expr, features: I32): Expr => mul(add(sub(feature, features), 1), 4);

/** The row of each sample's last valid step: [B, T, features] -> [B, features], or back with zeros elsewhere. */
export function lastStepKernel(k: Kernels, back: boolean): Kernel {
  const params = ['sequence', 'rows', 'pooled', 'pooledRows', 'features', 'lengths', ...rowParams] as const;
  return k.kernel(back ? 'spreadLast' : 'takeLast', params, (f, item, a) => {
    const end = f.let('padded', and(add(a.features, 3), -4));
    if (back) zeroChunk(f, a, item, end);
    eachSample(f, a, item, i32(0), (firstRow, b) => {
      const steps = f.let('steps', a.T);
      f.if(a.lengths, () => f.set(steps, loadI32(add(a.lengths, mul(b, 4)))));
      f.if(steps, () => {
        const row = f.let('last', add(firstRow, mul(sub(steps, 1), a.group)));
        const feature = f.local('i32', 'feature');
        f.for(feature, 0, end, 1, () => {
          const inSequence = elementAddress(a.sequence, a.rows, end, row, feature);
          const inPooled = elementAddress(a.pooled, a.pooledRows, end, b, feature);
          f.do(back ? storeF32(inSequence, loadF32(inPooled)) : storeF32(inPooled, loadF32(inSequence)));
        });
      });
    });
  });
}

/** Clears the rows of all steps of a chunk. */
function zeroChunk(
  f: Func,
  a: RowArgs & Readonly<Record<'sequence' | 'rows', Local>>,
  chunk: Expr,
  padded: Expr,
): void {
  const feature = f.local('i32', 'firstOfPanel');
  f.for(feature, 0, padded, panelWidth, () => {
    const left = f.let('width', sub(padded, feature));
    const width = f.let('bytes', mul(choose(lt(left, panelWidth), left, i32(panelWidth)), 4));
    const start = sum(a.sequence, mul(mul(feature, a.rows), 4), mul(chunkRow(a, chunk, i32(0)), width));
    f.do(zeroFill(start, mul(mul(a.T, a.group), width)));
  });
}

/** An array from the events of its rows. */
export function scatterKernel(k: Kernels, features: number): Kernel {
  const params = ['y', 'rows', 'spans', ...rowParams] as const;
  return k.kernel(`scatter_${features}`, params, (f, item, a) => {
    eachRow(f, a, item, (row) => {
      eachVector(f, features, a.rows, row, (o) => f.do(storeV(add(a.y, o), splat(0))));
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      const event = f.let('event', loadI32(span));
      const end = f.let('end', loadI32(span, 4));
      f.while(lt(event, end), () => {
        f.do(storeI32(elementAddress(a.y, a.rows, i32(features), row, loadI32(event)), loadI32(event, 4)));
        f.set(event, add(event, eventBytes));
      });
    });
  });
}
