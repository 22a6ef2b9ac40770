import type { Batch } from '../../data/batch.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Graph } from '../../ir/graph.ts';
import type { ForwardRequest, TrainRequest } from '../target.ts';
import { addressable, gibibytes } from './machine.ts';
import { sliceBatch, sliceRequest, whyWhole } from './microBatches.ts';
import type { FedProgram, ModelCode, Pass, Prediction } from './modelCode.ts';
import { PassCache } from './passes.ts';

/** Some samples of a batch, with the pass that computes them. */
export interface Part<R, P = Pass> {
  readonly batch: Batch;
  readonly request: R;
  readonly pass: P;
}

type PassOf<R, P> = (batch: Batch, request: R, whole: boolean) => P;

/** Cuts batches into parts that fit into memory. */
export class StepPlanner {
  /** Parts of a training step. It never becomes fewer, so that a run that goes on from a checkpoint cuts as before. */
  microBatches = 1;
  private readonly graph: Graph;
  private readonly passes: PassCache;
  private readonly limit: number;

  /** `limit`: the bytes there are. */
  constructor(graph: Graph, code: ModelCode, limit: number) {
    this.graph = graph;
    this.passes = new PassCache(code);
    this.limit = limit;
  }

  /**
   * A training step in one part where it fits, otherwise in parts whose gradients are to be summed.
   *
   * @throws UserError SP605 where it does not fit and its gradients are no such sum, or one sample alone does not fit.
   */
  training(batch: Batch, request: TrainRequest): Part<TrainRequest>[] {
    const passOf: PassOf<TrainRequest, Pass> = (part, partRequest, whole) =>
      this.passes.training(part, partRequest, whole);
    const parts = this.cut(batch, request, this.microBatches, passOf);
    if (parts?.length === 1) return parts;
    const reason = whyWhole(this.graph);
    if (!parts || reason) throw this.tooLarge(batch, request, passOf, reason);
    this.microBatches = Math.max(this.microBatches, parts.length);
    return parts;
  }

  /** An evaluation, whose samples do not depend on one another. Throws UserError SP605 where one alone does not fit. */
  evaluation(batch: Batch, request: ForwardRequest): Part<ForwardRequest>[] {
    return this.independent(batch, request, (part, partRequest) => this.passes.evaluation(part, partRequest));
  }

  /** The same for the scores alone. */
  prediction(batch: Batch): Part<ForwardRequest, Prediction>[] {
    return this.independent(batch, {}, (part) => this.passes.prediction(part));
  }

  private independent<P extends FedProgram>(
    batch: Batch,
    request: ForwardRequest,
    passOf: PassOf<ForwardRequest, P>,
  ): Part<ForwardRequest, P>[] {
    const parts = this.cut(batch, request, 1, passOf);
    if (!parts) throw this.tooLarge(batch, request, passOf, null);
    return parts;
  }

  private cut<R extends ForwardRequest, P extends FedProgram>(
    batch: Batch,
    request: R,
    fewest: number,
    passOf: PassOf<R, P>,
  ): Part<R, P>[] | null {
    for (let count = Math.min(fewest, batch.size); ; count = Math.min(2 * count, batch.size)) {
      const parts =
        count === 1
          ? [{ batch, request, pass: passOf(batch, request, true) }]
          : equalParts(batch.size, count).map(([from, to]) => {
              const part = sliceBatch(batch, from, to);
              const partRequest = sliceRequest(this.graph, request, batch.size, from, to);
              return { batch: part, request: partRequest, pass: passOf(part, partRequest, false) };
            });
      if (parts.every(({ pass }) => pass.program.end <= this.limit)) return parts;
      if (count === batch.size) return null;
    }
  }

  private tooLarge<R extends ForwardRequest>(
    batch: Batch,
    request: R,
    passOf: PassOf<R, FedProgram>,
    reason: string | null,
  ): UserError {
    const bytes = (size: number) => passOf(sliceBatch(batch, 0, size), request, true).program.end;
    const there = this.limit === addressable ? 'WebAssembly can address 4 GiB' : `there are ${gibibytes(this.limit)}`;
    const largest = largestThat((size) => bytes(size) <= this.limit, batch.size);
    const subject = largest === 0 ? 'one sample' : `a batch of ${batch.size} samples`;
    const needed = gibibytes(bytes(largest === 0 ? 1 : batch.size));
    const needs = `${subject} of ${batch.steps} time steps needs ${needed} on the target "wasm", and ${there}`;
    const remedy =
      largest === 0
        ? 'make the network smaller or the samples shorter'
        : `it cannot be computed in parts because ${reason}; a batch of ${largest} fits (train.batch)`;
    return new UserError('SP605', `${needs}; ${remedy}`);
  }
}

/** From where to where (not included) parts of equal size go, up to one. */
function equalParts(size: number, count: number): [number, number][] {
  const border = (i: number) => Math.floor((i * size) / count);
  return Array.from({ length: count }, (_, i) => [border(i), border(i + 1)]);
}

/** The largest number up to `end` for which something holds that holds up to some number; 0 where it never does. */
export function largestThat(holds: (n: number) => boolean, end: number): number {
  let [low, high] = [0, end];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
