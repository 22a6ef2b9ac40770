import type { Sound } from './sound.ts';

/** What the page does with sound. */
export interface Hearing {
  /** What a person is told who is listened to. */
  readonly invitation: string;
  /** Seconds after which listening ends by itself; null where it goes on. */
  readonly limit: number | null;
  /** The microphone is on; `rate` is what it gives. */
  begin(rate: number): void;
  hear(chunk: Float32Array): void;
  /** The microphone is off. What was done, for people. */
  end(): Promise<string>;
  /** The same for a whole recording. */
  take(sound: Sound): Promise<string>;
}
