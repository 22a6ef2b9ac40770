import type { ProjectionNode } from '../ir/graph.ts';

/** The weight [out, in] and bias that do what the projection and its batchnorm do together, in float64. */
export function foldBatchnorm(
  { weight, bias, norm }: ProjectionNode,
  values: (key: string) => Float32Array,
): { weight: ArrayLike<number>; bias: ArrayLike<number> | null } {
  const w = values(weight);
  const b = bias ? values(bias) : null;
  if (norm.kind !== 'batchnorm') return { weight: w, bias: b };
  const variance = values(norm.runningVar);
  const mean = values(norm.runningMean);
  const shift = values(norm.bias);
  const scale = Float64Array.from(values(norm.weight), (g, i) => g / Math.sqrt(variance[i] + norm.eps));
  const columns = w.length / scale.length;
  return {
    weight: Float64Array.from(w, (v, k) => v * scale[Math.floor(k / columns)]),
    bias: Float64Array.from(scale, (s, i) => ((b ? b[i] : 0) - mean[i]) * s + shift[i]),
  };
}
