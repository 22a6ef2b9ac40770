import type { Params } from '../../definitions/params.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { copyFrame, type Framing, frameCount, windowFunction, windowNames } from '../audio/frames.ts';
import { type MelFilter, melFilters } from '../audio/melFilters.ts';
import { RealFft } from '../audio/realFft.ts';
import { defineTransform, type Sample, type WaveformSample } from '../definition.ts';

/** Energies below count as this one. */
export const FLOOR = 2 ** -23;

const params = {
  mels: { type: 'integer', min: 1, default: 40, description: 'number of mel filters' },
  frame: { type: 'quantity', unit: 's', min: 0, exclusive: true, default: 0.025, description: 'length of a frame' },
  shift: {
    type: 'quantity',
    unit: 's',
    min: 0,
    exclusive: true,
    default: 0.01,
    description: 'time from one frame to the next: a time step of the network',
  },
  low: { type: 'quantity', unit: 'Hz', min: 0, default: 20, description: 'where the lowest filter begins' },
  high: {
    type: 'quantity',
    unit: 'Hz',
    min: 0,
    exclusive: true,
    default: null,
    description: 'where the highest filter ends; half of the sampling rate where not given',
  },
  preemphasis: { type: 'number', min: 0, max: 1, default: 0.97, description: 'y_t = x_t - preemphasis * x_(t-1)' },
  window: { type: 'choice', values: windowNames, default: 'povey', description: 'window function of a frame' },
  snip_edges: {
    type: 'boolean',
    default: true,
    description: 'only frames that lie in the recording; otherwise it is mirrored at its ends',
  },
} as const;

/**
 * Log-mel filterbank energies as Kaldi and torchaudio.compliance.kaldi.fbank compute them, without dither: [frames,
 * mels]. Each frame loses its mean, is pre-emphasised, windowed and padded to a power of two; the log of its power in
 * each mel filter is floored at 2^-23.
 */
export const fbank = defineTransform({
  name: 'fbank',
  description: 'log-mel filterbank features of a recording, as Kaldi computes them',
  params,
  infer({ kind, classes }, { mels, shift }) {
    if (kind !== 'waveform') {
      return { error: 'fbank needs a recording, such as those of hd, sc or audio_folder; remove this fbank' };
    }
    return { kind: 'steps', classes, features: mels, set: 'real', steps: null, stepDuration: shift };
  },
  apply(sample, params) {
    if (sample.kind !== 'waveform') throw new Error('fbank needs a waveform');
    return features(sample, params);
  },
});

export type FbankParams = Params<typeof params>;

/** What is computed once for a sampling rate. */
export interface FbankPlan {
  readonly rate: number;
  readonly framing: Framing;
  readonly window: Float64Array;
  readonly fft: RealFft;
  readonly filters: readonly MelFilter[];
}

/** One plan for each pipeline, which has one sampling rate. */
const plans = new WeakMap<FbankParams, FbankPlan>();

/**
 * @throws UserError SP724 recordings have different sampling rates, SP725 the filters do not fit the rate.
 */
function planFor(rate: number, params: FbankParams): FbankPlan {
  const known = plans.get(params);
  if (known && known.rate !== rate) throw differentRates(rate, known.rate);
  const plan = known ?? fbankPlan(rate, params);
  plans.set(params, plan);
  return plan;
}

function features({ samples, rate }: WaveformSample, params: FbankParams): Sample {
  const { framing, window, fft, filters } = planFor(rate, params);
  const steps = frameCount(samples.length, framing);
  if (steps === 0) {
    const lengths = `${seconds(samples.length / rate)}, but a frame of fbank takes ${seconds(framing.length / rate)}`;
    return { kind: 'unusable', reason: `is too short: ${lengths}` };
  }
  const values = new Float32Array(steps * params.mels);
  const frame = new Float64Array(fft.size);
  const spectrum = new Float64Array(fft.size / 2 + 1);
  for (let t = 0; t < steps; t++) {
    copyFrame(samples, t, framing, frame);
    condition(frame, framing.length, params.preemphasis, window);
    fft.power(frame, spectrum);
    logEnergies(spectrum, filters, values.subarray(t * params.mels, (t + 1) * params.mels));
  }
  return { kind: 'features', steps, values };
}

/** @throws UserError SP725 the filters do not fit the rate. */
export function fbankPlan(rate: number, { mels, frame, shift, low, high, window, snip_edges }: FbankParams): FbankPlan {
  const top = high ?? rate / 2;
  if (low >= top || top > rate / 2) {
    const message = `fbank's filters from ${low} Hz to ${top} Hz do not fit recordings at ${rate} Hz; they must lie between 0 and ${rate / 2} Hz`;
    throw new UserError('SP725', message, { exitCode: 2 });
  }
  const framing = {
    length: Math.max(2, Math.floor(rate * frame + 1e-6)),
    shift: Math.max(1, Math.floor(rate * shift + 1e-6)),
    snipEdges: snip_edges,
  };
  const fft = new RealFft(Math.max(4, 2 ** Math.ceil(Math.log2(framing.length))));
  const filters = melFilters(mels, rate, fft.size, low, top);
  return { rate, framing, window: windowFunction(window, framing.length), fft, filters };
}

/** Removes the mean, emphasises high frequencies and applies the window, in place; the padding stays zero. */
function condition(frame: Float64Array, length: number, preemphasis: number, window: Float64Array): void {
  let mean = 0;
  for (let i = 0; i < length; i++) mean += frame[i];
  mean /= length;
  let previous = frame[0] - mean;
  for (let i = 0; i < length; i++) {
    const value = frame[i] - mean;
    frame[i] = (value - preemphasis * previous) * window[i];
    previous = value;
  }
}

function logEnergies(spectrum: Float64Array, filters: readonly MelFilter[], into: Float32Array): void {
  for (let m = 0; m < filters.length; m++) {
    const { first, weights } = filters[m];
    let energy = 0;
    for (let i = 0; i < weights.length; i++) energy += weights[i] * spectrum[first + i];
    into[m] = Math.log(Math.max(energy, FLOOR));
  }
}

function differentRates(a: number, b: number): UserError {
  const [low, high] = [Math.min(a, b), Math.max(a, b)];
  const message = `some recordings are sampled at ${low} Hz and some at ${high} Hz; add resample(${low}Hz) before fbank`;
  return new UserError('SP724', message, { exitCode: 2 });
}

function seconds(value: number): string {
  return `${Number(value.toPrecision(3))} s`;
}
