import fc from 'fast-check';
import { expect, it } from 'vitest';
import { toExactSums } from '../../src/passes/exactSums.ts';

const rows = 3;
const numbers = fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 4 * rows, maxLength: 40 * rows });
const weights = numbers.map((values) => values.slice(0, values.length - (values.length % rows)));

/** In float32, one after the other. */
const sum = (values: readonly number[]) => values.reduce((total, v) => Math.fround(total + v), 0);

it('gives weights whose sums are the same in any order', () => {
  fc.assert(
    fc.property(
      weights,
      fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: rows, maxLength: rows }),
      fc.nat(),
      (values, bias, seed) => {
        const exact = toExactSums(Float64Array.from(values), Float64Array.from(bias), rows, 1);
        const columns = values.length / rows;
        for (let row = 0; row < rows; row++) {
          const own = [...exact.matrix.slice(row * columns, (row + 1) * columns)].filter(
            (_, j) => (seed >> (j % 30)) & 1,
          );
          const all = [...own, (exact.bias as Float32Array)[row]];
          const inOrder = sum(all);
          expect(sum(all.toSorted((a, b) => a - b))).toBe(inOrder);
          expect(sum(all.toReversed())).toBe(inOrder);
          expect(
            all.reduce((total, v) => total + v, 0),
            'the exact sum',
          ).toBe(inOrder);
        }
      },
    ),
  );
});

it('changes weights by a little of the sums of their row', () => {
  fc.assert(
    fc.property(weights, fc.constantFrom(1 as const, 4 as const), (values, times) => {
      const { matrix, bias } = toExactSums(Float64Array.from(values), null, rows, times);
      expect(bias).toBeNull();
      const columns = values.length / rows;
      matrix.forEach((v, k) => {
        const row = values.slice(k - (k % columns), k - (k % columns) + columns);
        const size = Math.max(
          row.reduce((total, w) => total + Math.max(0, w), 0),
          row.reduce((total, w) => total + Math.max(0, -w), 0),
        );
        expect(Math.abs(v - values[k])).toBeLessThanOrEqual(size * times * (1 + 2 ** -11) * 2 ** -24 + 2 ** -127);
      });
    }),
  );
});

it('leaves zeros and numbers that are none as they are', () => {
  expect([...toExactSums(Float64Array.of(0, 0, Number.NaN, 1), new Float64Array(2), 2, 1).matrix.slice(0, 2)]).toEqual([
    0, 0,
  ]);
  expect(toExactSums(Float64Array.of(0, 0, Number.NaN, 1), null, 2, 1).matrix[2]).toBeNaN();
});

it('has room for counts of up to four on average', () => {
  const count = fc.integer({ min: 0, max: 8 });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.double({ min: -50, max: 50, noNaN: true }), count), { minLength: 4 }), (pairs) => {
      const mean = (sign: number) => {
        const own = pairs.filter(([w]) => Math.sign(w) === sign);
        return own.reduce((t, [w, n]) => t + w * n, 0) / own.reduce((t, [w]) => t + w, 0);
      };
      fc.pre(!(mean(1) > 4 || mean(-1) > 4));
      const { matrix } = toExactSums(
        Float64Array.from(pairs, ([w]) => w),
        null,
        1,
        4,
      );
      const terms = pairs.map(([, n], i) => matrix[i] * n);
      expect(sum(terms.toSorted((a, b) => a - b))).toBe(sum(terms));
      expect(terms.reduce((total, v) => total + v, 0)).toBe(sum(terms));
    }),
  );
});
