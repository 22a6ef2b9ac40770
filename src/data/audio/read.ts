import type { SampleOf } from '../definition.ts';
import { ByteReader } from './byteReader.ts';
import { decodeFlac, flacInfo } from './flac.ts';
import { type AudioInfo, AudioProblem } from './problem.ts';
import { decodeWav, wavLayout } from './wav.ts';

/** Hz: no recorder works outside of these. */
const LOWEST_RATE = 1000;
const HIGHEST_RATE = 768_000;

export interface AudioLimits {
  /** Seconds: longer recordings are not decoded. */
  readonly maxDuration: number;
  /** What messages call that limit; `max_duration=60s` where absent. */
  readonly limit?: string;
  /** Hz, in place of what the files say; null: what they say. */
  readonly assumeRate: number | null;
}

/** Reads WAV and FLAC files, told apart by their first bytes, to mono. */
export class AudioReader {
  private readonly limits: AudioLimits;

  constructor(limits: AudioLimits) {
    this.limits = limits;
  }

  /** The recording, or why it cannot be used. */
  async read(path: string): Promise<SampleOf<'waveform'> | SampleOf<'unusable'>> {
    try {
      const file = new ByteReader(path);
      try {
        return await this.decode(file);
      } finally {
        file.close();
      }
    } catch (error) {
      if (error instanceof AudioProblem) return { kind: 'unusable', reason: error.message };
      throw error;
    }
  }

  private async decode(file: ByteReader): Promise<SampleOf<'waveform'>> {
    const { info, decode } = open(file);
    requirePlausibleRate(info.rate);
    const rate = this.limits.assumeRate ?? info.rate;
    this.requireUsableLength({ samples: info.samples, rate });
    const samples = await decode();
    return { kind: 'waveform', samples, rate };
  }

  private requireUsableLength({ samples, rate }: AudioInfo): void {
    if (samples === 0) throw new AudioProblem('has no samples');
    const { maxDuration, limit = `max_duration=${maxDuration}s` } = this.limits;
    if (samples / rate > maxDuration) {
      throw new AudioProblem(`lasts ${Math.round(samples / rate)} s, longer than ${limit}`);
    }
  }
}

/** What a file says its sampling rate is, or null where it is no recording that can be read. */
export function rateOf(path: string): number | null {
  try {
    const file = new ByteReader(path);
    try {
      return open(file).info.rate;
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof AudioProblem) return null;
    throw error;
  }
}

function requirePlausibleRate(rate: number): void {
  if (rate < LOWEST_RATE || rate > HIGHEST_RATE) throw new AudioProblem(`is damaged: its sampling rate is ${rate} Hz`);
}

interface Opened {
  readonly info: AudioInfo;
  decode(): Float32Array | Promise<Float32Array>;
}

function open(file: ByteReader): Opened {
  if (file.size === 0) throw new AudioProblem('is empty');
  const start = file.read(0, 12).toString('latin1');
  if (start.startsWith('RIFF') && start.endsWith('WAVE')) {
    const layout = wavLayout(file);
    return { info: layout, decode: () => decodeWav(file, layout) };
  }
  if (start.startsWith('fLaC')) {
    const info = flacInfo(file);
    return { info, decode: () => decodeFlac(file, info) };
  }
  throw new AudioProblem('is neither a WAV nor a FLAC file');
}
