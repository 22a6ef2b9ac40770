import { add, i32, loadI32, mul, storeI32 } from '../assembler/expr.ts';
import { padded, panelsOf, panelWidth } from '../layout.ts';
import { gateBytes } from './dots.ts';
import { spanBytes } from './events.ts';
import { eachRow, eachSample, type Kernel, type Kernels, rowParams } from './kernel.ts';
import { eachBit } from './lists.ts';
import { maskWord } from './masks.ts';

/** Lists, for every row, the neurons whose bits are set: those whose cotangents matter. */
export function listGatesKernel(k: Kernels, features: number): Kernel {
  const params = ['bits', 'events', 'spans', 'rows', ...rowParams] as const;
  return k.kernelReading(`listGates_${features}`, params, ['bits'], (f, chunk, a) => {
    const out = f.let('out', add(a.events, mul(chunk, mul(mul(a.group, a.T), padded(features) * gateBytes))));
    // Before the first step nothing is wanted.
    eachSample(f, a, chunk, i32(-1), (row) => {
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      f.do(storeI32(span, out));
      f.do(storeI32(span, out, 4));
    });
    const panel = f.local('i32', 'panel');
    eachRow(f, a, chunk, (row) => {
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      f.do(storeI32(span, out));
      f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
        const bits = f.let('bits', loadI32(maskWord(a.bits, panel, a.rows, row)));
        eachBit(f, bits, (k) => {
          f.do(storeI32(out, add(mul(panel, panelWidth), k)));
          f.set(out, add(out, gateBytes));
        });
      });
      f.do(storeI32(span, out, 4));
    });
  });
}
