import { Resampler } from '../../data/audio/resampler.ts';
import { rateOf } from './rate.ts';

/** Mono sound. */
export interface Sound {
  readonly samples: Float32Array;
  readonly rate: number;
}

/** Seconds: pictures of longer recordings would show nothing. */
const LONGEST = 30;

/** Something a person can mend; the message says how. */
export class DemoError extends Error {}

/** Decodes a file; channels are averaged. Files that do not say their rate arrive at `rate`. */
export async function decode(file: File, rate: number): Promise<Sound> {
  const bytes = await file.arrayBuffer();
  const own = rateOf(bytes) ?? rate;
  try {
    // At its own rate, the browser does not resample it.
    const buffer = await new OfflineAudioContext(1, 1, own).decodeAudioData(bytes);
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => asInFile(buffer.getChannelData(c)));
    const samples = Float32Array.from(
      channels[0],
      (_, i) => channels.reduce((sum, c) => sum + c[i], 0) / channels.length,
    );
    return { samples, rate: buffer.sampleRate };
  } catch (cause) {
    throw new DemoError(`This browser cannot read “${file.name}”: it is damaged, or no recording. Try a WAV file.`, {
      cause,
    });
  }
}

/** What the model takes. */
export function atRate(sound: Sound, wanted: number): Float32Array {
  const { samples, rate } = sound;
  requireShort(sound);
  return rate === wanted ? samples : new Resampler(rate, wanted).resample(samples);
}

export function requireShort({ samples, rate }: Sound): void {
  if (samples.length === 0) throw new DemoError('The recording is empty.');
  if (samples.length / rate <= LONGEST) return;
  throw new DemoError(`The recording lasts ${Math.round(samples.length / rate)} s; give one of ${LONGEST} s at most.`);
}

export function joined(chunks: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Cuts off the silence before and after a word, up to a tenth of a second of it. */
export function trimmed({ samples, rate }: Sound): Sound {
  const frame = Math.round(rate / 100);
  const energies = Array.from({ length: Math.floor(samples.length / frame) }, (_, i) =>
    samples.subarray(i * frame, (i + 1) * frame).reduce((sum, v) => sum + v * v, 0),
  );
  const peak = Math.max(0, ...energies);
  if (peak === 0) throw new DemoError('Nothing was heard: is the microphone on?');
  const loud = peak / 400;
  const isLoud = (energy: number) => energy > loud;
  const from = Math.max(0, energies.findIndex(isLoud) - 10);
  const to = Math.min(energies.length, energies.findLastIndex(isLoud) + 11);
  return { samples: samples.slice(from * frame, to * frame), rate };
}

/**
 * Samples of 16 bits as the numbers x / 32768 that a network is trained on: Chromium divides positive ones by 32767, and
 * other browsers do not. Anything else is left as it is.
 */
function asInFile(samples: Float32Array): Float32Array {
  const isWhole = (x: number) => Math.abs(x - Math.round(x)) < 2 ** -6;
  if (!samples.every((s) => (s < 0 ? isWhole(s * 32768) : isWhole(s * 32767)))) return samples;
  return samples.map((s) => Math.round(s < 0 ? s * 32768 : s * 32767) / 32768);
}
