import type { Compiled } from '../compile.ts';
import type { Call } from '../data/config.ts';
import { sampleRateOf } from '../data/describe.ts';
import type { DataFacts } from '../data/pipeline.ts';
import { transformByName } from '../data/registry.ts';
import type { ModelMetadata } from '../targets/onnx/export.ts';
import { sparchcVersion } from '../train/versions.ts';

/** What an exported model says about where it comes from and how its input is made; `facts` are of its training data. */
export function modelMetadata(spec: Compiled, facts: DataFacts | undefined): ModelMetadata {
  const { data, license } = spec.experiment;
  // Random transforms are for training alone.
  const fixed = data.transforms.filter(({ type }) => !transformByName(type)?.augments);
  const assumed = data.source.params.assume_rate ?? null;
  return {
    version: sparchcVersion(),
    spec: spec.portableYaml,
    specSha256: spec.specSha256,
    license,
    classNames: facts?.classNames ?? null,
    sampleRate: sampleRateOf(data) ?? facts?.rate ?? null,
    assumeRate: assumed !== null,
    stepSeconds: spec.data.stepDuration,
    preprocessing: fixed.map(({ type, params }) => ({ type, params })),
    pipeline: fixed.map(callText).join(' |> '),
  };
}

/** As a spec has it, with every setting: `resample(rate=16000Hz)`. */
function callText({ type, params }: Call): string {
  const specs = transformByName(type)?.params ?? {};
  const given = Object.entries(params).filter(([, value]) => value !== null);
  const args = given.map(([name, value]) => {
    const spec = specs[name];
    return `${name}=${value}${spec?.type === 'quantity' ? spec.unit : ''}`;
  });
  return `${type}(${args.join(', ')})`;
}
