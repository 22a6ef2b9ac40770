import type { Stream } from '../random/stream.ts';
import { blockRows, RowPairs } from './rowPairs.ts';

/**
 * A random orthogonal matrix [n, n], row-major, uniform over the orthogonal group as torch.nn.init.orthogonal_ draws
 * it: rows of a Gaussian matrix, orthonormalised by Gram-Schmidt in float64.
 */
export function orthogonal(stream: Stream, n: number, gain = 1): Float32Array {
  const pairs = new RowPairs(n, n);
  const rows = Array.from({ length: n }, (_, i) => new Row(pairs, i, n));
  for (const row of rows) row.fill(() => stream.normal());
  orthonormalise(pairs, rows);
  const matrix = new Float32Array(n * n);
  for (const [i, row] of rows.entries()) row.writeTo(matrix.subarray(i * n, (i + 1) * n), gain);
  return matrix;
}

/** Where less than this of a row is left, rounding counts, and it is done again (Daniel et al. 1976). */
const tooLittle = 0.1;

/** Gram-Schmidt, in blocks: their rows become orthonormal together and are then taken from the rest at once. */
function orthonormalise(pairs: RowPairs, rows: readonly Row[]): void {
  const before = rows.map((row) => row.norm());
  for (let start = 0; start < rows.length; start += blockRows) {
    const end = Math.min(start + blockRows, rows.length);
    for (let i = start; i < end; i++) {
      for (let j = start; j < i; j++) rows[i].subtractProjection(rows[j]);
      finish(rows, i, before[i]);
    }
    pairs.subtractFromLater(start / blockRows);
  }
}

/** Normalises row i, which is orthogonal to those before it up to the rounding of what was taken from it. */
function finish(rows: readonly Row[], i: number, before: number): void {
  let norm = rows[i].norm();
  for (let last = before; norm < tooLittle * last; ) {
    for (let j = 0; j < i; j++) rows[i].subtractProjection(rows[j]);
    last = norm;
    norm = rows[i].norm();
  }
  rows[i].divide(norm);
}

/** A row of RowPairs, of n numbers. */
class Row {
  private readonly numbers: Float64Array;
  private readonly n: number;

  constructor(pairs: RowPairs, index: number, n: number) {
    this.numbers = pairs.numbers.subarray(pairs.startOf(index));
    this.n = n;
  }

  fill(draw: () => number): void {
    for (let k = 0; k < this.n; k++) this.numbers[2 * k] = draw();
  }

  norm(): number {
    const { numbers, n } = this;
    let sum = 0;
    for (let k = 0; k < n; k++) sum += numbers[2 * k] * numbers[2 * k];
    return Math.sqrt(sum);
  }

  divide(divisor: number): void {
    for (let k = 0; k < this.n; k++) this.numbers[2 * k] /= divisor;
  }

  subtractProjection({ numbers: unit }: Row): void {
    const { numbers, n } = this;
    let share = 0;
    for (let k = 0; k < n; k++) share += numbers[2 * k] * unit[2 * k];
    for (let k = 0; k < n; k++) numbers[2 * k] -= share * unit[2 * k];
  }

  writeTo(target: Float32Array, gain: number): void {
    for (let k = 0; k < this.n; k++) target[k] = gain * this.numbers[2 * k];
  }
}
