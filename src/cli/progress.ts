import { SingleBar } from 'cli-progress';
import type { EpochMetrics, Progress, TrainingObserver } from '../train/loop.ts';
import { EpochTable } from './epochTable.ts';
import { isTerminal, type Output } from './output.ts';
import { count, duration, percent } from './text.ts';

export interface ProgressReporter extends TrainingObserver {
  /** Makes way for other lines until the next batch. */
  pause(): void;
  /** Gives the terminal back. */
  close(): void;
}

export interface ProgressPlan {
  /** 0 where a command only evaluates. */
  readonly epochs: number;
  /** The layers whose firing rates are shown. */
  readonly layers: readonly string[];
}

/** A live bar on a terminal, plain lines elsewhere, nothing with `--quiet`. */
export function progressReporter({ stream, quiet }: Output, plan: ProgressPlan): ProgressReporter {
  if (quiet) return { batchDone() {}, epochDone() {}, pause() {}, close() {} };
  return isTerminal(stream) ? new LiveProgress(stream, plan) : new PlainProgress(stream, plan);
}

/** One line per epoch, and one now and then inside long ones. */
export class PlainProgress implements ProgressReporter {
  private readonly stream: NodeJS.WritableStream;
  private readonly table: EpochTable;
  private readonly remaining: RemainingTime;
  private readonly silence: number;
  private headerShown = false;
  private lastLine = performance.now();

  /** A long pass gets a line after every `silence` seconds. */
  constructor(stream: NodeJS.WritableStream, plan: ProgressPlan, silence = 30) {
    this.stream = stream;
    this.table = new EpochTable(plan.epochs, plan.layers, Number.POSITIVE_INFINITY);
    this.remaining = new RemainingTime(plan.epochs);
    this.silence = silence;
  }

  batchDone(progress: Progress): void {
    if (performance.now() - this.lastLine < this.silence * 1000) return;
    const share = `${progress.batch}/${progress.batches} batches`;
    this.line([passName(progress), share, ...details(progress, this.remaining.after(progress))].join(', '));
  }

  epochDone(metrics: EpochMetrics): void {
    this.remaining.epochDone(metrics);
    if (!this.headerShown) this.line(this.table.header());
    this.headerShown = true;
    this.line(this.table.row(metrics));
  }

  pause(): void {}

  close(): void {}

  private line(text: string): void {
    this.stream.write(`${text}\n`);
    this.lastLine = performance.now();
  }
}

/** A bar for the pass in progress; it makes way for the epoch's line. */
export class LiveProgress implements ProgressReporter {
  private readonly stream: NodeJS.WriteStream;
  private readonly plan: ProgressPlan;
  private readonly remaining: RemainingTime;
  private headerShown = false;
  private pass: { readonly name: string; readonly bar: SingleBar } | null = null;
  /** Also where the process ends at once, the cursor and line wrapping come back. */
  private readonly onExit = () => this.pause();

  constructor(stream: NodeJS.WriteStream, plan: ProgressPlan) {
    this.stream = stream;
    this.plan = plan;
    this.remaining = new RemainingTime(plan.epochs);
    process.on('exit', this.onExit);
  }

  batchDone(progress: Progress): void {
    const line = (width: number) => barLine(progress, this.remaining.after(progress), width);
    const name = passName(progress);
    if (this.pass?.name !== name) {
      this.pause();
      this.pass = { name, bar: this.startBar(progress, line) };
    }
    this.pass.bar.update(progress.batch, { line });
  }

  epochDone(metrics: EpochMetrics): void {
    this.remaining.epochDone(metrics);
    this.pause();
    // The terminal may have been resized since the last line.
    const table = new EpochTable(this.plan.epochs, this.plan.layers, this.width);
    if (!this.headerShown) this.stream.write(`${table.header()}\n`);
    this.headerShown = true;
    this.stream.write(`${table.row(metrics)}\n`);
  }

  pause(): void {
    this.pass?.bar.stop();
    this.pass = null;
  }

  close(): void {
    this.pause();
    process.off('exit', this.onExit);
  }

  /** Some terminals say 0 columns where they do not know. */
  private get width(): number {
    return this.stream.columns || 80;
  }

  private startBar({ batch, batches }: Progress, line: (width: number) => string): SingleBar {
    const format = (_options: unknown, _params: unknown, payload: { line: typeof line }) => payload.line(this.width);
    const bar = new SingleBar({ format, stream: this.stream, clearOnComplete: true, hideCursor: true });
    bar.start(batches, batch, { line });
    return bar;
  }
}

const WIDEST_BAR = 24;
const NARROWEST_BAR = 8;

/** `epoch 3 [=====     ] 50%, loss 0.8123, ...`, with as much of it as fits. */
export function barLine(progress: Progress, remaining: number, width: number): string {
  const done = progress.batch / progress.batches;
  const name = passName(progress);
  const share = `${Math.floor(100 * done)}%`.padStart(4);
  let shown = details(progress, remaining);
  const length = (bar: number) => [`${name} [${' '.repeat(bar)}] ${share}`, ...shown].join(', ').length;
  while (shown.length > 0 && length(NARROWEST_BAR) >= width) shown = shown.slice(0, -1);
  const size = Math.max(0, Math.min(WIDEST_BAR, width - 1 - length(0)));
  const bar = '='.repeat(Math.round(done * size)).padEnd(size);
  return [`${name} [${bar}] ${share}`, ...shown].join(', ').slice(0, width);
}

function passName({ epoch, split }: Progress): string {
  if (epoch === null) return split;
  return split === 'train' ? `epoch ${epoch}` : `epoch ${epoch} ${split}`;
}

/** Most important first: narrow terminals lose the last ones. */
function details({ metrics }: Progress, remaining: number): string[] {
  return [
    `loss ${metrics.loss.toFixed(4)}`,
    `accuracy ${percent(metrics.accuracy)}`,
    `${duration(remaining)} left`,
    `${count(metrics.samplesPerSecond)} samples/s`,
  ];
}

/** Estimates how long training will still take. */
class RemainingTime {
  private readonly epochs: number;
  private epochSeconds: number | null = null;

  constructor(epochs: number) {
    this.epochs = epochs;
  }

  epochDone({ train, validation }: EpochMetrics): void {
    this.epochSeconds = train.seconds + validation.seconds;
  }

  /** Seconds until the end of the last epoch, or of the pass itself outside training. */
  after({ epoch, batch, batches, metrics }: Progress): number {
    const passSeconds = (metrics.seconds / batch) * batches;
    const epochsAfter = epoch === null ? 0 : this.epochs - epoch;
    return passSeconds - metrics.seconds + epochsAfter * (this.epochSeconds ?? passSeconds);
  }
}
