import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { copyFrame, type Framing, frameCount } from '../../src/data/audio/frames.ts';
import { AudioReader } from '../../src/data/audio/read.ts';
import { RealFft } from '../../src/data/audio/realFft.ts';
import type { SampleOf } from '../../src/data/definition.ts';
import { fbank } from '../../src/data/transforms/fbank.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { defaultParams } from './defaultParams.ts';

const golden = fileURLToPath(new URL('../../../shared/golden/fbank/', import.meta.url));
const copied = fileURLToPath(new URL('../fixtures/audio/fbank/', import.meta.url));
const folder = existsSync(golden) ? golden : copied;
if (folder === copied) console.warn(`testing fewer recordings: there is no ${golden}`);

const params = (given = {}) => ({ ...defaultParams(fbank), ...given });
const tone = (length: number, rate = 16000): SampleOf<'waveform'> => ({
  kind: 'waveform',
  samples: Float32Array.from({ length }, (_, i) => Math.sin(i / 5)),
  rate,
});

test.each(readdirSync(folder).filter((f) => f.endsWith('.json')))('%s as Kaldi has it', async (file) => {
  const expected = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const sample = await new AudioReader({ maxDuration: 60, assumeRate: null }).read(join(folder, expected.wav));
  const { steps, values } = fbank.apply(sample, params({ mels: expected.num_mel_bins })) as SampleOf<'features'>;
  expect(steps).toBe(expected.frames);
  expect(values.length).toBe(expected.fbank.length);
  const errors = Array.from(values, (v, i) => Math.abs(v - expected.fbank[i]));
  expect(Math.max(...errors)).toBeLessThan(1e-3);
});

test('the FFT against the definition', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 7 }),
      fc.infiniteStream(fc.double({ min: -1, max: 1, noNaN: true })),
      (log, stream) => {
        const size = 2 ** log;
        const samples = Float64Array.from({ length: size }, () => stream.next().value as number);
        const power = new Float64Array(size / 2 + 1);
        new RealFft(size).power(samples, power);
        for (let k = 0; k <= size / 2; k++) {
          const angle = (i: number) => (2 * Math.PI * k * i) / size;
          const re = samples.reduce((sum, x, i) => sum + x * Math.cos(angle(i)), 0);
          const im = samples.reduce((sum, x, i) => sum + x * Math.sin(angle(i)), 0);
          expect(power[k]).toBeCloseTo(re * re + im * im, 9);
        }
      },
    ),
    { numRuns: 30 },
  );
});

describe('framing', () => {
  const frameOf = (index: number, framing: Framing, samples: number) => {
    const into = new Float64Array(framing.length);
    copyFrame(
      Float32Array.from({ length: samples }, (_, i) => i),
      index,
      framing,
      into,
    );
    return Array.from(into);
  };

  test('whole frames only', () => {
    const framing = { length: 4, shift: 2, snipEdges: true };
    expect([3, 4, 5, 6].map((n) => frameCount(n, framing))).toEqual([0, 1, 1, 2]);
    expect(frameOf(1, framing, 6)).toEqual([2, 3, 4, 5]);
  });

  test('mirrored at the ends', () => {
    const framing = { length: 4, shift: 2, snipEdges: false };
    expect([1, 2, 3, 6].map((n) => frameCount(n, framing))).toEqual([1, 1, 2, 3]);
    expect(frameOf(0, framing, 6)).toEqual([0, 0, 1, 2]);
    expect(frameOf(2, framing, 6)).toEqual([3, 4, 5, 5]);
    expect(frameOf(0, framing, 1)).toEqual([0, 0, 0, 0]);
  });
});

test('a recording shorter than a frame cannot be used', () => {
  expect(fbank.apply(tone(399), params())).toEqual({
    kind: 'unusable',
    reason: 'is too short: 0.0249 s, but a frame of fbank takes 0.025 s',
  });
  expect(fbank.apply(tone(400), params())).toMatchObject({ kind: 'features', steps: 1 });
});

test('recordings of different rates are a mistake in the spec', () => {
  const shared = params();
  fbank.apply(tone(1000), shared);
  expect(() => fbank.apply(tone(1000, 48000), shared)).toThrow(
    'some recordings are sampled at 16000 Hz and some at 48000 Hz; add resample(16000Hz) before fbank',
  );
  expect(() => fbank.apply(tone(1000), params({ high: 9000 }))).toThrow(UserError);
});

test('the shape after fbank', () => {
  const shape = fbank.infer({ kind: 'waveform', features: 1, classes: 20 }, params({ mels: 23 }));
  expect(shape).toEqual({
    kind: 'steps',
    features: 23,
    classes: 20,
    set: 'real',
    steps: null,
    stepDuration: 0.01,
  });
  expect(fbank.infer({ kind: 'spikes', features: 700, classes: 20 }, params())).toHaveProperty('error');
});

test('200 times faster than real time on one core', () => {
  const minute = tone(16000 * 60);
  const shared = params();
  const cpuSeconds = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    fbank.apply(minute, shared);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  });
  expect(60 / Math.min(...cpuSeconds)).toBeGreaterThan(200);
});
