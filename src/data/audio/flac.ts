import type * as libflac from 'libflacjs/dist/libflac.min.js';
import type { ByteReader } from './byteReader.ts';
import { type AudioInfo, AudioProblem } from './problem.ts';

/** Where the stream's properties end: `fLaC`, a block header and STREAMINFO. */
const HEADER_BYTES = 42;

/** Reads the header of a FLAC file. @throws AudioProblem where it is cut short or has no length. */
export function flacInfo(file: ByteReader): AudioInfo {
  const header = file.read(0, HEADER_BYTES);
  if (header.length < HEADER_BYTES) throw new AudioProblem('is truncated: its header is not complete');
  const rate = header.readUIntBE(18, 3) >> 4;
  const samples = (header[21] & 0x0f) * 2 ** 32 + header.readUInt32BE(22);
  if (samples === 0) throw new AudioProblem('has no samples, or does not say how many; encode it again');
  return { samples, rate };
}

/**
 * Decodes a FLAC file to mono; libFLAC checks it against its checksum.
 *
 * @throws AudioProblem where not all that the header promises can be decoded.
 */
export async function decodeFlac(file: ByteReader, { samples, rate }: AudioInfo): Promise<Float32Array> {
  const flac = await ready();
  const mono = new Float32Array(samples);
  let done = 0;
  const whole = run(flac, file, (channels, { blocksize, bitsPerSample }) => {
    if (done + blocksize <= samples) addMean(channels, bitsPerSample, mono.subarray(done, done + blocksize));
    done += blocksize;
  });
  if (whole && done === samples) return mono;
  const [wanted, found] = [samples, Math.min(done, samples)].map((n) => (n / rate).toFixed(2));
  throw new AudioProblem(`is truncated or damaged: ${found} s of ${wanted} s can be decoded`);
}

type Library = typeof libflac;

/** The library, loaded when the first file is decoded: that takes as long as all else that is loaded for data. */
async function ready(): Promise<Library> {
  const module: unknown = await import('libflacjs/dist/libflac.min.js');
  // A CommonJS module: Node finds its functions on the default export.
  const flac = (module as { default: Library }).default;
  if (!flac.isReady()) await new Promise<void>((resolve) => flac.on('ready', () => resolve()));
  return flac;
}

/** True where the whole file was decoded and agrees with its checksum. */
function run(flac: Library, file: ByteReader, write: libflac.decoder_write_callback_fn): boolean {
  let position = 0;
  let errors = 0;
  const read = (length: number) => {
    const buffer = file.read(position, length);
    position += buffer.length;
    return { buffer, readDataLength: buffer.length };
  };
  const decoder = flac.create_libflac_decoder(true);
  try {
    const status = flac.init_decoder_stream(decoder, read, write, () => void errors++);
    const decoded = status === 0 && flac.FLAC__stream_decoder_process_until_end_of_stream(decoder);
    return Boolean(flac.FLAC__stream_decoder_finish(decoder)) && Boolean(decoded) && errors === 0;
  } finally {
    flac.FLAC__stream_decoder_delete(decoder);
  }
}

/** The mean of channels of little-endian integers, scaled to [-1, 1). */
function addMean(channels: readonly Uint8Array[], bits: number, into: Float32Array): void {
  const width = channels[0].length / into.length;
  const unused = 32 - 8 * width;
  const scale = 1 / (channels.length * 2 ** (bits - 1));
  for (const bytes of channels) {
    for (let i = 0, at = 0; i < into.length; i++) {
      let value = 0;
      for (let shift = unused; shift < 32; shift += 8) value |= bytes[at++] << shift;
      into[i] += (value >> unused) * scale;
    }
  }
}
