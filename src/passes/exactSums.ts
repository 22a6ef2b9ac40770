/**
 * Rounds the rows of a matrix [rows, columns], and a bias for each where there is one, to multiples of a power of two of
 * which float32 holds every sum that can come up: sums then are the same whatever their order. That is so where the numbers
 * that meet a row, counts of events, add its positive elements up to at most `times` their sum, and its negative ones alike;
 * 1 is enough for spikes. Elements change by at most (1 + 2^-12) * 2^-24 * `times` of the larger of these sums,
 * the bias counted in.
 */
export function toExactSums(
  matrix: Float64Array,
  bias: Float64Array | null,
  rows: number,
  times: 1 | 4,
): { readonly matrix: Float32Array; readonly bias: Float32Array | null } {
  const columns = matrix.length / rows;
  const exact = { matrix: new Float32Array(matrix.length), bias: bias && new Float32Array(rows) };
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * columns, (row + 1) * columns];
    let sum = bias ? bias[row] : 0;
    let size = Math.abs(sum);
    for (let k = from; k < to; k++) {
      sum += matrix[k];
      size += Math.abs(matrix[k]);
    }
    // The larger of the sums of positive and of negative elements.
    const unit = unitFor(((size + Math.abs(sum)) / 2) * times);
    // Next to a number so large, float64 holds multiples of the unit and nothing between them.
    const large = unit * 1.5 * 2 ** 52;
    for (let k = from; k < to; k++) exact.matrix[k] = matrix[k] + large - large;
    if (bias && exact.bias) exact.bias[row] = bias[row] + large - large;
  }
  return exact;
}

/** The power of two of which 2^24 exceed `size`, with room for what rounding adds. */
function unitFor(size: number): number {
  const exponent = size > 0 && Number.isFinite(size) ? Math.ceil(Math.log2(size * (1 + 2 ** -12))) - 24 : -126;
  return 2 ** Math.max(exponent, -126);
}
