import type { OnnxModelInfo } from './info.ts';
import { loadFile, type OnnxOptions } from './load.ts';
import { type OnnxModel, sequenceModel } from './run.ts';
import { type OnnxStream, streamModel } from './runStream.ts';

export type AnyModel =
  | { readonly mode: 'sequence'; readonly info: OnnxModelInfo; readonly model: OnnxModel }
  | { readonly mode: 'step'; readonly info: OnnxModelInfo; readonly model: OnnxStream };

/** Loads a model of either mode. Throws UserError SP621, SP622, SP623 or SP629. */
export async function openAny(path: string, options: OnnxOptions = {}): Promise<AnyModel> {
  const loaded = await loadFile(path, null, options);
  const { info } = loaded;
  return info.mode === 'step'
    ? { mode: 'step', info, model: streamModel(loaded) }
    : { mode: 'sequence', info, model: sequenceModel(loaded) };
}
