import type { ProjectionNode } from '../ir/graph.ts';

/** The weight [out, in] and bias that do what the projection and its batchnorm do together, in float64. */
export function foldBatchnorm(
  { weight, bias, norm }: ProjectionNode,
  values: (key: string) => Float32Array,
): { weight: Float64Array; bias: Float64Array | null } {
  const w = new Float64Array(values(weight));
  const b = bias ? new Float64Array(values(bias)) : null;
  if (norm.kind !== 'batchnorm') return { weight: w, bias: b };
  const variance = values(norm.runningVar);
  const mean = values(norm.runningMean);
  const shift = values(norm.bias);
  const scale = new Float64Array(values(norm.weight)).map((g, i) => g / Math.sqrt(variance[i] + norm.eps));
  scaleRows(w, scale);
  return { weight: w, bias: scale.map((s, i) => ((b ? b[i] : 0) - mean[i]) * s + shift[i]) };
}

/** Multiplies the rows of a matrix [factors, any number], in place. */
export function scaleRows(matrix: Float64Array, factors: Float64Array): void {
  const columns = matrix.length / factors.length;
  for (let row = 0; row < factors.length; row++) {
    const factor = factors[row];
    for (let k = row * columns; k < (row + 1) * columns; k++) matrix[k] *= factor;
  }
}
