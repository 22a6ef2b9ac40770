import { Resampler } from '../audio/resampler.ts';
import { defineTransform } from '../definition.ts';

/** By `from/to`: filters take longer to make than a recording to pass through them. */
const resamplers = new Map<string, Resampler>();

export const resample = defineTransform({
  name: 'resample',
  description: 'changes the sampling rate of recordings, with a band-limited filter',
  params: {
    rate: { type: 'quantity', unit: 'Hz', min: 1000, max: 192_000, description: 'samples per second' },
  },
  infer(input, { rate }) {
    if (input.kind !== 'waveform') {
      return { error: 'resample needs a recording, such as those of hd, sc or audio_folder; put it before fbank' };
    }
    if (!Number.isInteger(rate)) return { error: `resample needs a whole number of Hz, not ${rate}` };
    return { ...input, rate };
  },
  apply(sample, { rate }) {
    if (sample.kind !== 'waveform') throw new Error('resample needs a waveform');
    if (sample.rate === rate) return sample;
    return { kind: 'waveform', samples: resamplerFor(sample.rate, rate).resample(sample.samples), rate };
  },
});

function resamplerFor(from: number, to: number): Resampler {
  const key = `${from}/${to}`;
  const resampler = resamplers.get(key) ?? new Resampler(from, to);
  resamplers.set(key, resampler);
  return resampler;
}
