import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeDemo } from '../../src/demo/describe.ts';
import type { ExportOptions } from '../../src/targets/onnx/export.ts';
import { temporaryFolder } from '../targets/onnx/support.ts';
import { classNames, metadata, wordModel } from './wordModel.ts';

const path = join(temporaryFolder(), 'model.onnx');

it('tells the page what a browser cannot read from the model', async () => {
  writeFileSync(path, wordModel({ input: 'waveform', record: true }));
  expect(await describeDemo(path)).toEqual({
    name: 'words',
    mode: 'sequence',
    initialStates: {},
    classNames,
    sampleRate: 16_000,
    assumeRate: false,
    stepSeconds: 0.01,
    layers: [
      { layer: 'h1', features: 64, spiking: true },
      { layer: 'h2', features: 64, spiking: true },
      { layer: 'li', features: 4, spiking: false },
    ],
    pipeline: 'fbank(mels=20)',
    license: 'CC0-1.0',
    version: '0.0.0-test',
  });
});

it('knows where a stream begins', async () => {
  writeFileSync(path, wordModel({ input: 'waveform', record: true, segmentation: { kind: 'reset' } }));
  const { mode, initialStates } = await describeDemo(path);
  expect(mode).toBe('step');
  // Three states and a product of each layer, the potential of the readout, and the sum and the last output of the pool.
  const values = Array(2 * 4 * 64 + 3 * 4).fill(expect.any(Number));
  expect(initialStates.state).toEqual({ dims: [1, values.length], values });
  expect(initialStates['state.sound']).toEqual({ dims: [1, 0], values: [] });
});

describe('refuses', () => {
  const spikes = { ...metadata, preprocessing: [{ type: 'bin', params: { steps: 10, window: 1 } }] };
  it.each([
    ['features', {}, /takes features, .* export it again with --input waveform --record$/],
    ['spikes', { metadata: spikes }, /takes recorded spikes, .* \(in SHD, a model of the cochlea\) is not part of it/],
    ['layers that do not show what they do', { input: 'waveform' }, /does not show what its layers do; .* --record$/],
  ] satisfies [string, Partial<ExportOptions>, RegExp][])('%s', async (_, options, message) => {
    writeFileSync(path, wordModel(options));
    await expect(describeDemo(path)).rejects.toMatchObject({
      diagnostic: { code: 'SP845' },
      exitCode: 2,
      message: expect.stringMatching(message),
    });
  });

  it('a file that is no model', async () => {
    writeFileSync(path, 'no model');
    await expect(describeDemo(path)).rejects.toMatchObject({ diagnostic: { code: 'SP622' } });
  });
});
