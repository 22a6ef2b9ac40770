import {
  add,
  and,
  atomicAdd,
  atomicLoad,
  atomicNotify,
  atomicStore,
  atomicWait,
  type Expr,
  gt,
  type Local,
  lt,
  mul,
  sub,
  zeroFill,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import type { Kernel, Kernels } from './kernel.ts';

/**
 * Threads that compute one sample together, each some of the neurons, meet where one needs what the others have computed.
 * Each has words of its own, in a cache line of its own: how often it has arrived, and how many sleep until it arrives.
 */
export const meetingBytes = 64;
const sleepers = 4;

/**
 * How often a thread looks before it sleeps: some 50 microseconds, longer than a sleeping thread takes to wake. Otherwise the
 * one that waits for a thread to wake would fall asleep too, and both would sleep before every meeting.
 */
export const spins = 100_000;

/** Before the first meeting: nobody has arrived. */
export function clearKernel(k: Kernels): Kernel {
  return k.kernel('clear', ['target', 'bytes'] as const, (f, _, a) => f.do(zeroFill(a.target, a.bytes)));
}

/** Tells the others that part `part` has arrived for the `times`-th time, and waits for all of them. */
export function meet(k: Kernels, at: { place: Expr; part: Expr; parts: Expr; times: Expr }): Expr {
  const func = k.helper('meet', ['place', 'part', 'parts', 'times'], (f) => {
    const [place, part, parts, times] = f.parameters;
    const own = f.let('own', add(place, mul(part, meetingBytes)));
    f.do(atomicStore(own, times));
    f.if(atomicLoad(own, sleepers), () => f.do(atomicNotify(own)));
    const other = f.let('other', place);
    f.set(parts, add(place, mul(parts, meetingBytes)));
    f.while(lt(other, parts), () => {
      waitFor(f, other, times);
      f.set(other, add(other, meetingBytes));
    });
  });
  return call(func, [at.place, at.part, at.parts, at.times]);
}

function waitFor(f: Func, other: Local, times: Local): void {
  const arrived = f.let('arrived', atomicLoad(other));
  const patience = f.let('patience', spins);
  f.while(and(lt(arrived, times), gt(patience, 0)), () => {
    f.set(arrived, atomicLoad(other));
    f.set(patience, sub(patience, 1));
  });
  f.while(lt(arrived, times), () => {
    f.do(atomicAdd(other, 1, sleepers));
    f.do(atomicWait(other, arrived));
    f.do(atomicAdd(other, -1, sleepers));
    f.set(arrived, atomicLoad(other));
  });
}
