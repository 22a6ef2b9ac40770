import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { type Batch, memoryOf } from './batch.ts';
import { builtFile } from './builtFile.ts';
import type { DataConfig } from './config.ts';
import type { ReportPreparation, SplitName } from './definition.ts';
import type { PipelineInfo } from './describe.ts';
import type { Failure } from './failure.ts';
import type { DataFacts, EpochRequest, LoadedBatch, LoaderInfo, SplitInfo } from './loader.ts';
import type { Credit, OpenReply, StreamReply, StreamRequest, WorkerInput } from './protocol.ts';

export { describePipeline, type PipelineError, type PipelineInfo } from './describe.ts';
export type { DataFacts, SplitInfo } from './loader.ts';

export interface PipelineOptions {
  /** Samples of a batch. */
  readonly batch: number;
  /** Of the experiment: shuffling is keyed by (seed, epoch). */
  readonly seed: number;
  /** Batches made ahead of the one in use. */
  readonly ahead?: number;
  /** Where the spec asks for this data: errors point there. */
  readonly spans?: DataSpans;
  /** Told how far data has come that is made before it is opened. */
  readonly onPreparation?: ReportPreparation;
}

export interface DataSpans {
  readonly source?: Span;
  /** For the errors of `validation.ts`, SP71x. */
  readonly validation?: Span;
}

export interface EpochOptions {
  /** Keys the shuffle. */
  readonly epoch?: number;
  readonly shuffle?: boolean;
  /** The samples are to train on: random transforms apply, keyed by (seed, epoch, sample). */
  readonly augment?: boolean;
  /** Index of the first batch: from k on, an epoch gives the same batches as without `from`. */
  readonly from?: number;
}

/** Sums over all batches that were taken from a split, over all epochs. */
export interface SplitCounters {
  readonly samples: number;
  /** Spikes that reached the network. */
  readonly events: number;
  /** Spikes that transforms left out, such as those outside of the window of `bin`. */
  readonly dropped: number;
  /** Samples that could not be used, each once: which one and why. */
  readonly skipped: readonly string[];
}

export interface DataPipeline {
  readonly info: PipelineInfo;
  readonly facts: DataFacts;
  readonly splits: Readonly<Record<SplitName, SplitInfo>>;
  readonly warnings: readonly string[];
  readonly counters: Readonly<Record<SplitName, SplitCounters>>;
  /** One epoch. Every iteration of it starts anew; leaving one early is fine. Data errors are UserErrors SP7xx. */
  batches(split: SplitName, options?: EpochOptions): AsyncIterable<Batch>;
  /** Takes back a batch that nobody reads any more: its memory serves later ones, so its arrays become empty. */
  recycle(batch: Batch): void;
  close(): Promise<void>;
}

/**
 * Opens the data in a worker thread, which reads and bins ahead while the calling thread computes. The thread never
 * keeps the process alive on its own.
 *
 * @throws UserError SP7xx where data is missing or corrupt, or cannot be split as asked for.
 */
export async function openPipeline(config: DataConfig, options: PipelineOptions): Promise<DataPipeline> {
  const { batch, seed, ahead = 4, spans = {}, onPreparation = () => {} } = options;
  const worker = new DataWorker({ config, options: { batch, seed } }, spans);
  const { pipeline: info, facts, splits, warnings } = await worker.opened(onPreparation);
  const counters = { train: newCounters(), validation: newCounters(), test: newCounters() };

  async function* epoch(request: EpochRequest): AsyncGenerator<Batch> {
    for await (const loaded of worker.stream(request, ahead)) {
      count(counters[request.split], loaded);
      yield loaded.batch;
    }
  }

  return {
    info,
    facts,
    splits,
    warnings,
    counters,
    batches: (split, { epoch: number = 0, shuffle = false, augment = false, from = 0 } = {}) => ({
      [Symbol.asyncIterator]: () => epoch({ split, epoch: number, shuffle, augment, from }),
    }),
    recycle: (batch) => worker.recycle(batch),
    close: () => worker.close(),
  };
}

