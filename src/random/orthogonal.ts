import type { Stream } from './stream.ts';

/**
 * A random orthogonal matrix [n, n], row-major, uniform over the orthogonal group as torch.nn.init.orthogonal_ draws
 * it: rows of a Gaussian matrix, orthonormalised by Gram-Schmidt in float64.
 */
export function orthogonal(stream: Stream, n: number, gain = 1): Float32Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < matrix.length; i++) matrix[i] = stream.normal();
  orthonormalise(Array.from({ length: n }, (_, i) => matrix.subarray(i * n, (i + 1) * n)));
  return new Float32Array(matrix.map((v) => gain * v));
}

/** Rows that become orthonormal together and are then taken from the rest at once: a row is read from memory less often. */
const blockSize = 4;

/** Where less than this of a row is left, rounding counts, and it is done again (Daniel et al. 1976). */
const tooLittle = 0.1;

/** Gram-Schmidt, in blocks. */
function orthonormalise(rows: readonly Float64Array[]): void {
  const before = rows.map(normOf);
  const nowhere = new Float64Array(rows.length);
  for (let start = 0; start < rows.length; start += blockSize) {
    const end = Math.min(start + blockSize, rows.length);
    for (let i = start; i < end; i++) {
      for (let j = start; j < i; j++) subtractProjection(rows[i], rows[j]);
      finish(rows, i, before[i]);
    }
    for (let i = end; i < rows.length; i += 2) subtractBlock(rows[i], rows[i + 1] ?? nowhere, rows, start);
  }
}

/** Normalises row i, which is orthogonal to those before it up to the rounding of what was taken from it. */
function finish(rows: readonly Float64Array[], i: number, before: number): void {
  let norm = normOf(rows[i]);
  for (let last = before; norm < tooLittle * last; ) {
    for (let j = 0; j < i; j++) subtractProjection(rows[i], rows[j]);
    last = norm;
    norm = normOf(rows[i]);
  }
  for (let k = 0; k < rows.length; k++) rows[i][k] /= norm;
}

/**
 * Takes the projections on the block that starts at a row from two others. Values that are used twice are held in
 * variables: engines read them again after a write, since the arrays might overlap.
 */
function subtractBlock(x: Float64Array, y: Float64Array, rows: readonly Float64Array[], start: number): void {
  const [a, b, c, d] = [rows[start], rows[start + 1], rows[start + 2], rows[start + 3]];
  let [xa, xb, xc, xd] = [0, 0, 0, 0];
  let [ya, yb, yc, yd] = [0, 0, 0, 0];
  for (let k = 0; k < x.length; k++) {
    const u = x[k];
    const v = y[k];
    const ak = a[k];
    const bk = b[k];
    const ck = c[k];
    const dk = d[k];
    xa += u * ak;
    xb += u * bk;
    xc += u * ck;
    xd += u * dk;
    ya += v * ak;
    yb += v * bk;
    yc += v * ck;
    yd += v * dk;
  }
  for (let k = 0; k < x.length; k++) {
    const ak = a[k];
    const bk = b[k];
    const ck = c[k];
    const dk = d[k];
    x[k] -= xa * ak + xb * bk + xc * ck + xd * dk;
    y[k] -= ya * ak + yb * bk + yc * ck + yd * dk;
  }
}

function subtractProjection(row: Float64Array, unit: Float64Array): void {
  let share = 0;
  for (let k = 0; k < row.length; k++) share += row[k] * unit[k];
  for (let k = 0; k < row.length; k++) row[k] -= share * unit[k];
}

function normOf(row: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < row.length; k++) sum += row[k] * row[k];
  return Math.sqrt(sum);
}
