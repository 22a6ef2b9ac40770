import { describe, expect, test } from 'vitest';
import { addReverb } from '../../src/data/audio/freeverb.ts';
import type { AugmentationDefinition, SampleOf } from '../../src/data/definition.ts';
import { sampleTransforms } from '../../src/data/sampleTransform.ts';
import {
  audioAugmentations,
  gain,
  invert,
  noise,
  noiseSnr,
  reverb,
} from '../../src/data/transforms/audioAugmentations.ts';
import { channelShift, drop, jitter, spikeAugmentations } from '../../src/data/transforms/spikeAugmentations.ts';
import { Stream } from '../../src/random/stream.ts';
import { defaultParams } from './defaultParams.ts';

const tone: SampleOf<'waveform'> = {
  kind: 'waveform',
  samples: Float32Array.from({ length: 4000 }, (_, i) => 0.3 * Math.sin(i / 3)),
  rate: 16000,
};
const spikes: SampleOf<'spikes'> = {
  kind: 'spikes',
  times: Float32Array.from({ length: 2000 }, (_, i) => i / 2000),
  units: Uint16Array.from({ length: 2000 }, (_, i) => i % 700),
};

const rms = (values: Float32Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
const difference = (a: Float32Array, b: Float32Array) => a.map((v, i) => v - b[i]);

function sound(definition: AugmentationDefinition, given: object, key: number): Float32Array {
  const params = { ...defaultParams(definition), ...given };
  return (definition.apply(tone, params, new Stream(key)) as SampleOf<'waveform'>).samples;
}

const keys = Array.from({ length: 400 }, (_, i) => i);

describe('what sparch composes', () => {
  test.each([
    [invert, 0.8],
    [noise, 0.1],
    [gain, 0.3],
    [reverb, 0.6],
  ])('$name happens to the share of recordings', (definition, share) => {
    const changed = keys.filter((key) => sound(definition, {}, key) !== tone.samples).length / keys.length;
    expect(Math.abs(changed - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / keys.length));
  });

  test('invert', () => {
    expect(sound(invert, { p: 1 }, 1)).toEqual(tone.samples.map((x) => -x));
  });

  test('noise: the standard deviation is uniform in its range', () => {
    const shares = keys.map((key) => rms(difference(sound(noise, { p: 1 }, key), tone.samples)) / rms(tone.samples));
    expect(Math.min(...shares)).toBeLessThan(0.05);
    expect(Math.max(...shares)).toBeLessThan(0.95);
    expect(shares.reduce((a, b) => a + b, 0) / shares.length).toBeCloseTo(0.45, 1);
  });

  test('gain: uniform in decibels, clipped', () => {
    const levels = keys.map((key) => 20 * Math.log10(rms(sound(gain, { p: 1 }, key)) / rms(tone.samples)));
    expect(Math.min(...levels)).toBeGreaterThanOrEqual(-20.001);
    expect(Math.max(...levels)).toBeLessThanOrEqual(-0.999);
    expect(levels.reduce((a, b) => a + b, 0) / levels.length).toBeCloseTo(-10.5, -1);
    expect(Math.max(...sound(gain, { p: 1, min: 40, max: 40 }, 1))).toBe(1);
  });
});

test('noise_snr: the ratio in decibels', () => {
  const added = difference(sound(noiseSnr, { p: 1, min: 10, max: 10 }, 3), tone.samples);
  expect(20 * Math.log10(rms(tone.samples) / rms(added))).toBeCloseTo(10, 0);
});

describe('reverb', () => {
  const impulse = new Float32Array(16000);
  impulse[0] = 1;
  const settings = { reverberance: 50, damping: 50, room: 100 };
  const energy = (values: Float32Array, from: number, to: number) => rms(values.subarray(from, to));

  test('the dry sound, then echoes that begin after the shortest delay and decay', () => {
    const output = addReverb(impulse, 16000, settings);
    const shortest = Math.round((1116 * 16000) / 44100);
    expect(output[0]).toBe(1);
    expect(output.subarray(1, shortest).every((x) => x === 0)).toBe(true);
    expect(energy(output, shortest, 2 * shortest)).toBeGreaterThan(0);
    expect(energy(output, 8000, 12000)).toBeLessThan(0.5 * energy(output, shortest, 4000));
  });

  test('a smaller room answers sooner', () => {
    const first = (room: number) =>
      addReverb(impulse, 16000, { ...settings, room }).findIndex((x, i) => i > 0 && x !== 0);
    // The shortest comb, scaled by the room from 0.1 to 1; the allpasses pass their input on at once.
    expect([first(0), first(50), first(100)]).toEqual(
      [0.1, 0.55, 1].map((r) => Math.round((1116 * r * 16000) / 44100)),
    );
  });

  test('more reverberance decays more slowly, more damping sooner', () => {
    const tail = (changed: object) => energy(addReverb(impulse, 16000, { ...settings, ...changed }), 8000, 16000);
    expect(tail({ reverberance: 100 })).toBeGreaterThan(3 * tail({ reverberance: 0 }));
    expect(tail({ damping: 100 })).toBeLessThan(tail({ damping: 0 }));
  });
});

describe('spikes', () => {
  const change = (definition: AugmentationDefinition, given: object, key = 1) =>
    definition.apply(spikes, { ...defaultParams(definition), ...given }, new Stream(key)) as SampleOf<'spikes'>;

  test('jitter moves times by its standard deviation', () => {
    const { times, units } = change(jitter, { std: 0.01 });
    expect(units).toEqual(spikes.units);
    expect(rms(difference(times as Float32Array, spikes.times as Float32Array))).toBeCloseTo(0.01, 3);
  });

  test('channel_shift moves all units alike and loses those that leave', () => {
    const shifts = new Set(
      keys.map((key) => {
        const { times, units } = change(channelShift, { max: 3 }, key);
        const shift = units[10] - spikes.units[spikes.times.indexOf(times[10])];
        const stay = spikes.units.filter((u) => u + shift >= 0 && u + shift < 700);
        expect(units).toEqual(stay.map((u) => u + shift));
        expect(times.length).toBe(units.length);
        return shift;
      }),
    );
    expect([...shifts].sort((a, b) => a - b)).toEqual([-3, -2, -1, 0, 1, 2, 3]);
  });

  test('channel_shift must know the number of units', () => {
    const shape = { kind: 'spikes', features: 40, classes: 2 } as const;
    expect(channelShift.infer(shape, { max: 3, units: 700 })).toEqual({
      error: 'channel_shift needs the number of units of its data; set units=40',
    });
    expect(channelShift.infer(shape, { max: 3, units: 40 })).toBe(shape);
  });

  test('drop removes a share of the spikes', () => {
    const { times, units } = change(drop, { p: 0.25 });
    expect(times.length).toBe(units.length);
    expect(times.length / 2000).toBeCloseTo(0.75, 1);
  });
});

describe('in a pipeline', () => {
  const calls = audioAugmentations.map((d) => ({ type: d.name, params: { ...defaultParams(d), p: 1 } }));
  const key = { epoch: 3, sample: 7, augment: true };
  const samplesOf = (seed: number, changed = {}) =>
    (sampleTransforms(calls, seed).random(tone, { ...key, ...changed }) as SampleOf<'waveform'>).samples;

  test('draws follow from seed, epoch and sample alone', () => {
    expect(samplesOf(1)).toEqual(samplesOf(1));
    for (const other of [samplesOf(2), samplesOf(1, { epoch: 4 }), samplesOf(1, { sample: 8 })]) {
      expect(other).not.toEqual(samplesOf(1));
    }
  });

  test('two of the same kind draw independently', () => {
    const twice = { type: 'noise_snr', params: { p: 1, min: 0, max: 0 } };
    const { random } = sampleTransforms([twice, twice], 1);
    const added = difference((random(tone, key) as SampleOf<'waveform'>).samples, tone.samples);
    // Equal draws would add up to twice the noise, independent ones to less.
    expect(rms(added) / rms(tone.samples)).toBeLessThan(1.9);
  });

  test('nothing is changed that is not trained on', () => {
    expect(samplesOf(1, { augment: false })).toBe(tone.samples);
  });
});

test('ranges are in order', () => {
  for (const d of [noise, noiseSnr, gain]) {
    expect(d.check!(defaultParams(d))).toBeNull();
    expect(d.check!({ p: 1, min: 3, max: 2 })).toEqual({
      parameter: 'min',
      message: '"min" must be at most "max", which is 2, not 3',
    });
  }
});

test('each says what it is for', () => {
  const waveform = { kind: 'waveform', features: 1, classes: 2 } as const;
  const events = { kind: 'spikes', features: 700, classes: 2 } as const;
  for (const d of audioAugmentations) {
    expect(d.infer(waveform, defaultParams(d))).toBe(waveform);
    expect(d.infer(events, defaultParams(d))).toEqual({ error: `${d.name} changes recordings; put it before fbank` });
  }
  for (const d of spikeAugmentations) {
    expect(d.infer(events, defaultParams(d))).toBe(events);
    expect(d.infer(waveform, defaultParams(d))).toHaveProperty('error');
  }
});
