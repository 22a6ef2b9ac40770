import type { AnyParams } from '../../definitions/params.ts';
import type { Stream } from '../../random/stream.ts';
import { addReverb } from '../audio/freeverb.ts';
import { type DataShape, defineAugmentation, type Sample, type WaveformSample } from '../definition.ts';

/** Random changes of the recordings that a model is trained on. The defaults are those that sparch composes for HD and SC. */
const probability = (p: number) =>
  ({ type: 'number', min: 0, max: 1, default: p, description: 'share of the recordings that it happens to' }) as const;
const percent = (value: number, what: string) =>
  ({ type: 'number', min: 0, max: 100, default: value, description: what }) as const;

export const invert = defineAugmentation({
  name: 'invert',
  description: 'turns the polarity of a recording',
  params: { p: probability(0.8) },
  infer: recordingsOnly('invert'),
  apply(sample, { p }, stream) {
    return stream.uniform() < p ? withSamples(sample, (samples) => samples.map((x) => -x)) : sample;
  },
});

export const noise = defineAugmentation({
  name: 'noise',
  description: "adds Gaussian noise whose standard deviation is a share of the recording's",
  params: {
    p: probability(0.1),
    min: { type: 'number', min: 0, default: 1e-4, description: 'smallest share' },
    max: { type: 'number', min: 0, default: 0.9, description: 'largest share' },
  },
  check: ordered,
  infer: recordingsOnly('noise'),
  apply(sample, { p, min, max }, stream) {
    if (stream.uniform() >= p) return sample;
    const share = stream.uniform(min, max);
    return withSamples(sample, (samples) => addNoise(samples, share, stream));
  },
});

export const noiseSnr = defineAugmentation({
  name: 'noise_snr',
  description: 'adds Gaussian noise at a signal-to-noise ratio in dB',
  params: {
    p: probability(0.5),
    min: { type: 'number', default: 5, description: 'lowest ratio, dB' },
    max: { type: 'number', default: 30, description: 'highest ratio, dB' },
  },
  check: ordered,
  infer: recordingsOnly('noise_snr'),
  apply(sample, { p, min, max }, stream) {
    if (stream.uniform() >= p) return sample;
    const share = decibels(-stream.uniform(min, max));
    return withSamples(sample, (samples) => addNoise(samples, share, stream));
  },
});

export const gain = defineAugmentation({
  name: 'gain',
  description: 'changes the loudness; what leaves [-1, 1] is clipped',
  params: {
    p: probability(0.3),
    min: { type: 'number', default: -20, description: 'smallest gain, dB' },
    max: { type: 'number', default: -1, description: 'largest gain, dB' },
  },
  check: ordered,
  infer: recordingsOnly('gain'),
  apply(sample, { p, min, max }, stream) {
    if (stream.uniform() >= p) return sample;
    const factor = decibels(stream.uniform(min, max));
    return withSamples(sample, (samples) => samples.map((x) => Math.min(1, Math.max(-1, factor * x))));
  },
});

export const reverb = defineAugmentation({
  name: 'reverb',
  description: 'adds the reverberation of a random room (Freeverb, as in SoX)',
  params: {
    p: probability(0.6),
    reverberance: percent(100, 'largest reverberance; each is uniform from 0'),
    damping: percent(100, 'largest damping of high frequencies'),
    room: percent(100, 'largest size of the room'),
  },
  infer: recordingsOnly('reverb'),
  apply(sample, { p, reverberance, damping, room }, stream) {
    if (stream.uniform() >= p) return sample;
    const settings = {
      reverberance: stream.uniform(0, reverberance),
      damping: stream.uniform(0, damping),
      room: stream.uniform(0, room),
    };
    return withSamples(sample, (samples, rate) => addReverb(samples, rate, settings));
  },
});

export const audioAugmentations = [invert, noise, noiseSnr, gain, reverb];

function ordered({ min, max }: AnyParams) {
  if ((min as number) <= (max as number)) return null;
  return { parameter: 'min', message: `"min" must be at most "max", which is ${max}, not ${min}` };
}

function recordingsOnly(name: string) {
  return (input: DataShape) =>
    input.kind === 'waveform' ? input : { error: `${name} changes recordings; put it before fbank` };
}

function withSamples(sample: Sample, change: (samples: Float32Array, rate: number) => Float32Array): WaveformSample {
  if (sample.kind !== 'waveform') throw new Error('this augmentation needs a waveform');
  return { ...sample, samples: change(sample.samples, sample.rate) };
}

function addNoise(samples: Float32Array, share: number, stream: Stream): Float32Array {
  const std = share * deviation(samples);
  return samples.map((x) => x + std * stream.normal());
}

function deviation(samples: Float32Array): number {
  let mean = 0;
  for (const x of samples) mean += x / samples.length;
  let squares = 0;
  for (const x of samples) squares += (x - mean) ** 2;
  return Math.sqrt(squares / samples.length);
}

function decibels(value: number): number {
  return 10 ** (value / 20);
}
