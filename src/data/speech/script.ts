import { Stream } from '../../random/stream.ts';
import type { SplitName } from '../definition.ts';
import { LANGUAGES, type Language, VOICES } from './voices.ts';

export interface SpokenDigits {
  /** Voices of each split; no voice is in two of them. */
  readonly train: number;
  readonly validation: number;
  readonly test: number;
  /** How often a voice says each digit. */
  readonly takes: number;
  readonly seed: number;
}

/** What eSpeak NG is to say, and how. */
export interface Utterance {
  readonly text: string;
  /** Accent and variant: `en-us+f3`. */
  readonly voice: string;
  /** Words per minute. */
  readonly rate: number;
  /** Height of the voice and how far it moves: 0 to 99, where 50 is the variant's own. */
  readonly pitch: number;
  readonly range: number;
}

export interface Line {
  readonly utterance: Utterance;
  /** Name of the recording, as in HD. */
  readonly file: string;
  readonly split: SplitName;
  /** The digit, + 10 in German. */
  readonly label: number;
  /** Index of the voice. */
  readonly speaker: number;
}

const RATES = [130, 220] as const;
const PITCHES = [30, 70] as const;
const RANGES = [30, 80] as const;

/** Who says what in which split: every voice every digit in both languages, each take at a speed and pitch of its own. */
export function scriptOf(task: SpokenDigits): Line[] {
  const order = Array.from(new Stream(task.seed, 'spoken_digits', 'voices').permutation(VOICES.length));
  const splits = (['train', 'validation', 'test'] as const).flatMap((split) => Array(task[split]).fill(split));
  return splits.flatMap((split: SplitName, i) => linesOf(order[i], split, task));
}

function linesOf(speaker: number, split: SplitName, { takes, seed }: SpokenDigits): Line[] {
  return LANGUAGES.flatMap((language, l) => {
    const voice = `${accentOf(language, speaker, seed)}+${VOICES[speaker]}`;
    return language.digits.flatMap((text, digit) =>
      Array.from({ length: takes }, (_, take): Line => {
        const label = 10 * l + digit;
        const draw = new Stream(seed, 'spoken_digits', speaker, label, take);
        const between = ([low, high]: readonly [number, number]) => Math.round(draw.uniform(low, high));
        return {
          utterance: { text, voice, rate: between(RATES), pitch: between(PITCHES), range: between(RANGES) },
          file: `lang-${language.name}_speaker-${String(speaker).padStart(2, '0')}_trial-${take}_digit-${digit}.wav`,
          split,
          label,
          speaker,
        };
      }),
    );
  });
}

function accentOf({ name, accents }: Language, speaker: number, seed: number): string {
  return accents[new Stream(seed, 'spoken_digits', 'accent', name, speaker).integer(accents.length)];
}
