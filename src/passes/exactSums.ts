/**
 * Rounds the rows of a matrix [rows, columns], and a bias for each where there is one, to multiples of a power of two at
 * which every sum of some elements of a row is a float32: sums over spikes then come out the same whatever their order. A
 * row's elements change by at most 2^-24 of the larger of its sums of positive and of negative elements.
 */
export function toExactSums(
  matrix: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  rows: number,
): { readonly matrix: Float32Array; readonly bias: Float32Array | null } {
  const columns = matrix.length / rows;
  const exact = { matrix: new Float32Array(matrix.length), bias: bias && new Float32Array(rows) };
  for (let row = 0; row < rows; row++) {
    let [positive, negative] = [0, 0];
    const count = (value: number) => {
      if (value > 0) positive += value;
      else negative -= value;
    };
    for (let k = row * columns; k < (row + 1) * columns; k++) count(matrix[k]);
    if (bias) count(bias[row]);
    const unit = unitFor(Math.max(positive, negative));
    for (let k = row * columns; k < (row + 1) * columns; k++) exact.matrix[k] = Math.round(matrix[k] / unit) * unit;
    if (bias && exact.bias) exact.bias[row] = Math.round(bias[row] / unit) * unit;
  }
  return exact;
}

/** The power of two of which 2^24 exceed `size`, with room for what rounding adds. */
function unitFor(size: number): number {
  const exponent = size > 0 && Number.isFinite(size) ? Math.ceil(Math.log2(size * (1 + 2 ** -12))) - 24 : -126;
  return 2 ** Math.max(exponent, -126);
}
