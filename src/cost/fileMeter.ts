import type { Batch } from '../data/batch.ts';
import { constantBytes } from '../targets/onnx/footprint.ts';
import type { OnnxModel, OnnxResult } from '../targets/onnx/run.ts';
import { ActivationCounts, type Costs } from './costs.ts';
import { validRanges } from './count.ts';

/** Evaluates an exported model, and counts what its outputs tell: of spiking layers, the rate is the rest of the sparsity. */
export class FileMeter {
  private readonly model: OnnxModel;
  private readonly bytes: number;
  private readonly activations = new ActivationCounts();

  /** `file` is the model's. */
  constructor(model: OnnxModel, file: Uint8Array) {
    this.model = model;
    this.bytes = constantBytes(file);
  }

  async evaluate(batch: Batch): Promise<OnnxResult> {
    const result = await this.model.evaluate(batch);
    const steps = validRanges(batch).reduce((sum, { from, to }) => sum + to - from, 0);
    for (const { layer, spiking } of this.model.info.layers) {
      if (!spiking) continue;
      const rates = result.firingRates.get(layer) as Float32Array;
      const silence = rates.reduce((sum, rate) => sum + (1 - rate), 0);
      this.activations.add(layer, steps * silence, steps * rates.length);
    }
    return result;
  }

  costs(): Costs {
    return {
      footprint: this.bytes,
      connectionSparsity: null,
      activationSparsity: null,
      activationSparsityByLayer: this.activations.byLayer(),
      synapticOperations: null,
      membraneUpdates: null,
    };
  }

  dispose(): Promise<void> {
    return this.model.dispose();
  }
}
