import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Stream, startOfKey, streamKey, wordsOf } from '../../src/random/stream.ts';
import { threefry } from '../../src/random/threefry.ts';

/** Known answers of Threefry-2x32-20 from the Random123 distribution (kat_vectors). */
it.each([
  [
    [0, 0],
    [0, 0],
    [0x6b200159, 0x99ba4efe],
  ],
  [
    [0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x1cb996fc, 0xbb002be7],
  ],
  [
    [0x243f6a88, 0x85a308d3],
    [0x13198a2e, 0x03707344],
    [0xc4923a9c, 0x483df7a0],
  ],
])('threefry(counter %j, key %j) is %j', (counter, key, expected) => {
  const out = new Uint32Array(2);
  threefry([key[0], key[1]], counter[0], counter[1], out);
  expect([...out]).toEqual(expected);
});

describe('a stream', () => {
  it('depends on every component of its path, and on their order', () => {
    const paths = [[1, 'a', 2], [1, 'a', 3], [2, 'a', 1], [1, 'b', 2], [1, 'a', 2, 0], [1], ['1'], [12], [1, 2]];
    const first = paths.map((path) => new Stream(...path).word());
    expect(new Set(first).size).toBe(paths.length);
    expect(new Stream(1, 'a', 2).word()).toBe(first[0]);
  });

  it('is uniform and normal', () => {
    const stream = new Stream(7, 'moments');
    const n = 20_000;
    const uniform = Array.from({ length: n }, () => stream.uniform());
    const normal = Array.from({ length: n }, () => stream.normal());
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / n;
    expect(mean(uniform)).toBeCloseTo(0.5, 1);
    expect(mean(uniform.map((u) => (u - 0.5) ** 2))).toBeCloseTo(1 / 12, 2);
    expect(Math.abs(mean(normal))).toBeLessThan(0.03);
    expect(mean(normal.map((x) => x * x))).toBeCloseTo(1, 1);
  });

  it('permutes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200 }), fc.nat(), (n, seed) => {
        const order = new Stream(seed, 'permutation').permutation(n);
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
      }),
    );
  });
});

it('goes on with a key whose path has begun', () => {
  const path = [5, 'state', 2, 2 ** 40 + 3, 'h1', 'u', 0];
  const words = new Uint32Array(startOfKey(path.slice(0, 4), path.length));
  for (const component of path.slice(4)) threefry([words[0], words[1]], ...wordsOf(component), words);
  expect([...words]).toEqual([...streamKey(path)]);
});
