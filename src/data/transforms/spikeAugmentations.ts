import type { Stream } from '../../random/stream.ts';
import { type DataShape, defineAugmentation, type Sample, type SpikeSample } from '../definition.ts';

/** Random changes of the spikes that a model is trained on. */
export const jitter = defineAugmentation({
  name: 'jitter',
  description: 'adds Gaussian noise to the time of each spike',
  params: {
    std: { type: 'quantity', unit: 's', min: 0, default: 0.005, description: 'standard deviation' },
  },
  infer: spikesOnly('jitter'),
  apply(sample, { std }, stream) {
    const spikes = asSpikes(sample);
    return { ...spikes, times: spikes.times.map((t) => t + std * stream.normal()) };
  },
});

export const channelShift = defineAugmentation({
  name: 'channel_shift',
  description: 'moves all spikes of a sample by the same number of units; those that leave the units are lost',
  params: {
    max: { type: 'integer', min: 0, default: 20, description: 'largest shift, up or down' },
    units: { type: 'integer', min: 1, max: 65536, default: 700, description: 'number of units' },
  },
  infer(input, { units }) {
    const shape = spikesOnly('channel_shift')(input);
    if ('error' in shape || shape.features === units) return shape;
    return { error: `channel_shift needs the number of units of its data; set units=${shape.features}` };
  },
  apply(sample, { max, units }, stream) {
    const shift = stream.integer(2 * max + 1) - max;
    const moved = asSpikes(sample);
    return keep({ ...moved, units: moved.units.map((u) => u + shift) }, (i) => {
      const unit = moved.units[i] + shift;
      return unit >= 0 && unit < units;
    });
  },
});

export const drop = defineAugmentation({
  name: 'drop',
  description: 'removes spikes at random',
  params: {
    p: { type: 'number', min: 0, max: 1, default: 0.1, description: 'share of the spikes that is removed' },
  },
  infer: spikesOnly('drop'),
  apply(sample, { p }, stream: Stream) {
    return keep(asSpikes(sample), () => stream.uniform() >= p);
  },
});

export const spikeAugmentations = [jitter, channelShift, drop];

function spikesOnly(name: string) {
  return (input: DataShape): DataShape | { readonly error: string } =>
    input.kind === 'spikes' ? input : { error: `${name} changes spikes in continuous time; put it before bin` };
}

function asSpikes(sample: Sample): SpikeSample {
  if (sample.kind !== 'spikes') throw new Error('this augmentation needs spikes in continuous time');
  return sample;
}

function keep(sample: SpikeSample, isKept: (index: number) => boolean): SpikeSample {
  const kept: boolean[] = Array.from(sample.units, (_, i) => isKept(i));
  return {
    kind: 'spikes',
    times: sample.times.filter((_, i) => kept[i]),
    units: sample.units.filter((_, i) => kept[i]),
  };
}
