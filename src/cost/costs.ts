/**
 * What a network costs on a split, as NeuroBench defines it (Yik et al. 2025, "The neurobench framework for benchmarking
 * neuromorphic computing algorithms and systems", and its code, version 2.3). docs/cost.md has the definitions. Null is
 * what a model file does not tell.
 */
export interface Costs {
  /** Bytes of all parameters and buffers. */
  readonly footprint: number;
  /** Fraction of weights that are 0. */
  readonly connectionSparsity: number | null;
  /** Fraction of outputs that are 0, over all populations, steps and samples. */
  readonly activationSparsity: number | null;
  readonly activationSparsityByLayer: Readonly<Record<string, number>>;
  /** Per sample. */
  readonly synapticOperations: {
    readonly dense: number;
    readonly effectiveMacs: number;
    readonly effectiveAcs: number;
  } | null;
  /** Per sample. */
  readonly membraneUpdates: number | null;
}

/** The fraction of zeros in what layers emit. */
export class ActivationCounts {
  private readonly layers = new Map<string, { readonly zeros: number; readonly all: number }>();

  add(layer: string, zeros: number, all: number): void {
    const before = this.layers.get(layer) ?? { zeros: 0, all: 0 };
    this.layers.set(layer, { zeros: before.zeros + zeros, all: before.all + all });
  }

  byLayer(): Record<string, number> {
    return Object.fromEntries([...this.layers].map(([layer, { zeros, all }]) => [layer, zeros / all]));
  }

  /** 0 where there are no layers, as NeuroBench. */
  overall(): number {
    const counts = [...this.layers.values()];
    const all = counts.reduce((sum, layer) => sum + layer.all, 0);
    return all === 0 ? 0 : counts.reduce((sum, layer) => sum + layer.zeros, 0) / all;
  }
}
