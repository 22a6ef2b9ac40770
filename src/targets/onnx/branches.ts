import type { GraphBuilder, Value } from './builder.ts';
import { emitStreamChunk, emitStreamInput } from './input.ts';
import type { ModelOutput } from './interface.ts';
import { type EmittedGraph, emitNodes } from './nodes.ts';
import type { Subgraph } from './proto.ts';
import { distinct } from './sequence.ts';
import type { FrontEnd } from './sound/frontEnd.ts';
import type { CarriedState } from './stateVector.ts';
import { emitIsOneStep, type Segmentation } from './stream.ts';

/**
 * Emits the network of a stream and its outputs, twice: for one step of one sample, which is what a stream is mostly fed, and
 * for any chunk of any batch. The branches share their weights.
 */
export function emitStream(
  builder: GraphBuilder,
  network: EmittedGraph,
  { segmentation, frontEnd, carried }: StreamShape,
  outputs: readonly ModelOutput[],
): void {
  const chunk = emitStreamChunk(builder, frontEnd, segmentation, carried);
  const branch = (isStep: boolean): Subgraph => {
    const inner = builder.subgraph();
    const emitted = emitNodes(inner, network, emitStreamInput(inner, frontEnd, chunk, isStep));
    const values = outputs.map(({ emit }) => emit(inner, emitted));
    return subgraphOf(inner, isStep ? 'one_step' : 'any_chunk', outputs, values);
  };
  const isOneStep = emitIsOneStep(builder, chunk);
  const names = outputs.map(({ info }) => info.name);
  builder.node('If', [isOneStep], names, { then_branch: branch(true), else_branch: branch(false) });
}

export interface StreamShape {
  readonly segmentation: Segmentation;
  readonly frontEnd: FrontEnd | null;
  readonly carried: readonly CarriedState[];
}

function subgraphOf(
  inner: GraphBuilder,
  name: string,
  outputs: readonly ModelOutput[],
  values: readonly Value[],
): Subgraph {
  const output = distinct(inner, values, []).map((value, i) => ({ ...outputs[i].info, name: value }));
  return { name, node: inner.nodes, initializer: [], input: [], output };
}
