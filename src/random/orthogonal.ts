import type { Stream } from './stream.ts';

/**
 * A random orthogonal matrix [n, n], row-major, uniform over the orthogonal group as torch.nn.init.orthogonal_ draws
 * it: rows of a Gaussian matrix, orthonormalised by Gram-Schmidt (run twice per row, which is exact to rounding).
 */
export function orthogonal(stream: Stream, n: number, gain = 1): Float32Array {
  const q = Float64Array.from({ length: n * n }, () => stream.normal());
  for (let i = 0; i < n; i++) {
    const row = q.subarray(i * n, (i + 1) * n);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) subtractProjection(row, q.subarray(j * n, (j + 1) * n));
    }
    const norm = Math.sqrt(dot(row, row));
    for (let k = 0; k < n; k++) row[k] /= norm;
  }
  return Float32Array.from(q, (v) => gain * v);
}

function subtractProjection(row: Float64Array, unit: Float64Array): void {
  const share = dot(row, unit);
  for (let k = 0; k < row.length; k++) row[k] -= share * unit[k];
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}
