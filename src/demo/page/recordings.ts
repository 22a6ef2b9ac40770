import type { Hearing } from './hearing.ts';
import type { Model } from './model.ts';
import { atRate, joined, type Sound, trimmed } from './sound.ts';
import type { ResultView } from './view.ts';

/** Hears one word at a time: all of it is classified when it has ended. */
export class Recordings implements Hearing {
  readonly invitation = 'Listening: say a word.';
  readonly limit = 4;
  private readonly model: Model;
  private readonly view: ResultView;
  private chunks: Float32Array[] = [];
  private rate = 0;

  constructor(model: Model, view: ResultView) {
    this.model = model;
    this.view = view;
  }

  begin(rate: number): void {
    this.rate = rate;
    this.chunks = [];
  }

  hear(chunk: Float32Array): void {
    this.chunks.push(chunk);
  }

  end(): Promise<string> {
    return this.take(trimmed({ samples: joined(this.chunks), rate: this.rate }));
  }

  async take(sound: Sound): Promise<string> {
    const samples = atRate(sound, this.model.description.sampleRate);
    const start = performance.now();
    const result = await this.model.classify(samples);
    const milliseconds = performance.now() - start;
    this.view.show(result);
    const seconds = (sound.samples.length / sound.rate).toFixed(2);
    return `${seconds} s of sound, classified in ${milliseconds.toFixed(0)} ms.`;
  }
}
