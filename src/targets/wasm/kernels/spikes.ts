import { add, and, i32, loadI32, lt, mul, splat, storeI32, storeV, v } from '../assembler/expr.ts';
import { padded, panelsOf, panelWidth } from '../layout.ts';
import { eventBytes, spanBytes, spanWords } from './events.ts';
import { eachRow, eachStep, type Kernel, type Kernels, onPanel, panelStart, rowParams } from './kernel.ts';
import { eachBit } from './lists.ts';
import { maskedVector, maskWord, scaleOf } from './masks.ts';

/** Spikes [rows, features] as bits, which lie as those of dropout masks do. */

/** Lists the spikes of all rows, times a dropout mask where `p` is given; each chunk has its own stretch of `events`. */
export function listSpikesKernel(k: Kernels, features: number, p: number | null): Kernel {
  const params = ['spikes', 'mask', 'rows', 'events', 'spans', ...rowParams] as const;
  const value = new Int32Array(Float32Array.of(p === null ? 1 : scaleOf(p)).buffer)[0];
  return k.kernelReading(
    `listSpikes${p === null ? '' : `Masked_${p}`}_${features}`,
    params,
    ['spikes', 'mask'],
    (f, item, a) => {
      const out = f.let('out', add(a.events, mul(item, mul(mul(a.group, a.T), padded(features) * eventBytes))));
      const panel = f.local('i32', 'panel');
      eachRow(f, a, item, (row) => {
        const span = f.let('span', add(a.spans, mul(row, spanBytes)));
        f.do(storeI32(span, out, spanWords.start));
        f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
          const spikes = loadI32(maskWord(a.spikes, panel, a.rows, row));
          const kept = p === null ? spikes : and(spikes, loadI32(maskWord(a.mask, panel, a.rows, row)));
          eachBit(f, f.let('bits', kept), (bit) => {
            f.do(storeI32(out, add(mul(panel, panelWidth), bit)));
            f.do(storeI32(out, i32(value), 4));
            f.set(out, add(out, eventBytes));
          });
        });
        f.do(storeI32(span, out, spanWords.end));
        f.do(storeI32(span, i32(value), spanWords.shared));
        f.do(storeI32(span, out, spanWords.mixed));
      });
    },
  );
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
