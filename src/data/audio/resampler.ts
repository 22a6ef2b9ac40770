/** Zero crossings of the sinc on either side, of the lower of the two rates. */
const ZEROS = 32;
/** Half of the amplitude passes at this share of the lower Nyquist frequency, all of it up to 0.84 and none from 1 on. */
const ROLLOFF = 0.92;
/** Of the Kaiser window: the stop band lies below -80 dB. */
const BETA = 8;

/**
 * Band-limited resampling by a rational factor: a Kaiser-windowed sinc in polyphase form (Smith, "Digital audio
 * resampling", 2002). Output sample n lies at the time of input sample n * from / to, so both begin together.
 */
export class Resampler {
  private readonly up: number;
  private readonly down: number;
  /** Input samples on either side of an output sample that its filter reaches; even, for `dot`. */
  private readonly reach: number;
  /** One filter for each of the `up` positions between input samples: taps from -reach + 1 to reach. */
  private readonly phases: readonly Float64Array[];

  constructor(from: number, to: number) {
    const common = greatestCommonDivisor(from, to);
    this.up = to / common;
    this.down = from / common;
    const cutoff = ROLLOFF * Math.min(1, to / from);
    this.reach = 2 * Math.ceil(ZEROS / Math.min(1, to / from) / 2);
    this.phases = Array.from({ length: this.up }, (_, p) => this.filter(p / this.up, cutoff));
  }

  resample(samples: Float32Array): Float32Array {
    const { up, down, reach, phases } = this;
    const padded = new Float64Array(samples.length + 2 * reach);
    padded.set(samples, reach);
    const output = new Float32Array(Math.ceil((samples.length * up) / down));
    for (let n = 0; n < output.length; n++) {
      const position = n * down;
      output[n] = dot(phases[position % up], padded, Math.floor(position / up) + 1);
    }
    return output;
  }

  /** Resamples a stream: each call gives what its chunk completes, and the last one what is left. */
  stream(): (chunk: Float32Array, last: boolean) => Float32Array {
    const { up, down, reach, phases } = this;
    // Inputs from `first` on; before the stream there is silence.
    let buffer = new Float64Array(reach);
    let first = -reach;
    let next = 0;
    return (chunk, last) => {
      buffer = joined(buffer, chunk, last ? reach : 0);
      const outputs: number[] = [];
      const inputs = first + buffer.length - (last ? reach : 0);
      for (; ; next++) {
        const position = next * down;
        const input = Math.floor(position / up);
        if (input >= inputs || input + reach >= first + buffer.length) break;
        outputs.push(dot(phases[position % up], buffer, input - reach + 1 - first));
      }
      const needed = Math.floor((next * down) / up) - reach + 1;
      buffer = buffer.subarray(needed - first);
      first = needed;
      return Float32Array.from(outputs);
    };
  }

  /** The filter for an output sample that lies `fraction` of the way to the next input sample; its taps sum to 1. */
  private filter(fraction: number, cutoff: number): Float64Array {
    const taps = Float64Array.from({ length: 2 * this.reach }, (_, k) => {
      const t = k - this.reach + 1 - fraction;
      return cutoff * sinc(cutoff * t) * kaiser(t / this.reach);
    });
    const sum = taps.reduce((a, b) => a + b, 0);
    return taps.map((tap) => tap / sum);
  }
}

/** The products of taps and signal from `start` on. Four sums at once: one would wait for each addition. */
function dot(taps: Float64Array, signal: Float64Array, start: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let k = 0; k < taps.length; k += 4) {
    a += taps[k] * signal[start + k];
    b += taps[k + 1] * signal[start + k + 1];
    c += taps[k + 2] * signal[start + k + 2];
    d += taps[k + 3] * signal[start + k + 3];
  }
  return a + b + (c + d);
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function kaiser(x: number): number {
  return Math.abs(x) >= 1 ? 0 : bessel(BETA * Math.sqrt(1 - x * x)) / bessel(BETA);
}

/** The modified Bessel function I0, by its power series. */
function bessel(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function joined(a: Float64Array, b: Float32Array, zeros: number): Float64Array<ArrayBuffer> {
  const all = new Float64Array(a.length + b.length + zeros);
  all.set(a);
  all.set(b, a.length);
  return all;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
