import { basename, extname } from 'node:path';
import { recordingKind } from '../data/recordings.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { OnnxModelInfo } from '../targets/onnx/info.ts';
import { activityOutput } from '../targets/onnx/interface.ts';
import { type LoadedFile, loadFile } from '../targets/onnx/load.ts';
import { soundState } from '../targets/onnx/sound/features.ts';
import { stateVector } from '../targets/onnx/stateVector.ts';
import type { DemoDescription } from './description.ts';

/** What the page needs to know of the model. Throws UserError SP845 where the page cannot run it. */
export async function describeDemo(path: string): Promise<DemoDescription> {
  const { session, info, defaults } = await loadFile(path, null, {});
  const { outputNames } = session;
  await session.release();
  requireSound(path, info);
  if (!info.layers.every(({ layer }) => outputNames.includes(activityOutput(layer)))) {
    throw unfit(path, 'does not show what its layers do; export it again with --input waveform --record');
  }
  const { mode, classNames, assumeRate, layers, pipeline, license, version } = info;
  const sampleRate = info.sampleRate as number;
  const stepSeconds = info.stepSeconds as number;
  return {
    name: nameOf(path, info),
    mode,
    initialStates: mode === 'step' ? statesIn(defaults) : {},
    classNames,
    sampleRate,
    assumeRate,
    stepSeconds,
    layers,
    pipeline,
    license,
    version,
  };
}

function statesIn(defaults: LoadedFile['defaults']): DemoDescription['initialStates'] {
  const states = [...defaults].filter(([name]) => name === stateVector || name === soundState);
  return Object.fromEntries(
    states.map(([name, { dims, data }]) => [name, { dims, values: [...(data as Float32Array)] }]),
  );
}

function requireSound(path: string, info: OnnxModelInfo): void {
  if (info.input === 'waveform') {
    if (info.sampleRate === null || info.stepSeconds === null)
      throw unfit(path, 'does not say its rates; export it again');
    return;
  }
  throw unfit(
    path,
    recordingKind(info) === 'sound'
      ? 'takes features, and a browser hears sound; export it again with --input waveform --record'
      : 'takes recorded spikes, and how sound became them (in SHD, a model of the cochlea) is not part of it; train on recordings instead, with fbank',
  );
}

/** That of the spec, or the file's. */
function nameOf(path: string, { spec }: OnnxModelInfo): string {
  return spec?.match(/^name: ([\w .-]+)$/m)?.[1] ?? basename(path, extname(path));
}

function unfit(path: string, why: string): UserError {
  return new UserError('SP845', `"${path}" ${why}`, { exitCode: 2 });
}
