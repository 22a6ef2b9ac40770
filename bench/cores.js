/**
 * How far apart the cores are that two threads run on: nanoseconds until a thread has the answer of the other to a number in
 * shared memory. Cores with a last-level cache in common take some 100 ns, others some 400 on the same processor.
 *
 *   node bench/cores.js
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const EXCHANGES = 200_000;
/** Where each writes, in cache lines of their own. */
const [CALL, ANSWER] = [0, 16];

if (isMainThread) {
  const words = new Int32Array(new SharedArrayBuffer(128));
  const other = new Worker(new URL(import.meta.url), { workerData: words });
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => other.once('message', resolve));
    const started = performance.now();
    for (let i = 1; i <= EXCHANGES; i++) {
      Atomics.store(words, CALL, i);
      while (Atomics.load(words, ANSWER) !== i);
    }
    console.log(`${((1e6 * (performance.now() - started)) / EXCHANGES).toFixed(0)} ns`);
  }
} else {
  for (let round = 0; round < 3; round++) {
    Atomics.store(workerData, CALL, 0);
    parentPort.postMessage('ready');
    for (let i = 1; i <= EXCHANGES; i++) {
      while (Atomics.load(workerData, CALL) !== i);
      Atomics.store(workerData, ANSWER, i);
    }
  }
}
