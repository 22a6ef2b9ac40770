import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Stream } from '../../src/random/stream.ts';
import { orthogonal } from '../../src/targets/orthogonal.ts';

/** The largest deviation of the rows' inner products from those of orthonormal ones. */
function deviation(q: Float32Array, n: number): number {
  let worst = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += q[i * n + k] * q[j * n + k];
      worst = Math.max(worst, Math.abs(sum - (i === j ? 1 : 0)));
    }
  }
  return worst;
}

describe('orthogonal', () => {
  it.each([1, 2, 3, 5, 40, 127, 256])('draws orthonormal rows of %d numbers', (n) => {
    for (let seed = 0; seed < 3; seed++) {
      expect(deviation(orthogonal(new Stream(seed, 'rows'), n), n)).toBeLessThan(1e-6);
    }
  });

  it('keeps the direction of the first Gaussian row', () => {
    const stream = new Stream(7, 'rows');
    const first = Array.from({ length: 6 }, () => stream.normal());
    const norm = Math.hypot(...first);
    const q = orthogonal(new Stream(7, 'rows'), 6);
    expect([...q.subarray(0, 6)]).toEqual(first.map((x) => Math.fround(x / norm)));
  });

  it('draws reflections as often as rotations, and every entry with mean 0 and variance 1/n', () => {
    const draws = 4000;
    let rotations = 0;
    const sums = new Float64Array(4);
    const squares = new Float64Array(4);
    for (let seed = 0; seed < draws; seed++) {
      const q = orthogonal(new Stream(seed, 'haar'), 2);
      if (q[0] * q[3] - q[1] * q[2] > 0) rotations++;
      for (let i = 0; i < 4; i++) {
        sums[i] += q[i] / draws;
        squares[i] += q[i] ** 2 / draws;
      }
    }
    // Five standard deviations.
    expect(Math.abs(rotations / draws - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / draws));
    for (const mean of sums) expect(Math.abs(mean)).toBeLessThan(5 * Math.sqrt(0.5 / draws));
    for (const square of squares) expect(Math.abs(square - 0.5)).toBeLessThan(5 * Math.sqrt(0.125 / draws));
  });

  it.each([
    [1, 'e00e5eb9444182f3'],
    [2, '09e45126f54eee67'],
    [3, '2ba3b0fe7f90c78f'],
    [5, 'd08b139c7a285e9d'],
    [127, 'f762c93067095693'],
    [258, '9e97b28e5d5a6ec0'],
  ])('draws, for %d rows, the bits of the plain loops that came first', (n, expected) => {
    const bytes = Buffer.from(orthogonal(new Stream(3, 'bits'), n).buffer);
    expect(createHash('sha256').update(bytes).digest('hex').slice(0, 16)).toBe(expected);
  });

  it('scales by the gain', () => {
    const unit = orthogonal(new Stream(1, 'gain'), 9);
    const scaled = orthogonal(new Stream(1, 'gain'), 9, 4);
    expect(scaled).toEqual(unit.map((x) => 4 * x));
  });
});
