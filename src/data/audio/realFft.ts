/**
 * The power spectrum |X_k|^2, k = 0 .. size / 2, of `size` real samples (a power of two, at least 4). The samples are
 * transformed as size / 2 complex numbers, radix 2, in place, and the halves are then separated.
 */
export class RealFft {
  readonly size: number;
  private readonly half: number;
  private readonly re: Float64Array;
  private readonly im: Float64Array;
  /** cos and sin of 2 pi k / size. */
  private readonly cos: Float64Array;
  private readonly sin: Float64Array;
  private readonly reversed: Uint32Array;

  constructor(size: number) {
    if (size < 4 || (size & (size - 1)) !== 0)
      throw new Error(`the size of an FFT must be a power of two, not ${size}`);
    this.size = size;
    this.half = size / 2;
    this.re = new Float64Array(this.half);
    this.im = new Float64Array(this.half);
    this.cos = Float64Array.from({ length: this.half }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = Float64Array.from({ length: this.half }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    this.reversed = bitReversal(this.half);
  }

  power(samples: Float64Array, into: Float64Array): void {
    const { half, re, im, reversed } = this;
    for (let i = 0; i < half; i++) {
      re[reversed[i]] = samples[2 * i];
      im[reversed[i]] = samples[2 * i + 1];
    }
    this.transform();
    this.separate(into);
  }

  private transform(): void {
    const { half, re, im, cos, sin } = this;
    for (let span = 1; span < half; span *= 2) {
      // Of the size / 2 points, twiddles are every second one of the tables.
      const stride = half / span;
      for (let k = 0; k < span; k++) {
        const c = cos[k * stride];
        const s = -sin[k * stride];
        for (let i = k; i < half; i += 2 * span) {
          const j = i + span;
          const x = re[j] * c - im[j] * s;
          const y = re[j] * s + im[j] * c;
          re[j] = re[i] - x;
          im[j] = im[i] - y;
          re[i] += x;
          im[i] += y;
        }
      }
    }
  }

  private separate(into: Float64Array): void {
    const { half, re, im, cos, sin } = this;
    into[0] = (re[0] + im[0]) ** 2;
    into[half] = (re[0] - im[0]) ** 2;
    for (let k = 1; k < half; k++) {
      const m = half - k;
      const evenRe = (re[k] + re[m]) / 2;
      const evenIm = (im[k] - im[m]) / 2;
      const oddRe = (im[k] + im[m]) / 2;
      const oddIm = (re[m] - re[k]) / 2;
      const x = evenRe + oddRe * cos[k] + oddIm * sin[k];
      const y = evenIm + oddIm * cos[k] - oddRe * sin[k];
      into[k] = x * x + y * y;
    }
  }
}

function bitReversal(size: number): Uint32Array {
  const reversed = new Uint32Array(size);
  for (let i = 1; i < size; i++) reversed[i] = (reversed[i >> 1] >> 1) | (i & 1 ? size >> 1 : 0);
  return reversed;
}
