import {
  add,
  atomicAdd,
  atomicLoad,
  atomicNotify,
  atomicStore,
  atomicWait,
  divU,
  eq,
  gt,
  i32,
  type Local,
  loadI32,
  lt,
  mul,
  ne,
  remU,
  sub,
  sum,
} from './assembler/expr.ts';
import { call, type Func } from './assembler/func.ts';
import { callKernel } from './assembler/module.ts';
import type { Kernels } from './kernels/kernel.ts';
import { spins } from './kernels/meet.ts';

/**
 * What runs a program, itself in WebAssembly so that no JavaScript runs between its calls. Addresses of control words;
 * each has a cache line of its own.
 */
export const control = {
  /** How many threads have reached the barrier, and how often all of them have. */
  arrived: 64,
  generation: 128,
  /** How many programs were started. */
  started: 192,
  /** Not 0: threads end. */
  ending: 256,
  /** Number of threads. */
  threads: 320,
  /** Addresses of the first call to run, and of the end of the calls. */
  firstCall: 324,
  endOfCalls: 328,
} as const;

/** Where the calls are: 64 bytes each. */
export const programAddress = 1024;
export const callBytes = 64;
/**
 * Items whose numbers differ by a multiple of `period` are the same thread's; `taken`: how many of each thread's items were
 * taken, a word for each.
 */
export const callWords = { kernel: 0, items: 4, args: 8, barrier: 12, period: 16, taken: 20 } as const;

/**
 * Adds `run`, for the calling thread, and `serve`, for the others: it runs programs until told to end. Both get the thread's
 * index. Of a call's items each thread takes its own first, then those that the others have not come to: the same samples
 * stay with the same thread, in whose caches they are (processors may have several last-level caches).
 */
export function addDriver(k: Kernels): void {
  const barrier = k.helper('barrier', [], (f) => {
    const threads = f.let('threads', loadI32(control.threads));
    f.if(gt(threads, 1), () => {
      const generation = f.let('generation', atomicLoad(control.generation));
      f.if(
        eq(add(atomicAdd(control.arrived, 1), 1), threads),
        () => {
          f.do(atomicStore(control.arrived, i32(0)));
          f.do(atomicAdd(control.generation, 1));
          f.do(atomicNotify(control.generation));
        },
        () => waitWhile(f, control.generation, generation),
      );
    });
  });
  const run = k.helper('run', ['index'], (f) => {
    const [index] = f.parameters;
    const at = f.let('call', loadI32(control.firstCall));
    const end = f.let('end', loadI32(control.endOfCalls));
    const threads = f.let('threads', loadI32(control.threads));
    f.while(lt(at, end), () => {
      const period = f.let('period', loadI32(at, callWords.period));
      const periods = f.let('periods', divU(loadI32(at, callWords.items), period));
      const turn = f.local('i32', 'turn');
      f.for(turn, 0, threads, 1, () => {
        const owner = f.let('owner', remU(add(index, turn), threads));
        const first = f.let('first', divU(mul(period, owner), threads));
        const own = f.let('own', sub(divU(mul(period, add(owner, 1)), threads), first));
        const count = f.let('count', mul(own, periods));
        const taken = f.let('taken', add(at, mul(owner, 4)));
        const n = f.let('n', atomicAdd(taken, 1, callWords.taken));
        f.while(lt(n, count), () => {
          const item = f.let('item', sum(mul(divU(n, own), period), first, remU(n, own)));
          f.do(callKernel(loadI32(at, callWords.kernel), item, loadI32(at, callWords.args)));
          f.set(n, atomicAdd(taken, 1, callWords.taken));
        });
      });
      f.if(loadI32(at, callWords.barrier), () => f.do(call(barrier, [])));
      f.set(at, add(at, callBytes));
    });
  });
  const serve = k.helper('serve', ['index'], (f) => {
    const [index] = f.parameters;
    const seen = f.let('seen', 0);
    f.while(i32(1), () => {
      waitWhile(f, control.started, seen);
      f.set(seen, add(seen, 1));
      f.if(atomicLoad(control.ending), () => f.return0());
      f.do(call(run, [index]));
    });
  });
  k.module.export(run);
  k.module.export(serve);
}

/** Returns when the word at an address is no longer what it was: spins a little, then sleeps. */
function waitWhile(f: Func, address: number, was: Local): void {
  const patience = f.let('patience', spins);
  f.while(patience, () => {
    f.set(patience, sub(patience, 1));
    f.if(ne(atomicLoad(address), was), () => f.set(patience, 0));
  });
  f.while(eq(atomicLoad(address), was), () => f.do(atomicWait(address, was)));
}
