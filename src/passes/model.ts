import type { Span } from '../diagnostics/source.ts';
import type { SurrogateCall } from './lowerSurrogate.ts';

/** The `model` section of an experiment, resolved: layers by name, in the order they were written. */
export interface ModelConfig {
  readonly layers: readonly LayerConfig[];
  readonly span?: Span;
}

export interface LayerConfig {
  readonly name: string;
  /** A neuron, a pool, `dense` or `merge`. */
  readonly type: string;
  /** Names of the layers it reads; `input` is the data. Several only for `merge`. */
  readonly from: readonly string[];
  readonly size: number | null;
  readonly norm: 'batchnorm' | 'layernorm' | 'none';
  readonly dropout: number;
  readonly bias: boolean;
  readonly bidirectional: boolean;
  readonly surrogate: SurrogateCall | null;
  readonly operation: 'add' | 'concat' | null;
  /** Its parameters are not trained. */
  readonly freeze: boolean;
  /** What the learning rate is multiplied by for its parameters. */
  readonly lrScale: number;
  /** Everything else that was set: constants of the neuron. */
  readonly consts: Readonly<Record<string, number>>;
  /** Where a field (or, without a name, the layer) is written. */
  spanOf(field?: string): Span | undefined;
}

/** A layer with defaults for what is not given. */
export function layerConfig(given: Pick<LayerConfig, 'name' | 'type' | 'from'> & Partial<LayerConfig>): LayerConfig {
  return {
    size: null,
    norm: 'batchnorm',
    dropout: 0,
    bias: false,
    bidirectional: false,
    surrogate: null,
    operation: null,
    freeze: false,
    lrScale: 1,
    consts: {},
    spanOf: () => undefined,
    ...given,
  };
}

/** Options every layer has besides its neuron's constants. */
export const layerOptions = ['size', 'norm', 'dropout', 'bias', 'bidirectional', 'surrogate', 'from', 'name'];
