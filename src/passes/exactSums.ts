/**
 * Rounds the rows of a matrix [rows, columns], and a bias for each where there is one, to multiples of a power of two of
 * which float32 holds every sum that can come up: sums then are the same whatever their order. That is so where the numbers
 * that meet a row, counts of events, add its positive elements up to at most `times` their sum, and its negative ones alike;
 * 1 is enough for spikes. Elements change by at most 2^-24 * `times` of the larger of these sums.
 */
export function toExactSums(
  matrix: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  rows: number,
  times: 1 | 4,
): { readonly matrix: Float32Array; readonly bias: Float32Array | null } {
  const columns = matrix.length / rows;
  const exact = { matrix: new Float32Array(matrix.length), bias: bias && new Float32Array(rows) };
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * columns, (row + 1) * columns];
    let [positive, negative] = [0, 0];
    const count = (value: number) => {
      if (value > 0) positive += value;
      else negative -= value;
    };
    for (let k = from; k < to; k++) count(matrix[k]);
    if (bias) count(bias[row]);
    const unit = unitFor(Math.max(positive, negative) * times);
    for (let k = from; k < to; k++) exact.matrix[k] = Math.round(matrix[k] / unit) * unit;
    if (bias && exact.bias) exact.bias[row] = Math.round(bias[row] / unit) * unit;
  }
  return exact;
}

/** The power of two of which 2^24 exceed `size`, with room for what rounding adds. */
function unitFor(size: number): number {
  const exponent = size > 0 && Number.isFinite(size) ? Math.ceil(Math.log2(size * (1 + 2 ** -12))) - 24 : -126;
  return 2 ** Math.max(exponent, -126);
}
