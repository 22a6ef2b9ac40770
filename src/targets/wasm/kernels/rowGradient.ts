import {
  add,
  i32,
  type Local,
  loadI32,
  loadSplat,
  loadV,
  lt,
  mul,
  storeV,
  sub,
  v,
  zeroFill,
} from '../assembler/expr.ts';
import { matrixRows, panelBytes } from '../layout.ts';
import { eventBytes, type Listed, spanBytes, spanWords } from './events.ts';
import { eachStep, type Kernel, type Kernels, onPanel, panelAndChunk, panelStart, rowParams } from './kernel.ts';

/** Inputs of which a gradient's panel (32 KiB) stays in the first-level cache. */
const mostInputs = 256;

/** Whether a weight gradient is added up row by row: events need not be sorted, and each row is read but once. */
export const isByRows = ({ features, real }: Listed): boolean => !real && features <= mostInputs;

/**
 * parts[chunk, input, outputs] = sum over the rows of a chunk and their events of value * d[row, outputs], in the order of
 * time; item `panel * chunks + chunk`.
 */
export function rowGradientKernel(k: Kernels, { features: inputs }: Listed, outputs: number): Kernel {
  const params = ['parts', 'partBytes', 'd', 'dRows', 'spans', ...rowParams] as const;
  return k.kernelReading(`rowGradient_${inputs}_${outputs}`, params, ['d', 'events', 'spans'], (f, item, a) => {
    const { panel, chunk } = panelAndChunk(f, item, a);
    const part = add(a.parts, mul(chunk, a.partBytes));
    const gradient = f.let('gradient', panelStart(part, panel, i32(matrixRows(inputs))));
    const rows = f.let('rows', panelStart(a.d, panel, a.dRows));
    onPanel(f, outputs, panel, (vectors, width) => {
      f.do(zeroFill(gradient, i32(matrixRows(inputs) * width)));
      const ds = Array.from({ length: vectors }, (_, i) => f.local('v128', `d${i}`));
      eachStep(f, a, chunk, (first, _, samples) => {
        const row = f.let('row', add(rows, mul(first, width)));
        const span = f.let('span', add(a.spans, mul(first, spanBytes)));
        const endOfSpans = f.let('endOfSpans', add(span, mul(samples, spanBytes)));
        const multiply = (value: Local) => ds.forEach((d, i) => void f.set(d, v.mul(value, loadV(row, 16 * i))));
        f.while(lt(span, endOfSpans), () => {
          const event = f.let('event', loadI32(span, spanWords.start));
          const end = f.let('end', loadI32(span, spanWords.mixed));
          const addTo = () => {
            const target = f.let('target', add(gradient, mul(loadI32(event), width)));
            ds.forEach((d, i) => void f.do(storeV(target, v.add(loadV(target, 16 * i), d), 16 * i)));
            f.set(event, add(event, eventBytes));
          };
          multiply(f.let('shared', loadSplat(span, spanWords.shared)));
          f.while(lt(event, end), addTo);
          f.set(end, loadI32(span, spanWords.end));
          f.while(lt(event, end), () => {
            multiply(f.let('value', loadSplat(event, 4)));
            addTo();
          });
          f.set(row, add(row, width));
          f.set(span, add(span, spanBytes));
        });
      });
    });
  });
}

/** The sum of the chunks' parts of a gradient, in their order; items are panels. */
export function sumGradientKernel(k: Kernels, inputs: number, outputs: number): Kernel {
  const params = ['parts', 'chunks', 'partBytes', 'gradient', 'accumulate'] as const;
  return k.kernelReading(`sumGradient_${inputs}_${outputs}`, params, ['parts'], (f, panel, a) => {
    onPanel(f, outputs, panel, (_, width) => {
      const o = f.let('o', mul(panel, matrixRows(inputs) * panelBytes));
      const end = f.let('end', add(o, matrixRows(inputs) * width));
      f.while(lt(o, end), () => {
        const part = f.let('part', add(a.parts, o));
        const total = f.let('total', loadV(part));
        const left = f.let('left', sub(a.chunks, 1));
        f.while(left, () => {
          f.set(part, add(part, a.partBytes));
          f.set(total, v.add(total, loadV(part)));
          f.set(left, sub(left, 1));
        });
        const target = f.let('target', add(a.gradient, o));
        f.if(a.accumulate, () => f.set(total, v.add(total, loadV(target))));
        f.do(storeV(target, total));
        f.set(o, add(o, 16));
      });
    });
  });
}
