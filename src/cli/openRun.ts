import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { compileSpec } from '../compile.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { AnyModel } from '../targets/onnx/open.ts';
import { selectTarget } from '../targets/select.ts';
import { readCheckpoint } from '../train/checkpoint.ts';
import { compileOptions } from '../train/run.ts';
import { RunFolder } from '../train/runFolder.ts';
import { modelMetadata } from './modelMetadata.ts';

/**
 * The network of a run on the target "wasm": with its best weights, or those of one of its checkpoints. Throws UserError
 * SP838 where the path is neither, and what `readCheckpoint` throws.
 */
export async function openRunOnWasm(path: string): Promise<AnyModel> {
  const { folder, checkpoint } = placesOf(path);
  const spec = compileSpec(folder.spec);
  const { weights, info } = await readCheckpoint(checkpoint, spec.graph);
  const { target } = await selectTarget('wasm');
  const model = await target.compile(spec.graph, compileOptions(spec.experiment));
  model.load(weights);
  const { classNames, sampleRate, assumeRate, preprocessing } = modelMetadata(spec, info.data);
  return {
    mode: 'sequence',
    info: {
      input: 'features',
      features: spec.data.features,
      classNames: classNames ?? Array.from({ length: spec.graph.classes }, (_, i) => `${i}`),
      sampleRate,
      assumeRate,
      preprocessing,
    },
    model: {
      predict: (batch) => model.predict(batch),
      classifySound: () => Promise.reject(new Error('a run takes features')),
      dispose: () => model.dispose(),
    },
  };
}

function placesOf(path: string): { folder: RunFolder; checkpoint: string } {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  if (isFile && !path.endsWith('.safetensors')) {
    throw refusal(
      `"${path}" is no run: exported models run in onnxruntime; leave out --engine, or give the run folder`,
    );
  }
  const folder = new RunFolder(isFile ? dirname(dirname(path)) : path);
  if (existsSync(folder.spec)) return { folder, checkpoint: isFile ? path : folder.best };
  throw refusal(
    isFile
      ? `"${path}" lies in no run folder, whose spec.resolved.yaml would say what the network is; give a checkpoint where "sparchc train" left it`
      : `"${path}" is no run folder: it has no spec.resolved.yaml; give one that "sparchc train" left, or one of its checkpoints`,
  );
}

function refusal(message: string): UserError {
  return new UserError('SP838', message, { exitCode: 2 });
}
