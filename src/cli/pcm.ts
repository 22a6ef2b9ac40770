/** How raw sound is stored: little-endian, mono. */
export const pcmFormats = {
  s16le: { bytes: 2, decode: (data: Buffer, at: number) => data.readInt16LE(at) / 32768 },
  f32le: { bytes: 4, decode: (data: Buffer, at: number) => data.readFloatLE(at) },
} as const;

export type PcmFormat = keyof typeof pcmFormats;

/** Turns bytes as they come into samples; those of a half sample wait for the other half. */
export class PcmDecoder {
  private readonly format: PcmFormat;
  private rest: Buffer = Buffer.alloc(0);

  constructor(format: PcmFormat) {
    this.format = format;
  }

  decode(bytes: Buffer): Float32Array {
    const data = Buffer.concat([this.rest, bytes]);
    const { bytes: size, decode } = pcmFormats[this.format];
    const samples = Float32Array.from({ length: Math.floor(data.length / size) }, (_, i) =>
      finite(decode(data, i * size)),
    );
    this.rest = data.subarray(samples.length * size);
    return samples;
  }
}

/** What is no number would stay in the network's states for ever. */
function finite(sample: number): number {
  return Number.isFinite(sample) ? sample : 0;
}
