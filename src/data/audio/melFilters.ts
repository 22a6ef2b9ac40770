/** A triangular filter over the bins of a power spectrum: `weights[i]` is that of bin `first + i`. */
export interface MelFilter {
  readonly first: number;
  readonly weights: Float64Array;
}

/** Hertz to mel, as Kaldi has it. */
export function mel(hertz: number): number {
  return 1127 * Math.log(1 + hertz / 700);
}

/**
 * Kaldi's triangular filters, evenly spaced and linear on the mel scale between `low` and `high` (Hz), over the bins
 * 0 .. fftSize / 2 - 1 of a spectrum. A filter narrower than the bins' spacing may have no weights at all.
 */
export function melFilters(count: number, rate: number, fftSize: number, low: number, high: number): MelFilter[] {
  const start = mel(low);
  const spacing = (mel(high) - start) / (count + 1);
  const bins = Float64Array.from({ length: fftSize / 2 }, (_, k) => mel((k * rate) / fftSize));
  return Array.from({ length: count }, (_, i) => triangle(bins, start + i * spacing, spacing));
}

function triangle(bins: Float64Array, left: number, spacing: number): MelFilter {
  const weightAt = (m: number) => Math.min(m - left, left + 2 * spacing - m) / spacing;
  const inside = Array.from(bins.keys()).filter((k) => weightAt(bins[k]) > 0);
  const first = inside[0] ?? 0;
  return { first, weights: Float64Array.from(inside, (k) => weightAt(bins[k])) };
}
