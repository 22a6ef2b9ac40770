/**
 * Two correct programs may round a potential to different sides of the threshold; from there on they differ. This finds
 * where they first do, so that a test can check that a potential was as near to the threshold as rounding explains.
 * Adaptive neurons with negative coupling can be unstable below the threshold: there rounding errors grow from step to
 * step, so `reach` says how far they carry that very potential.
 */

/** What two programs say a layer emitted, [batch, time, features] each. */
export interface SpikeRasters {
  readonly layer: string;
  readonly features: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

export interface Divergence {
  readonly layer: string;
  readonly sample: number;
  readonly step: number;
  readonly neuron: number;
  /** How far its potential was from the threshold. */
  readonly distance: number;
  /** By how much the rounding errors of float32 moved it until then. */
  readonly reach: number;
}

/** `distance` and `reach` of a neuron in a program with the spikes that both had until then. */
export type Potential = (
  layer: string,
  sample: number,
  step: number,
  neuron: number,
) => { readonly distance: number; readonly reach: number };

/** What rounding does not explain: potentials further than 1e-4 from the threshold and than ten times their reach. */
export function unexplained(divergences: readonly Divergence[]): Divergence[] {
  return divergences.filter(({ distance, reach }) => distance > 1e-4 + 10 * reach);
}

/**
 * The first differing spikes of every sample: those of a layer's first differing step, unless an earlier layer differed
 * by then, which explains them. `layers` are in topological order and run forward in time only.
 */
export function firstDivergences(
  layers: readonly SpikeRasters[],
  { size, steps, lengths }: { readonly size: number; readonly steps: number; readonly lengths?: Int32Array },
  potential: Potential,
): Divergence[] {
  const divergences: Divergence[] = [];
  for (let sample = 0; sample < size; sample++) {
    let end = lengths?.[sample] ?? steps;
    for (const rasters of layers) {
      for (let step = 0; step < end; step++) {
        const neurons = differing(rasters, sample * steps + step);
        if (neurons.length === 0) continue;
        for (const neuron of neurons) {
          const { layer } = rasters;
          divergences.push({ layer, sample, step, neuron, ...potential(layer, sample, step, neuron) });
        }
        end = step;
      }
    }
  }
  return divergences;
}

/** The neurons that differ in a row (sample, step). */
function differing({ features, a, b }: SpikeRasters, row: number): number[] {
  const neurons = Array.from({ length: features }, (_, neuron) => neuron);
  return neurons.filter((neuron) => a[row * features + neuron] !== b[row * features + neuron]);
}
