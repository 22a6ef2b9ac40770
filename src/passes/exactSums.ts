type Numbers = ArrayLike<number>;

/**
 * Rounds the rows of matrices [rows, columns], and a bias for each where there is one, to multiples of a power of two at
 * which every sum of some elements of a row, of all matrices together, is a float32: sums over spikes then come out the
 * same whatever their order. A row's elements change by at most 2^-24 of the larger of its sums of positive and of negative
 * elements.
 */
export function toExactSums(
  matrices: readonly Numbers[],
  bias: Numbers | null,
  rows: number,
): { readonly matrices: readonly Float32Array[]; readonly bias: Float32Array | null } {
  const parts = bias ? [...matrices, bias] : matrices;
  const exact = parts.map(({ length }) => new Float32Array(length));
  for (let row = 0; row < rows; row++) {
    const unit = unitFor(parts, row, rows);
    parts.forEach((part, i) => {
      const [start, end] = extentOf(part, row, rows);
      for (let k = start; k < end; k++) exact[i][k] = Math.round(part[k] / unit) * unit;
    });
  }
  return { matrices: exact.slice(0, matrices.length), bias: bias && exact[matrices.length] };
}

/** The power of two of which 2^24 exceed any sum in the row, with room for what rounding adds. */
function unitFor(parts: readonly Numbers[], row: number, rows: number): number {
  let [positive, negative] = [0, 0];
  for (const part of parts) {
    const [start, end] = extentOf(part, row, rows);
    for (let k = start; k < end; k++) {
      if (part[k] > 0) positive += part[k];
      else negative -= part[k];
    }
  }
  const size = Math.max(positive, negative);
  const exponent = size > 0 && Number.isFinite(size) ? Math.ceil(Math.log2(size * (1 + 2 ** -12))) - 24 : -126;
  return 2 ** Math.max(exponent, -126);
}

function extentOf({ length }: Numbers, row: number, rows: number): readonly [start: number, end: number] {
  const columns = length / rows;
  return [row * columns, (row + 1) * columns];
}
