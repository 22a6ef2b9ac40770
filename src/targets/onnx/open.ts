import type { Batch } from '../../data/batch.ts';
import type { InputDescription } from '../../data/recordings.ts';
import type { OnnxModelInfo } from './info.ts';
import { loadFile, type OnnxOptions } from './load.ts';
import { sequenceModel } from './run.ts';
import { type OnnxStream, streamModel } from './runStream.ts';

/** What classifies whole recordings: an exported model, or a run on a training target. */
export interface Classifier {
  predict(batch: Batch): Promise<Float32Array>;
  /** Where the input is a waveform. */
  classifySound(samples: Float32Array): Promise<Float32Array>;
  dispose(): void | Promise<void>;
}

export interface ClassifierInfo extends InputDescription {
  readonly classNames: readonly string[];
}

export type AnyModel<Info = ClassifierInfo> =
  | { readonly mode: 'sequence'; readonly info: Info; readonly model: Classifier }
  | { readonly mode: 'step'; readonly info: Info; readonly model: OnnxStream };

/** Loads a model of either mode. Throws UserError SP621, SP622, SP623 or SP629. */
export async function openAny(path: string, options: OnnxOptions = {}): Promise<AnyModel<OnnxModelInfo>> {
  const loaded = await loadFile(path, null, options);
  const { info } = loaded;
  return info.mode === 'step'
    ? { mode: 'step', info, model: streamModel(loaded) }
    : { mode: 'sequence', info, model: sequenceModel(loaded) };
}
