import { once } from 'node:events';
import { json } from 'node:stream/consumers';
import type { Utterance } from './script.ts';

/**
 * The process in which eSpeak NG runs: see `speak.ts`. It reads a job from stdin and writes to stdout the sampling rate
 * and then every utterance: its number of samples, both as 32-bit integers, and the samples, 16-bit, all little-endian.
 */
export interface SpeakerJob {
  /** URL of the module. */
  readonly engine: string;
  readonly utterances: readonly Utterance[];
}

/** What is used of eSpeak NG's module. */
interface Engine {
  readonly FS: { readdir(path: string): string[] };
  readonly eSpeakNGWorker: new () => EngineWorker | Promise<EngineWorker>;
}

interface EngineWorker {
  /** 0 where there is such a language, whatever the variant. */
  set_voice(name: string): number;
  set_rate(wordsPerMinute: number): void;
  set_pitch(pitch: number): void;
  set_range(range: number): void;
  get_samplerate(): number;
  /** Calls back with one piece after the other until the callback returns true. */
  synthesize(text: string, callback: (samples: Int16Array) => boolean): void;
}

const VARIANTS = '/usr/share/espeak-ng-data/voices/!v';

/** The noise of breathy voices is seeded with the time, but equal jobs are to give equal bytes. */
Date.now = () => 0;

const { engine, utterances } = (await json(process.stdin)) as SpeakerJob;
const { default: load } = (await import(engine)) as { readonly default: () => Promise<Engine> };
const espeak = await load();
const variants = new Set(espeak.FS.readdir(VARIANTS));
const worker = await new espeak.eSpeakNGWorker();

await write(integer(worker.get_samplerate()));
for (const utterance of utterances) {
  const sound = speak(utterance);
  await write(Buffer.concat([integer(sound.length / 2), sound]));
}

function speak({ text, voice, rate, pitch, range }: Utterance): Buffer {
  // eSpeak NG would speak with the plain voice of the language in place of a variant that it does not have.
  const known = variants.has(voice.split('+')[1]) && worker.set_voice(voice) === 0;
  if (!known) throw new Error(`there is no voice "${voice}"`);
  worker.set_rate(rate);
  worker.set_pitch(pitch);
  worker.set_range(range);
  const pieces: Buffer[] = [];
  worker.synthesize(text, ({ buffer, byteOffset, byteLength }) => {
    pieces.push(Buffer.from(buffer, byteOffset, byteLength));
    return false;
  });
  return Buffer.concat(pieces);
}

function integer(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

async function write(bytes: Buffer): Promise<void> {
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
}
