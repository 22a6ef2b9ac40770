import { encodeWav } from '../../../src/data/audio/encodeWav.ts';

/** The bytes of a 16-bit mono WAV file, whose header may promise another number of samples than it holds. */
export function wavFile(samples: Float32Array, rate: number, { promise = samples.length } = {}): Buffer {
  const data = Buffer.alloc(2 * samples.length);
  for (let i = 0; i < samples.length; i++) data.writeInt16LE(Math.round(samples[i] * 32767), 2 * i);
  const bytes = encodeWav(data, rate);
  bytes.writeUInt32LE(36 + 2 * promise, 4);
  bytes.writeUInt32LE(2 * promise, 40);
  return bytes;
}
