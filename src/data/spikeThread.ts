import { Worker } from 'node:worker_threads';
import { UserError } from '../diagnostics/diagnostic.ts';
import { builtFile } from './builtFile.ts';
import type { DatasetSplit, OpenDataset, SpikeSample, SplitName } from './definition.ts';
import type { Failure } from './failure.ts';
import { type SpikeFolder, spikeFile } from './hdf5Spikes.ts';

/** What the thread that reads spikes is asked. */
export interface SpikeRequest {
  readonly split: SplitName;
  readonly indices: readonly number[];
}

/** What it answers: a message for each file that it is about to open, then the labels; after that, what is asked for. */
export type SpikeReply =
  | { readonly kind: 'opening'; readonly path: string }
  | { readonly kind: 'opened'; readonly splits: SplitFacts; readonly classNames?: readonly string[] }
  | { readonly kind: 'read'; readonly samples: SpikeSample[] }
  | Failure;

export type SplitFacts = Readonly<Partial<Record<SplitName, Pick<DatasetSplit, 'labels' | 'speakers'>>>>;

/**
 * What `openSpikeFiles` gives, by a thread of its own: damaged files can crash HDF5 or keep it busy without end. After
 * `seconds` for one answer it is stopped.
 *
 * @throws UserError what `openSpikeFiles` throws, and SP707 where HDF5 crashes or finds no end.
 */
export async function openSpikeFolder(source: SpikeFolder, seconds = 30): Promise<OpenDataset> {
  const thread = new SpikeThread(source, seconds);
  const { splits, classNames } = await thread.opened();
  const splitOf = (split: SplitName, facts: SplitFacts[SplitName]): DatasetSplit => ({
    ...facts!,
    read: (indices) => thread.read({ split, indices }, spikeFile(source, split)),
  });
  const names = Object.keys(splits) as SplitName[];
  return {
    splits: Object.fromEntries(names.map((split) => [split, splitOf(split, splits[split])])),
    ...(classNames && { classNames }),
    close: () => thread.close(),
  };
}

type Answer<K extends SpikeReply['kind']> = Extract<SpikeReply, { kind: K }>;

/** The thread as seen from here. It keeps the process alive only while it is asked something. */
class SpikeThread {
  private readonly worker: Worker;
  private readonly seconds: number;
  /** The file that is being read. */
  private path = '';
  private answer: (reply: SpikeReply) => void = () => {};
  private before: Promise<unknown> = Promise.resolve();
  private ended = false;

  constructor(source: SpikeFolder, seconds: number) {
    this.seconds = seconds;
    // HDF5 writes what it stumbles on to stdout and stderr; the errors say it, too.
    const options = { workerData: source, execArgv: [], stdout: true, stderr: true };
    this.worker = new Worker(builtFile(import.meta.url, 'data/spikeWorker.js'), options);
    this.worker.on('message', (reply: SpikeReply) => {
      if (reply.kind === 'opening') this.path = reply.path;
      else this.answer(reply);
    });
    this.worker.on('error', (error) => this.answer(broken(String(error))));
    this.worker.on('exit', () => {
      this.ended = true;
      this.answer(broken('the thread has ended'));
    });
  }

  opened(): Promise<Answer<'opened'>> {
    return this.inTurn(() => this.ask(() => {}));
  }

  async read(request: SpikeRequest, path: string): Promise<SpikeSample[]> {
    const { samples } = await this.inTurn(() => {
      this.path = path;
      return this.ask<'read'>(() => this.worker.postMessage(request));
    });
    return samples;
  }

  close(): void {
    void this.worker.terminate();
  }

  /** One at a time, so that each has the whole time limit. */
  private inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.before.then(task);
    this.before = result.catch(() => {});
    return result;
  }

  private async ask<K extends 'opened' | 'read'>(send: () => void): Promise<Answer<K>> {
    this.worker.ref();
    const timer = setTimeout(() => this.answer(broken(`no end after ${this.seconds} s`)), 1000 * this.seconds);
    const reply = await new Promise<SpikeReply>((resolve) => {
      this.answer = resolve;
      if (this.ended) resolve(broken('the thread has ended'));
      else send();
    });
    clearTimeout(timer);
    this.worker.unref();
    if (reply.kind !== 'failed') return reply as Answer<K>;
    if (reply.user) throw new UserError(reply.user.code, reply.message, { exitCode: reply.user.exitCode });
    this.close();
    const message = `"${this.path}" is damaged: HDF5 cannot read it; copy or download it again`;
    throw new UserError('SP707', message, { cause: reply.message });
  }
}

/** Where there is no answer. */
const broken = (message: string): Failure => ({ kind: 'failed', user: null, message, stack: undefined });
