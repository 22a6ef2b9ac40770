import { expect, test } from 'vitest';
import { Resampler } from '../../../src/data/audio/resampler.ts';

const sine = (frequency: number, rate: number, length: number) =>
  Float32Array.from({ length }, (_, i) => 0.5 * Math.sin((2 * Math.PI * frequency * i) / rate));

/** The largest difference away from the ends, where the filter reaches past the signal. */
function error(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let i = 300; i < a.length - 300; i++) largest = Math.max(largest, Math.abs(a[i] - b[i]));
  return largest;
}

test.each([
  [48000, 16000],
  [44100, 16000],
  [16000, 48000],
  [8000, 16000],
  [22050, 16000],
])('a tone at %i Hz is the same tone at %i Hz', (from, to) => {
  for (const frequency of [100, 1000, 0.4 * Math.min(from, to)]) {
    const output = new Resampler(from, to).resample(sine(frequency, from, from / 5));
    expect(output.length).toBe(Math.ceil(to / 5));
    expect(error(output, sine(frequency, to, output.length))).toBeLessThan(2e-4);
  }
});

test.each([
  [48000, 16000, 9000],
  [48000, 16000, 15000],
  [44100, 16000, 20000],
])('from %i to %i Hz a tone at %i Hz leaves nothing behind', (from, to, frequency) => {
  const output = new Resampler(from, to).resample(sine(frequency, from, from / 5));
  expect(error(output, new Float32Array(output.length))).toBeLessThan(0.5 * 10 ** (-78 / 20));
});

test('a constant stays what it is', () => {
  const output = new Resampler(44100, 16000).resample(new Float32Array(44100).fill(0.25));
  expect(error(output, new Float32Array(output.length).fill(0.25))).toBeLessThan(1e-6);
});

test('short signals', () => {
  expect(new Resampler(48000, 16000).resample(new Float32Array(0)).length).toBe(0);
  expect(new Resampler(48000, 16000).resample(Float32Array.of(1)).length).toBe(1);
});

test.each([
  [48000, 16000],
  [44100, 16000],
  [8000, 16000],
])('a stream in chunks, from %i to %i Hz, is what the whole is', (from, to) => {
  const whole = sine(440, from, 5000);
  const resampler = new Resampler(from, to);
  const next = resampler.stream();
  const found: number[] = [];
  for (let start = 0, size = 1; start < whole.length; start += size, size = 1 + ((size * 7) % 600)) {
    found.push(...next(whole.subarray(start, start + size), false));
  }
  found.push(...next(new Float32Array(0), true));
  const expected = resampler.resample(whole);
  expect(found.length).toBe(expected.length);
  expect(found).toEqual([...expected]);
});
