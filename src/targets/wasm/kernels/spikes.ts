import { add, and, type Expr, i32, loadI32, lt, mul, splat, storeI32, storeV, v } from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { padded, panelsOf, panelWidth } from '../layout.ts';
import { eventBytes, spanBytes, spanWords } from './events.ts';
import { eachRow, eachStep, type Kernel, type Kernels, onPanel, panelStart, rowParams } from './kernel.ts';
import { eachBit } from './lists.ts';
import { maskedVector, maskWord, scaleOf } from './masks.ts';

// Spikes [rows, features] as bits lie as those of dropout masks do.

/**
 * Lists the spikes of a row from address `out` on, times a dropout mask where `p` is given; gives the end of the list. `word`
 * and `mask` are the first panel's words.
 */
export function listSpikeRow(k: Kernels, features: number, p: number | null): Func {
  const params = ['word', 'rows', 'out', 'span', ...(p === null ? [] : ['mask'])];
  const value = i32(new Int32Array(Float32Array.of(p === null ? 1 : scaleOf(p)).buffer)[0]);
  const write = (f: Func) => {
    const [word, rows, out, span, mask] = f.parameters;
    f.do(storeI32(span, out, spanWords.start));
    f.do(storeI32(span, value, spanWords.shared));
    const apart = f.let('apart', mul(rows, 4));
    const feature = f.local('i32', 'feature');
    f.for(feature, 0, i32(padded(features)), panelWidth, () => {
      const bits = f.let('bits', mask ? and(loadI32(word), loadI32(mask)) : loadI32(word));
      eachBit(f, bits, (bit) => {
        f.do(storeI32(out, add(feature, bit)));
        f.do(storeI32(out, value, 4));
        f.set(out, add(out, eventBytes));
      });
      for (const at of mask ? [word, mask] : [word]) f.set(at, add(at, apart));
    });
    f.do(storeI32(span, out, spanWords.end));
    f.do(storeI32(span, out, spanWords.mixed));
    f.return(out);
  };
  return k.helper(nameOf('listSpikeRow', features, p), params, write, 'i32');
}

const nameOf = (what: string, features: number, p: number | null): string =>
  `${what}${p === null ? '' : `Masked_${p}`}_${features}`;

/** Lists the spikes of all rows; each chunk has its own stretch of `events`. */
export function listSpikesKernel(k: Kernels, features: number, p: number | null): Kernel {
  const params = ['spikes', 'mask', 'rows', 'events', 'spans', ...rowParams] as const;
  return k.kernelReading(nameOf('listSpikes', features, p), params, ['spikes', 'mask'], (f, item, a) => {
    const out = f.let('out', add(a.events, mul(item, mul(mul(a.group, a.T), padded(features) * eventBytes))));
    eachRow(f, a, item, (row) => {
      const wordOf = (bits: Expr) => maskWord(bits, i32(0), a.rows, row);
      const masks = p === null ? [] : [wordOf(a.mask)];
      const span = add(a.spans, mul(row, spanBytes));
      f.set(out, call(listSpikeRow(k, features, p), [wordOf(a.spikes), a.rows, out, span, ...masks]));
    });
  });
}

/** Spikes as numbers. */
export function spreadSpikesKernel(k: Kernels, features: number): Kernel {
  const params = ['spikes', 'y', 'rows', ...rowParams] as const;
  return k.kernelReading(`spreadSpikes_${features}`, params, ['spikes'], (f, chunk, a) => {
    const panel = f.local('i32', 'panel');
    f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
      onPanel(f, features, panel, (vectors, width) => {
        eachStep(f, a, chunk, (first, _, samples) => {
          const word = f.let('word', maskWord(a.spikes, panel, a.rows, first));
          const end = f.let('end', add(word, mul(samples, 4)));
          const at = f.let('at', add(panelStart(a.y, panel, a.rows), mul(first, width)));
          f.while(lt(word, end), () => {
            const bits = f.let('bits', v.splatInt(loadI32(word)));
            for (let i = 0; i < vectors; i++) f.do(storeV(at, maskedVector(splat(1), bits, i, 0), 16 * i));
            f.set(at, add(at, width));
            f.set(word, add(word, 4));
          });
        });
      });
    });
  });
}
