import type { Batch } from '../../data/batch.ts';
import type { ForwardRequest, TrainRequest } from '../target.ts';
import type { Variant } from './arrays.ts';
import type { FedProgram, ModelCode, Pass, PassOptions, Prediction } from './modelCode.ts';
import { shapeOf } from './shape.ts';

/** How many passes are remembered: batches of sequences come in many lengths. */
const remembered = 16;

/** The passes that batches asked for so far. */
export class PassCache {
  private readonly code: ModelCode;
  private readonly programs = new Map<string, FedProgram>();

  constructor(code: ModelCode) {
    this.code = code;
  }

  training(batch: Batch, request: TrainRequest, update: boolean): Pass {
    const variant = {
      ...variantOf(batch),
      training: true,
      drawsStates: !request.initialStates,
      drawsMasks: !request.dropoutMasks,
      parts: 1,
    };
    return this.pass(variant, { ...wanted(request), weighted: request.outputWeights !== undefined, update });
  }

  evaluation(batch: Batch, request: ForwardRequest): Pass {
    return this.pass(this.evaluationOf(batch), { ...wanted(request), weighted: false, update: false });
  }

  prediction(batch: Batch): Prediction {
    const variant = this.evaluationOf(batch);
    return this.remembered(JSON.stringify(variant), () => this.code.prediction(variant));
  }

  private evaluationOf(batch: Batch): Variant {
    const variant = variantOf(batch);
    const parts = this.code.partsFor(variant.shape);
    return { ...variant, training: false, drawsStates: false, drawsMasks: false, parts };
  }

  private pass(variant: Variant, options: PassOptions): Pass {
    return this.remembered(JSON.stringify([variant, options]), () => this.code.pass(variant, options));
  }

  private remembered<P extends FedProgram>(key: string, make: () => P): P {
    const known = this.programs.get(key);
    if (known) return known as P;
    const made = make();
    if (this.programs.size >= remembered) this.programs.clear();
    this.programs.set(key, made);
    return made;
  }
}

function variantOf(batch: Batch) {
  return {
    shape: shapeOf(batch),
    input: batch.input.kind,
    events: batch.input.kind === 'events' ? roomForEvents(batch.input.units.length) : 0,
    lengths: batch.lengths !== undefined,
  };
}

/** More than a batch has, so that the next ones need no plan of their own. */
function roomForEvents(events: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1024, events)));
}

function wanted({ wantOutput = false, wantTraces = false }: ForwardRequest) {
  return { wantOutput, wantTraces };
}
