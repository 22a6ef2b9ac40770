import type { Compiled } from '../compile.ts';
import { transformByName } from '../data/registry.ts';
import type { ExportOptions } from '../targets/onnx/export.ts';
import { sparchcVersion } from '../train/versions.ts';

/** What an exported model says about where it comes from and how its input is made. */
export function modelMetadata({ experiment, specSha256 }: Compiled): ExportOptions['metadata'] {
  // Random transforms are for training alone.
  const fixed = experiment.data.transforms.filter(({ type }) => !transformByName(type)?.augments);
  const preprocessing = fixed.map(({ type, params }) => ({ type, params }));
  return { version: sparchcVersion(), specSha256, preprocessing };
}
