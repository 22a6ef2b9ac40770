import { Worker } from 'node:worker_threads';
import { control } from './driver.ts';
import type { CompiledModule, Memory } from './webassembly.ts';

/** The code of a helping thread: it never leaves WebAssembly until it is told to end. */
const workerCode = `
const { parentPort, workerData } = require('node:worker_threads');
const { exports } = new WebAssembly.Instance(workerData.module, { host: { memory: workerData.memory } });
parentPort.postMessage('ready');
exports.serve(workerData.index);
process.exit();
`;

/** The threads that help the calling one; they never keep the process alive. */
export class Threads {
  private readonly workers: readonly Worker[];
  private readonly words: Int32Array;
  private ended = false;

  private constructor(workers: readonly Worker[], memory: Memory) {
    this.workers = workers;
    this.words = new Int32Array(memory.buffer);
  }

  /** Starts `count` - 1 helpers and waits until they are ready. */
  static async start(module: CompiledModule, memory: Memory, count: number): Promise<Threads> {
    const workers = Array.from(
      { length: count - 1 },
      (_, i) =>
        new Worker(workerCode, {
          eval: true,
          workerData: { module, memory, index: i + 1 },
          execArgv: [],
          stdin: false,
        }),
    );
    await Promise.all(workers.map(ready));
    for (const worker of workers) worker.unref();
    return new Threads(workers, memory);
  }

  get count(): number {
    return this.workers.length + 1;
  }

  /** Wakes the helpers: they start on the program in memory, whose number of threads is `count`. */
  wake(): void {
    Atomics.add(this.words, control.started / 4, 1);
    Atomics.notify(this.words, control.started / 4);
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    Atomics.store(this.words, control.ending / 4, 1);
    this.wake();
  }
}

function ready(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
  });
}
