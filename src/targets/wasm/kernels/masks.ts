import type { DropoutNode } from '../../../ir/graph.ts';
import {
  add,
  compareF,
  divU,
  type Expr,
  f32,
  i32,
  ishl,
  ishrU,
  type Local,
  laneI32,
  lanesI32,
  loadF32,
  loadI32,
  loadV,
  lt,
  mul,
  or,
  shl,
  shuffle,
  splat,
  splatI32,
  storeI32,
  storeV,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { panelsOf, panelWidth } from '../layout.ts';
import { keyOf, threefry } from './draws.ts';
import { eachRow, eachStep, type Kernel, type Kernels, onPanel, panelStart, rowParams } from './kernel.ts';

/**
 * Dropout masks [rows, features], whose numbers are 0 or 1 / (1 - p), a bit each: a word per row and panel, the words of a
 * panel's rows one after the other.
 */
export const maskBytes = (rows: number, features: number): number => panelsOf(features).count * rows * 4;

/** Address of the word of a row in a panel. */
export const maskWord = (mask: Expr, panel: Expr, rows: Expr, row: Expr): Expr =>
  add(mask, mul(add(mul(panel, rows), row), 4));

/** Whether masks of a layer can be drawn here: rows must start on a counter. */
export const drawsMask = ({ type }: DropoutNode): boolean => type.features % 4 === 0;

/** Draws a mask as `targets/draws.ts` does; a counter gives four of its numbers. */
export function maskKernel(k: Kernels, features: number, p: number): Kernel {
  const params = ['keys', 'mask', 'rows', ...rowParams] as const;
  return k.kernel(`mask_${features}_${p}`, params, (f, item, a) => {
    eachRow(f, a, item, (row, b, t) => {
      const key = keyOf(f, a.keys, b);
      const counter = f.let('counter', divU(mul(t, features), 4));
      const panel = f.local('i32', 'panel');
      f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
        const counters = f.let('counters', v.iadd(v.splatInt(counter), lanesI32(0, 1, 2, 3)));
        const low = keptBits(f, threefry(f, key, counters), p);
        const high = keptBits(f, threefry(f, key, v.iadd(counters, splatI32(4))), p);
        const bits = f.let('bits', v.or(low, ishl(high, 16)));
        f.set(bits, v.or(bits, shuffle(bits, bits, [2, 3, 0, 1])));
        f.do(storeI32(maskWord(a.mask, panel, a.rows, row), or(laneI32(bits, 0), laneI32(bits, 1))));
        f.set(counter, add(counter, panelWidth / 4));
      });
    });
  });
}

/** Bits of 16 numbers, 4 in each lane: of each counter the low and high halves of both words, in this order. */
function keptBits(f: Func, [first, second]: readonly [Local, Local], p: number): Local {
  const dropped = splatI32(Math.round(p * 65536));
  const low = (word: Local) => v.igeS(v.and(word, splatI32(0xffff)), dropped);
  const high = (word: Local) => v.igeS(ishrU(word, 16), dropped);
  const bits = [low(first), high(first), low(second), high(second)].map((kept, i) =>
    v.and(kept, lanesI32(1 << i, 16 << i, 256 << i, 4096 << i)),
  );
  return f.let(
    'kept',
    bits.reduce((a, b) => v.or(a, b)),
  );
}

/** From the host's [B, T, features] of numbers that are 0 or not. */
export function packMaskKernel(k: Kernels, features: number): Kernel {
  const params = ['source', 'mask', 'rows', ...rowParams] as const;
  return k.kernel(`packMask_${features}`, params, (f, item, a) => {
    eachRow(f, a, item, (row, b, t) => {
      const from = f.let('from', add(a.source, mul(mul(add(mul(b, a.T), t), features), 4)));
      const end = f.let('end', add(from, features * 4));
      const panel = f.local('i32', 'panel');
      f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
        const word = f.let('word', 0);
        const bit = f.local('i32', 'bit');
        f.for(bit, 0, i32(panelWidth), 1, () => {
          f.if(lt(from, end), () => f.set(word, or(word, shl(compareF.ne(loadF32(from), f32(0)), bit))));
          f.set(from, add(from, 4));
        });
        f.do(storeI32(maskWord(a.mask, panel, a.rows, row), word));
      });
    });
  });
}

/** y = x * mask, for arrays of equal shape; may be in place. */
export function applyMaskKernel(k: Kernels, features: number, p: number): Kernel {
  const params = ['x', 'mask', 'y', 'rows', ...rowParams] as const;
  return k.kernel(`applyMask_${features}_${p}`, params, (f, item, a) => {
    const panel = f.local('i32', 'panel');
    f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
      onPanel(f, features, panel, (vectors, width) => {
        eachStep(f, a, item, (first, _, samples) => {
          const word = f.let('word', maskWord(a.mask, panel, a.rows, first));
          const end = f.let('end', add(word, mul(samples, 4)));
          const o = f.let('o', add(panelStart(i32(0), panel, a.rows), mul(first, width)));
          f.while(lt(word, end), () => {
            const bits = f.let('bits', v.splatInt(loadI32(word)));
            const [x, y] = [f.let('xAt', add(a.x, o)), f.let('yAt', add(a.y, o))];
            for (let i = 0; i < vectors; i++) f.do(storeV(y, maskedVector(loadV(x, 16 * i), bits, i, p), 16 * i));
            f.set(o, add(o, width));
            f.set(word, add(word, 4));
          });
        });
      });
    });
  });
}

/** The vector `i` of a panel's row times the mask, given its word in all lanes. */
export function maskedVector(x: Expr, word: Expr, i: number, p: number): Expr {
  const own = lanesI32(1 << (4 * i), 2 << (4 * i), 4 << (4 * i), 8 << (4 * i));
  return v.and(v.mul(x, splat(scaleOf(p))), v.ieq(v.and(word, own), own));
}

/** What dropout multiplies the numbers by that it keeps. */
export const scaleOf = (p: number): number => 1 / (1 - p);