/** The worker thread as seen from here. */
class DataWorker {
  private readonly worker: Worker;
  private readonly spans: DataSpans;
  private readonly inboxes = new Set<Inbox<unknown>>();
  private readonly returned = new Set<ArrayBuffer>();
  private failure: Error | null = null;

  constructor(input: WorkerInput, spans: DataSpans) {
    this.spans = spans;
    // The flags of this process, such as --input-type, are not the worker's.
    this.worker = new Worker(builtFile(import.meta.url, 'data/worker.js'), { workerData: input, execArgv: [] });
    this.worker.on('error', (error) => this.fail(error));
    this.worker.on('exit', () => this.fail(new Error('the data pipeline is closed')));
  }

  opened(onPreparation: ReportPreparation): Promise<LoaderInfo> {
    return new Promise((resolve, reject) => {
      this.worker.once('error', reject);
      this.worker.on('message', (reply: OpenReply) => {
        if (reply.kind === 'preparing') return onPreparation(reply.preparation);
        this.worker.unref();
        if (reply.kind === 'opened') resolve(reply.info);
        else this.close().then(() => reject(this.errorOf(reply)));
      });
    });
  }

  async *stream(request: EpochRequest, ahead: number): AsyncGenerator<LoadedBatch> {
    if (this.failure) throw this.failure;
    const { port1, port2 } = new MessageChannel();
    const inbox = new Inbox<StreamReply>(port1);
    this.inboxes.add(inbox);
    const credit = this.credit(ahead);
    this.worker.postMessage({ request, credit, port: port2 } satisfies StreamRequest, [port2, ...credit.returned]);
    // Several at once: each message wakes the thread.
    const several = Math.max(1, ahead >> 1);
    try {
      for (let taken = 1; ; taken++) {
        const reply = await inbox.take();
        if (reply.kind === 'end') return;
        if (reply.kind === 'failed') throw this.errorOf(reply);
        if (taken % several === 0) {
          const more = this.credit(several);
          port1.postMessage(more, more.returned);
        }
        yield reply.loaded;
      }
    } finally {
      this.inboxes.delete(inbox);
      port1.close();
    }
  }

  recycle(batch: Batch): void {
    for (const buffer of memoryOf(batch) as ArrayBuffer[]) {
      const isGone = buffer.byteLength === 0;
      if (!isGone) this.returned.add(buffer);
    }
  }

  /** For so many batches, with all the memory that there is. */
  private credit(batches: number): Credit {
    const returned = [...this.returned];
    this.returned.clear();
    return { batches, returned };
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const inbox of this.inboxes) inbox.fail(this.failure);
  }

  private errorOf({ user, message, stack }: Failure): Error {
    if (!user) return Object.assign(new Error(message), { stack });
    const span = user.code.startsWith('SP71') ? this.spans.validation : this.spans.source;
    return new UserError(user.code, message, { exitCode: user.exitCode, span });
  }
}

/** Receives from a port, in order, one message at a time; listens, and keeps the process alive, only while waiting. */
class Inbox<T> {
  private readonly port: MessagePort;
  private failure: Error | null = null;
  private reject: (error: Error) => void = () => {};

  constructor(port: MessagePort) {
    this.port = port;
  }

  async take(): Promise<T> {
    // What arrived while this thread was busy is there at once, without a turn of the event loop.
    const queued = receiveMessageOnPort(this.port);
    if (queued) return queued.message as T;
    if (this.failure) throw this.failure;
    return new Promise((resolve, reject) => {
      this.reject = reject;
      this.port.once('message', resolve);
    });
  }

  /** No more messages will come. */
  fail(error: Error): void {
    this.failure = error;
    this.reject(error);
  }
}

interface Counters extends SplitCounters {
  samples: number;
  events: number;
  dropped: number;
  readonly skipped: string[];
}

function newCounters(): Counters {
  return { samples: 0, events: 0, dropped: 0, skipped: [] };
}

function count(counters: Counters, { batch, events, dropped, skipped }: LoadedBatch): void {
  counters.samples += batch.size;
  counters.events += events;
  counters.dropped += dropped;
  for (const sample of skipped) if (!counters.skipped.includes(sample)) counters.skipped.push(sample);
}
