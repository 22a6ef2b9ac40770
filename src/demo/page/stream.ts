import { Resampler } from '../../data/audio/resampler.ts';
import type { Hearing } from './hearing.ts';
import type { Classified, Model, Sequence } from './model.ts';
import { joined, requireShort, type Sound } from './sound.ts';
import type { ResultView } from './view.ts';

/** Seconds of a chunk, and of what is shown. */
const CHUNK = 0.1;
const SHOWN = 5;

/** Hears without an end: every tenth of a second goes through the network, which remembers the ones before. */
export class Stream implements Hearing {
  readonly invitation = 'Listening.';
  readonly limit = null;
  private readonly model: Model;
  private readonly view: ResultView;
  private resample: (chunk: Float32Array, last: boolean) => Float32Array = (chunk) => chunk;
  /** Samples at the model's rate that wait for the rest of their chunk. */
  private waiting: Float32Array[] = [];
  private seconds = 0;
  private shown: Classified | null = null;
  /** Chunks are heard in order. */
  private work: Promise<void> = Promise.resolve();

  constructor(model: Model, view: ResultView) {
    this.model = model;
    this.view = view;
  }

  begin(rate: number): void {
    const { sampleRate } = this.model.description;
    this.resample = rate === sampleRate ? (chunk) => chunk : new Resampler(rate, sampleRate).stream();
    this.model.restart();
    this.waiting = [];
    this.seconds = 0;
    this.shown = null;
  }

  hear(chunk: Float32Array): void {
    this.waiting.push(this.resample(chunk, false));
    const waiting = this.waiting.reduce((sum, { length }) => sum + length, 0);
    if (waiting >= CHUNK * this.model.description.sampleRate) this.flush();
  }

  async end(): Promise<string> {
    this.waiting.push(this.resample(new Float32Array(0), true));
    this.flush();
    await this.work;
    return `${this.seconds.toFixed(1)} s of sound, classified as it came.`;
  }

  async take(sound: Sound): Promise<string> {
    requireShort(sound);
    const size = Math.round(CHUNK * sound.rate);
    this.begin(sound.rate);
    for (let from = 0; from < sound.samples.length; from += size) this.hear(sound.samples.slice(from, from + size));
    return this.end();
  }

  private flush(): void {
    const samples = joined(this.waiting);
    this.waiting = [];
    if (samples.length > 0) this.work = this.work.then(() => this.feed(samples));
  }

  private async feed(samples: Float32Array): Promise<void> {
    const result = await this.model.classify(samples);
    const { sampleRate, stepSeconds } = this.model.description;
    const steps = Math.round(SHOWN / stepSeconds);
    this.seconds += samples.length / sampleRate;
    this.shown = this.shown ? after(this.shown, result, steps) : result;
    // A frame takes longer than the first chunk of a very short recording.
    if (this.shown.features.steps > 0) this.view.show(this.shown);
  }
}

/** The newer scores, and the last steps of both. */
function after(old: Classified, { scores, features, activity }: Classified, steps: number): Classified {
  return {
    scores,
    features: lastSteps(old.features, features, steps),
    activity: activity.map((values, i) => lastSteps(old.activity[i], values, steps)),
  };
}

function lastSteps(old: Sequence, { values, steps, features }: Sequence, most: number): Sequence {
  const all = joined([old.values, values]);
  const kept = Math.min(most, old.steps + steps);
  return { values: all.slice(all.length - kept * features), steps: kept, features };
}
