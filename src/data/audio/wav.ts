import type { ByteReader } from './byteReader.ts';
import { type AudioInfo, AudioProblem } from './problem.ts';

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
/** What programs write that do not know the length when they begin. */
const UNKNOWN_SIZE = 0xffffffff;

interface WavLayout extends AudioInfo {
  readonly format: SampleFormat;
  readonly channels: number;
  /** Of the sound data in the file. */
  readonly start: number;
  readonly bytes: number;
}

type SampleFormat = 'uint8' | 'int16' | 'int24' | 'int32' | 'float32' | 'float64';

/** Reads the header of a WAV file (RIFF). @throws AudioProblem where it is none, or contradicts itself or the file. */
export function wavLayout(file: ByteReader): WavLayout {
  let sound: FormatChunk | null = null;
  let offset = 12;
  while (offset + 8 <= file.size) {
    const header = file.read(offset, 8);
    const id = header.toString('latin1', 0, 4);
    const size = header.readUInt32LE(4);
    if (!/^[ -~]{4}$/.test(id)) break;
    if (id === 'fmt ') sound = readFormat(file.read(offset + 8, Math.min(size, 40)));
    if (id === 'data') {
      if (!sound) throw new AudioProblem('is damaged: its format comes after its sound');
      return layoutOf(sound, file, offset + 8, size);
    }
    // Chunks begin at even places.
    offset += 8 + size + (size & 1);
  }
  throw new AudioProblem('is truncated or damaged: it has no sound data');
}

/** Decodes what the header describes to mono. */
export function decodeWav(file: ByteReader, { format, channels, start, bytes, samples }: WavLayout): Float32Array {
  const data = file.read(start, bytes);
  const { size, decode } = formats[format];
  const mono = new Float32Array(samples);
  for (let i = 0; i < samples; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += decode(data, (i * channels + c) * size);
    mono[i] = sum / channels;
    if (!Number.isFinite(sum)) throw new AudioProblem('is damaged: it holds values that are no numbers');
  }
  return mono;
}

const formats: Record<SampleFormat, { readonly size: number; decode(data: Buffer, at: number): number }> = {
  uint8: { size: 1, decode: (data, at) => (data[at] - 128) / 128 },
  int16: { size: 2, decode: (data, at) => ((data[at] | (data[at + 1] << 8)) << 16) / 2147483648 },
  int24: { size: 3, decode: (data, at) => data.readIntLE(at, 3) / 8388608 },
  int32: { size: 4, decode: (data, at) => data.readInt32LE(at) / 2147483648 },
  float32: { size: 4, decode: (data, at) => data.readFloatLE(at) },
  float64: { size: 8, decode: (data, at) => data.readDoubleLE(at) },
};

interface FormatChunk {
  readonly format: SampleFormat;
  readonly channels: number;
  readonly rate: number;
}

function readFormat(chunk: Buffer): FormatChunk {
  if (chunk.length < 16) throw new AudioProblem('is damaged: its format is cut short');
  const tag = chunk.readUInt16LE(0);
  const code = tag === EXTENSIBLE && chunk.length >= 26 ? chunk.readUInt16LE(24) : tag;
  const channels = chunk.readUInt16LE(2);
  const rate = chunk.readUInt32LE(4);
  const frameBytes = chunk.readUInt16LE(12);
  const bits = chunk.readUInt16LE(14);
  const format = formatOf(code, bits);
  if (channels < 1 || rate < 1 || frameBytes !== channels * formats[format].size) {
    const found = `${channels} channels of ${bits} bits at ${rate} Hz in ${frameBytes} bytes`;
    throw new AudioProblem(`is damaged: its header contradicts itself (${found})`);
  }
  return { format, channels, rate };
}

function formatOf(code: number, bits: number): SampleFormat {
  const known: Record<string, SampleFormat> = {
    [`${PCM}/8`]: 'uint8',
    [`${PCM}/16`]: 'int16',
    [`${PCM}/24`]: 'int24',
    [`${PCM}/32`]: 'int32',
    [`${FLOAT}/32`]: 'float32',
    [`${FLOAT}/64`]: 'float64',
  };
  const format = known[`${code}/${bits}`];
  if (format) return format;
  const what = `format ${code} with ${bits} bits`;
  throw new AudioProblem(`is stored in WAV ${what}; convert it to 16, 24 or 32-bit PCM, or to 32-bit float`);
}

function layoutOf(sound: FormatChunk, file: ByteReader, start: number, promised: number): WavLayout {
  const { format, channels, rate } = sound;
  const frame = channels * formats[format].size;
  const available = file.size - start;
  const bytes = promised === UNKNOWN_SIZE ? available - (available % frame) : promised;
  if (bytes > available) {
    const [wanted, found] = [bytes, available].map((n) => (n / frame / rate).toFixed(2));
    throw new AudioProblem(`is truncated: its header promises ${wanted} s, but the file holds ${found} s`);
  }
  if (bytes % frame !== 0) throw new AudioProblem('is damaged: its sound ends within a sample');
  requireChunksAfter(file, start + bytes + (bytes & 1));
  return { format, channels, rate, start, bytes, samples: bytes / frame };
}

/** What follows the sound must be chunks too: otherwise the header told a wrong length. */
function requireChunksAfter(file: ByteReader, end: number): void {
  const rest = file.size - end;
  if (rest < 8 || /^[ -~]{4}$/.test(file.read(end, 4).toString('latin1'))) return;
  throw new AudioProblem(`is damaged: ${rest} bytes follow after what its header calls the end of the sound`);
}
