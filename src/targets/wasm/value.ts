import type { NodeId } from '../../ir/graph.ts';
import type { ValueSet } from '../../ir/step.ts';
import type { Lists, Mask, Operand, Product } from './arrays.ts';
import type { Buffer } from './call.ts';

/** A node's value, in the forms that were asked for so far. */
export interface Value {
  readonly features: number;
  readonly time: boolean;
  /** What numbers it holds, but for dropout's factor. */
  readonly set: ValueSet;
  array: Buffer | null;
  /** Spikes as bits. */
  spikes: Buffer | null;
  /** The value before a normalisation that whoever reads it applies, or before its product, too. */
  raw: Operand | Product | null;
  lists: Lists | null;
  /** The value is another node's times a dropout mask. */
  masked: { readonly input: NodeId; readonly mask: Mask } | null;
  /** Which elements of this value's cotangent matter; null: all. */
  gates: Lists | null;
}
