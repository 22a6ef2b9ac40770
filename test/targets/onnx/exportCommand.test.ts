import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { exportCommand } from '../../../src/cli/export.ts';
import { compileSource } from '../../../src/compile.ts';
import type { DataFacts } from '../../../src/data/pipeline.ts';
import { UserError } from '../../../src/diagnostics/diagnostic.ts';
import { initialParameters } from '../../../src/targets/draws.ts';
import { openAny } from '../../../src/targets/onnx/open.ts';
import { decodeModel } from '../../../src/targets/onnx/proto.ts';
import { openOnnx } from '../../../src/targets/onnx/run.ts';
import { openOnnxStream } from '../../../src/targets/onnx/runStream.ts';
import { writeCheckpoint } from '../../../src/train/checkpoint.ts';
import { RunFolder } from '../../../src/train/runFolder.ts';
import { initialState } from '../../../src/train/state.ts';
import { temporaryFolder } from './support.ts';

const folder = temporaryFolder();
const run = new RunFolder(join(folder, 'run'));
const text = `
sparchc: 1
name: exported
data:
  source: randman(classes=3, units=10)
  transforms: [{ type: bin, steps: 10, window: 20ms }]
model: input |> RadLIF(8) |> LI(classes) |> softmax_sum
`;
const spec = compileSource({ name: 'exported.yaml', text });

/** What a run leaves after its first epoch. */
beforeAll(async () => {
  await run.prepare(spec.resolvedYaml);
  const weights = initialParameters(spec.graph, 1);
  const info = { target: 'tfjs/cpu', specSha256: spec.specSha256, state: initialState(0.01) };
  await writeCheckpoint(run.best, spec.graph, { weights, optimizer: new Map(), info });
});

function exportRun(...args: string[]): Promise<unknown> {
  return exportCommand()
    .exitOverride()
    .parseAsync([...args, '--quiet'], { from: 'user' });
}

describe('sparchc export', () => {
  it('writes a model of the best checkpoint into the run folder', async () => {
    await exportRun(run.path);
    const model = await openOnnx(run.model, { threads: 1 });
    expect(model.info).toMatchObject({ specSha256: spec.specSha256, features: 10, classes: 3 });
  });

  it('writes elsewhere, and unfolded, on request', async () => {
    const file = join(folder, 'unfolded.onnx');
    await exportRun(run.path, '-o', file, '--no-fold');
    const operators = (path: string) => decodeModel(readFileSync(path)).graph.node.map((node) => node.opType);
    expect(operators(file)).toContain('BatchNormalization');
    expect(operators(run.model)).not.toContain('BatchNormalization');
  });

  it('writes a model of a stream on request', async () => {
    await exportRun(run.path, '--mode', 'step', '--window', '5');
    const stream = await openOnnxStream(run.exported('step', 'features'), { threads: 1 });
    const { scores } = await stream.feed(new Float32Array(20));
    expect(scores).toHaveLength(3);
    const { metadataProps } = decodeModel(readFileSync(run.exported('step', 'features')));
    expect(metadataProps).toContainEqual({ key: 'sparchc.segmentation', value: '{"kind":"window","steps":5}' });
    await stream.dispose();
  });

  it('knows a window in streams only', async () => {
    const error = await exportRun(run.path, '--window', '5').catch((e: unknown) => e);
    expect(error).toMatchObject({ message: '--window is about streams; add --mode step', exitCode: 2 });
  });

  it('stores weights in 8 bits and measures both accuracies', async () => {
    const file = join(folder, 'int8.onnx');
    const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    await exportRun(run.path, '-o', file, '--quantize', 'int8', '--json');
    const document = JSON.parse(printed.mock.calls.map(([text]) => text).join(''));
    printed.mockRestore();
    expect(document.bytes).toBeGreaterThan(0);
    expect(document.accuracy_change).toBeCloseTo(document.accuracy - document.accuracy_float32, 12);
    const stored = decodeModel(readFileSync(file)).graph.initializer.map(({ dataType }) => dataType);
    expect(stored).toContain(3);
  });

  it('cannot store unfolded weights in 8 bits', async () => {
    const error = await exportRun(run.path, '--half', '--no-fold').catch((e: unknown) => e);
    expect(error).toMatchObject({
      message: 'only folded weights can be stored in fewer bits; leave out --no-fold',
      exitCode: 2,
    });
  });

  it.each([
    [
      'a folder that is not there',
      'nowhere',
      'there is no run folder "nowhere"; give the one that "sparchc train" wrote',
    ],
    ['another folder', 'other', '"other" has no "spec.resolved.yaml"; give the folder of a run that finished an epoch'],
    [
      'a run without a checkpoint',
      'fresh',
      '"fresh" has no "checkpoints/best.safetensors"; give the folder of a run that finished an epoch',
    ],
  ])('refuses %s', async (_, name, message) => {
    mkdirSync(join(folder, 'other'), { recursive: true });
    mkdirSync(join(folder, 'fresh'), { recursive: true });
    writeFileSync(join(folder, 'fresh', 'spec.resolved.yaml'), spec.resolvedYaml);
    const error = await exportRun(join(folder, name)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message.replace(`${folder}/`, '')).toBe(message);
    expect((error as UserError).exitCode).toBe(2);
  });
});

