import type { Span } from '../diagnostics/source.ts';
import type { Initializer } from './initializer.ts';
import type { Step, ValueSet } from './step.ts';

/**
 * The network as a graph of tensors [batch, time, features], or [batch, features] once a pooling step has consumed time.
 * Nodes are listed in topological order and refer to each other by id.
 */
export type NodeId = string;

export interface TensorType {
  readonly features: number;
  /** False after pooling over time. */
  readonly time: boolean;
  readonly set: ValueSet;
  /** Dropout turns spikes into {0, scale}: the set describes value / scale. 1 outside training. */
  readonly scale: number;
}

interface NodeBase {
  readonly id: NodeId;
  readonly type: TensorType;
  readonly origin?: Span;
}

/** The batch as the data pipeline delivers it. */
export interface SourceNode extends NodeBase {
  readonly kind: 'source';
}

export type Norm =
  | {
      readonly kind: 'batchnorm';
      /** Parameter keys. */
      readonly weight: string;
      readonly bias: string;
      readonly runningMean: string;
      readonly runningVar: string;
      /** new = (1 - momentum) * old + momentum * batch; the running variance is the unbiased one. */
      readonly momentum: number;
      readonly eps: number;
      /**
       * Rows that a bidirectional layer normalises for every row here (1 or 2): it matters only for the unbiased
       * running variance, n / (n - 1) with n = rowFactor * batch * time.
       */
      readonly rowFactor: 1 | 2;
    }
  | { readonly kind: 'layernorm'; readonly weight: string; readonly bias: string; readonly eps: number }
  | { readonly kind: 'none' };

/** y = norm(x W^T + bias), for every time step at once. */
export interface ProjectionNode extends NodeBase {
  readonly kind: 'projection';
  readonly input: NodeId;
  /** Parameter key, [out, in]. */
  readonly weight: string;
  readonly bias: string | null;
  readonly norm: Norm;
  /** Of a deployed graph: products are added up in float64 and rounded once, so that the order of sums does not show. */
  readonly inDouble?: boolean;
}

/**
 * A layer of neurons run over time. A bidirectional one runs the same neurons also over the reversed sequence (each
 * sample within its own length) and concatenates [forward | un-reversed backward] on the feature axis.
 */
export interface PopulationNode extends NodeBase {
  readonly kind: 'population';
  readonly layer: string;
  /** One per input of the step, in its order, each [batch, time, size]. */
  readonly inputs: readonly NodeId[];
  readonly step: Step;
  readonly size: number;
  readonly bidirectional: boolean;
  /** Step parameter name -> parameter key. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Step state name -> key of the buffer [directions, size] with its fixed initial value for evaluation. */
  readonly initialStates: Readonly<Record<string, string>>;
}

/** Multiplies by 0 or 1 / (1 - p) in training, by 1 in evaluation. */
export interface DropoutNode extends NodeBase {
  readonly kind: 'dropout';
  readonly layer: string;
  readonly input: NodeId;
  readonly p: number;
}

export interface MergeNode extends NodeBase {
  readonly kind: 'merge';
  readonly operation: 'add' | 'concat';
  readonly inputs: readonly NodeId[];
}

/** Consumes time: runs `step` (no parameters) over the sequence; the result is its output at the last valid step. */
export interface ReadoutNode extends NodeBase {
  readonly kind: 'readout';
  readonly layer: string;
  readonly input: NodeId;
  readonly step: Step;
}

export type GraphNode = SourceNode | ProjectionNode | PopulationNode | DropoutNode | MergeNode | ReadoutNode;

export type ParameterRole = 'weight' | 'bias' | 'norm' | 'recurrent' | 'neuron' | 'running' | 'initialState';

/** Everything a checkpoint holds. Keys are the reference's names: `snn.0.W.weight`, `snn.0.norm.running_mean`, ... */
export interface Parameter {
  readonly key: string;
  readonly layer: string;
  readonly role: ParameterRole;
  readonly shape: readonly number[];
  readonly initializer: Initializer;
  /** False for buffers (running statistics, initial states for evaluation) and frozen parameters. */
  readonly trainable: boolean;
  /** What the learning rate is multiplied by for this parameter (`lr_scale` of its layer); 1 where absent. */
  readonly learningRateScale?: number;
}

export interface FiringRateRegularizer {
  readonly min: number;
  readonly max: number;
  readonly factor: number;
}

export interface Loss {
  /**
   * Cross-entropy of `scores`: per sample where they have no time, otherwise averaged over all valid steps with the
   * sample's label at each of them.
   */
  readonly kind: 'cross_entropy';
  readonly scores: NodeId;
  readonly regularizer: FiringRateRegularizer | null;
}

/** A layer whose activity is reported: `output` is the node after dropout. */
export interface LayerActivity {
  readonly layer: string;
  readonly output: NodeId;
  readonly features: number;
  /** True where the layer emits spikes: only then does the regulariser see it. */
  readonly spiking: boolean;
}

export interface Graph {
  readonly name: string;
  readonly nodes: readonly GraphNode[];
  readonly parameters: readonly Parameter[];
  /** What the model computes and an export returns: [batch, classes], or [batch, time, features] without pooling. */
  readonly output: NodeId;
  /** Class scores [batch, classes]: the class of a sample is their argmax. */
  readonly prediction: NodeId;
  readonly loss: Loss;
  readonly layers: readonly LayerActivity[];
  readonly classes: number;
}

export function nodeById(graph: Graph, id: NodeId): GraphNode {
  const node = graph.nodes.find((n) => n.id === id);
  if (!node) throw new Error(`graph "${graph.name}" has no node "${id}"`);
  return node;
}

/** The nodes that a node reads. */
export function inputsOf(node: GraphNode): readonly NodeId[] {
  if (node.kind === 'source') return [];
  return 'inputs' in node ? node.inputs : [node.input];
}

/** The layer that a node is part of: what is no layer's goes by its own name. */
export function layerOf(graph: Graph, node: GraphNode): string {
  if ('layer' in node) return node.layer;
  const weight = node.kind === 'projection' ? graph.parameters.find((p) => p.key === node.weight) : undefined;
  return weight?.layer ?? node.id;
}
