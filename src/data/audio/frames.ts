/** How a waveform is cut into frames; lengths in samples. */
export interface Framing {
  readonly length: number;
  readonly shift: number;
  /** Only whole frames; otherwise the waveform is mirrored at its ends and there is one frame for every shift. */
  readonly snipEdges: boolean;
}

export const windowNames = ['povey', 'hann', 'hamming', 'rectangular'] as const;
export type WindowName = (typeof windowNames)[number];

/** Kaldi's window functions. */
export function windowFunction(name: WindowName, length: number): Float64Array {
  const cosine = (i: number) => Math.cos((2 * Math.PI * i) / (length - 1));
  const valueAt: Record<WindowName, (i: number) => number> = {
    povey: (i) => (0.5 - 0.5 * cosine(i)) ** 0.85,
    hann: (i) => 0.5 - 0.5 * cosine(i),
    hamming: (i) => 0.54 - 0.46 * cosine(i),
    rectangular: () => 1,
  };
  return Float64Array.from({ length }, (_, i) => valueAt[name](i));
}

/** Number of frames of a waveform of `samples` samples. */
export function frameCount(samples: number, { length, shift, snipEdges }: Framing): number {
  if (!snipEdges) return Math.floor((samples + shift / 2) / shift);
  return samples < length ? 0 : 1 + Math.floor((samples - length) / shift);
}

/** Copies frame `index` to the front of `into`. */
export function copyFrame(samples: Float32Array, index: number, framing: Framing, into: Float64Array): void {
  const { length, shift, snipEdges } = framing;
  const half = Math.floor(length / 2) - Math.floor(shift / 2);
  const start = index * shift - (snipEdges ? 0 : half);
  for (let i = 0; i < length; i++) into[i] = samples[mirrored(start + i, samples.length)];
}

/** The index at which a signal that is mirrored at both ends, edge samples repeated, is read. */
function mirrored(index: number, length: number): number {
  const period = 2 * length;
  const wrapped = ((index % period) + period) % period;
  return wrapped < length ? wrapped : period - 1 - wrapped;
}
