import type { Batch } from '../data/batch.ts';
import type { Graph } from '../ir/graph.ts';

/**
 * What every training target implements. The training loop, metrics and checkpoints know nothing else of a target.
 * All arrays that cross this interface are row-major float32 on the host.
 */
export interface Target {
  /** The name users write: `tfjs/tensorflow`, `tfjs/wasm`, `tfjs/cpu`, `reference`. */
  readonly name: string;
  compile(graph: Graph, options: CompileOptions): Promise<CompiledModel>;
}

export type OptimizerConfig =
  | { readonly kind: 'sgd'; readonly momentum: number; readonly weightDecay: number }
  /** Adam with L2 added to the gradient, as torch.optim.Adam. */
  | {
      readonly kind: 'adam';
      readonly beta1: number;
      readonly beta2: number;
      readonly eps: number;
      readonly weightDecay: number;
    }
  /** Decoupled weight decay, as torch.optim.AdamW. */
  | {
      readonly kind: 'adamw';
      readonly beta1: number;
      readonly beta2: number;
      readonly eps: number;
      readonly weightDecay: number;
    };

export interface CompileOptions {
  readonly seed: number;
  readonly optimizer: OptimizerConfig;
  /** Scales gradients so that their global L2 norm is at most this; null: no clipping. */
  readonly clipNorm: number | null;
  /** Bytes that a step may take on the target "wasm"; by default what it can address and the machine has free. */
  readonly memoryLimit?: number;
  /** Told, in a sentence for the user, what the model does otherwise than asked for. */
  readonly onNotice?: (sentence: string) => void;
}

/** How steps were computed, as far as the bits of weights depend on it and neither spec nor target say it. */
export interface Execution {
  /** Parts that a training batch was computed in for want of memory, their gradients summed; 1: whole. */
  readonly microBatches: number;
  /** Whether multiplications and additions were fused. */
  readonly relaxedSimd: boolean;
}

/** Arrays by key: parameters by parameter key, initial states by buffer key, dropout masks by layer. */
export type Tensors = ReadonlyMap<string, Float32Array>;

export interface ForwardRequest {
  /**
   * Initial states by the keys in `PopulationNode.initialStates`, each [rows, size] with rows = batch, or 2 * batch in
   * bidirectional layers (the reversed direction's rows follow the forward ones). What is absent is drawn (training)
   * or taken from the model's buffers (evaluation).
   */
  readonly initialStates?: Tensors;
  /** Return `output`: the graph's output, [batch, classes] or [batch, time, features]. */
  readonly wantOutput?: boolean;
  /** Return `traces`: every population's output before dropout, by layer, [batch, time, features]. */
  readonly wantTraces?: boolean;
}

export interface TrainRequest extends ForwardRequest {
  /** Draws of initial states and dropout are keyed by (seed, epoch, sample, layer). */
  readonly epoch: number;
  /** Times `Parameter.learningRateScale`, as the parameter groups of PyTorch. */
  readonly learningRate: number;
  /** Masks (0 or 1 / (1 - p)) by layer, [batch, time, features]; drawn where absent. */
  readonly dropoutMasks?: Tensors;
  /** Replaces the loss by sum(output * outputWeights), weights shaped as the output. */
  readonly outputWeights?: Float32Array;
  /** Return `gradients` of all trainable parameters (before clipping). */
  readonly wantGradients?: boolean;
}

export interface StepResult {
  /** Mean over the samples, regulariser included in training. */
  readonly loss: number;
  /** Class scores, [batch, classes]. */
  readonly scores: Float32Array;
  /** Mean over batch and (valid) time of every layer's output after dropout, per neuron, by layer. */
  readonly firingRates: Tensors;
  readonly output?: Float32Array;
  readonly gradients?: Tensors;
  readonly traces?: Tensors;
}

export interface CompiledModel {
  /** What it runs on, for people: `TensorFlow 2.9.1 (CPU)`. */
  readonly backend: string;
  /** Absent where there is nothing to say. */
  readonly execution?: Execution;
  /** One optimiser step on a batch; any batch size and number of steps. */
  trainStep(batch: Batch, request: TrainRequest): Promise<StepResult>;
  /** Evaluation mode: running statistics, no dropout, fixed initial states; changes nothing. */
  evaluate(batch: Batch, request?: ForwardRequest): Promise<StepResult>;
  /** The scores that `evaluate` gives and nothing else, sooner where the target has a shorter way; labels are not read. */
  predict(batch: Batch): Promise<Float32Array>;
  /** All parameters and buffers by key. */
  parameters(): Promise<Map<string, Float32Array>>;
  load(parameters: Tensors): void;
  /** The optimiser's memory (moments, step count), to resume exactly; keys are the target's own, stable between versions. */
  optimizerState(): Promise<Map<string, Float32Array>>;
  loadOptimizerState(state: Tensors): void;
  dispose(): void;
}
