import { fbank } from '../../src/data/transforms/fbank.ts';
import { type ExportOptions, exportOnnx } from '../../src/targets/onnx/export.ts';
import { defaultParams } from '../data/defaultParams.ts';
import { graphOf } from '../support/graphs.ts';
import { livelyParameters } from '../targets/onnx/networks.ts';

export const classNames = ['left', 'right', 'up', 'down'];

export const metadata: ExportOptions['metadata'] = {
  version: '0.0.0-test',
  spec: 'sparchc: 1\nname: words\n',
  specSha256: 'ab'.repeat(32),
  license: 'CC0-1.0',
  classNames,
  sampleRate: 16_000,
  assumeRate: false,
  stepSeconds: 0.01,
  pipeline: 'fbank(mels=20)',
  preprocessing: [{ type: 'fbank', params: { ...defaultParams(fbank), mels: 20 } }],
};

/** A network of sound that nobody trained: its weights are drawn. Whatever changes its input shows in its spikes. */
export function wordModel(options: Partial<ExportOptions>): Uint8Array {
  const graph = graphOf(
    [
      { name: 'h1', type: 'RadLIF', size: 64, from: ['input'], norm: 'none' },
      { name: 'h2', type: 'RadLIF', size: 64, from: ['h1'], norm: 'none' },
      { name: 'li', type: 'LI', size: 4, from: ['h2'] },
      { name: 'pool', type: 'softmax_sum', from: ['li'] },
    ],
    { features: 20, classes: 4 },
  );
  return exportOnnx(graph, livelyParameters(graph, 3), { fold: true, metadata, ...options });
}
