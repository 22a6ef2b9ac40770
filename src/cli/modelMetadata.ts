import type { Compiled } from '../compile.ts';
import type { ExportOptions } from '../targets/onnx/export.ts';
import { sparchcVersion } from '../train/versions.ts';

/** What an exported model says about where it comes from and how its input is made. */
export function modelMetadata({ experiment, specSha256 }: Compiled): ExportOptions['metadata'] {
  const preprocessing = experiment.data.transforms.map(({ type, params }) => ({ type, params }));
  return { version: sparchcVersion(), specSha256, preprocessing };
}
