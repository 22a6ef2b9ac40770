import type { Batch } from '../../../data/batch.ts';
import type { DropoutNode, PopulationNode } from '../../../ir/graph.ts';
import type { Step } from '../../../ir/step.ts';
import type { Ops, Tensor } from '../ops.ts';
import type { Padding } from '../padding.ts';
import type { Recurrence } from '../recurrence.ts';

/** Everything a node needs besides its inputs. */
export interface Context {
  readonly ops: Ops;
  readonly batch: Batch;
  readonly padding: Padding;
  readonly training: boolean;
  parameter(key: string): Tensor;
  /** Replaces a buffer (a running statistic) from the next step on. */
  updateBuffer(key: string, value: Tensor): void;
  /** In the order of the step's states, each [rows, size]. */
  initialStates(node: PopulationNode): Tensor[];
  /** Time-major as the node's value. */
  dropoutMask(node: DropoutNode): Tensor;
  recurrence(step: Step): Recurrence;
}

export interface Contribution {
  /** Cotangents of the node's inputs, in order; null where none was asked for. */
  readonly inputs: readonly (Tensor | null)[];
  /** Gradients by parameter key. */
  readonly parameters: ReadonlyMap<string, Tensor>;
}

/**
 * A node's value, [time, batch, features] or [batch, features], and how to differentiate it. `saved` are the tensors
 * that only `pullback` needs; the network frees them after it.
 */
export interface NodeResult {
  readonly value: Tensor;
  readonly saved: readonly Tensor[];
  /** `needsInput`: whether the cotangents of the inputs are wanted. */
  pullback(cotangent: Tensor, needsInput: boolean): Contribution;
}

export const noParameters: ReadonlyMap<string, Tensor> = new Map();