describe('sparchc export of a network that hears', () => {
  const hearing = new RunFolder(join(folder, 'hearing'));
  const classNames = Array.from({ length: 20 }, (_, i) => `digit ${i}`);
  const heard = compileSource({
    name: 'hearing.yaml',
    text: `
sparchc: 1
name: hearing
license: CC-BY-4.0
data: { source: 'hd(folder="some/where/hd") |> invert |> fbank(mels=13)', validation: test }
model: input |> LIF(8) |> LI(classes) |> softmax_sum
`,
  });

  async function leaveRun(data?: DataFacts) {
    await hearing.prepare(heard.resolvedYaml);
    const weights = initialParameters(heard.graph, 1);
    const info = { target: 'tfjs/cpu', specSha256: heard.specSha256, state: initialState(0.01), ...(data && { data }) };
    await writeCheckpoint(hearing.best, heard.graph, { weights, optimizer: new Map(), info });
  }

  it('tells what the data was', async () => {
    await leaveRun({ classNames, rate: 8000 });
    await exportRun(hearing.path);
    const { info, model } = await openAny(hearing.model);
    expect(info).toMatchObject({
      license: 'CC-BY-4.0',
      classNames,
      sampleRate: 8000,
      stepSeconds: 0.01,
      spec: heard.portableYaml,
      input: 'features',
    });
    // Random changes of the recordings are for training alone.
    expect(info.pipeline).toMatch(/^fbank\(mels=13, frame=0.025s, shift=0.01s, low=20Hz, .*snip_edges=true\)$/);
    expect(info.spec).toContain('folder: hd\n');
    expect(
      createHash('sha256')
        .update(info.spec as string)
        .digest('hex'),
    ).toBe(info.specSha256);
    await model.dispose();
  });

  it('writes models that take sound beside the others', async () => {
    await leaveRun({ classNames, rate: 8000 });
    await exportRun(hearing.path, '--input', 'waveform');
    await exportRun(
      hearing.path,
      '--input',
      'waveform',
      '--mode',
      'step',
      '--silence',
      '5',
      '--threshold',
      '-4.5',
      '--record',
    );
    const whole = await openAny(hearing.exported('sequence', 'waveform'));
    expect(whole.info).toMatchObject({ mode: 'sequence', input: 'waveform', features: 13 });
    const stream = await openOnnxStream(hearing.exported('step', 'waveform'));
    expect(stream.info.segmentation).toEqual({ kind: 'silence', steps: 5, threshold: -4.5 });
    const { features, activity, steps } = await stream.feed(new Float32Array(800).fill(0.1));
    expect(steps).toBe(8);
    expect(features?.length).toBe(8 * 13);
    expect(activity.get(stream.info.layers[0].layer)?.length).toBe(8 * 8);
    await Promise.all([whole.model.dispose(), stream.dispose()]);
  });

  it('needs to know the sampling rate', async () => {
    await leaveRun();
    const error = await exportRun(hearing.path, '--input', 'waveform').catch((e: unknown) => e);
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringContaining('put resample(16kHz) before fbank') });
  });
});
