import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelMetadata } from '../../src/cli/modelMetadata.ts';
import { compileSource } from '../../src/compile.ts';
import { openLoader } from '../../src/data/loader.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { initialParameters } from '../../src/targets/draws.ts';
import { exportOnnx } from '../../src/targets/onnx/export.ts';
import { openOnnx } from '../../src/targets/onnx/run.ts';
import { infer } from './inferCommand.ts';

const folder = mkdtempSync(join(tmpdir(), 'sparchc-infer-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const recordings = join(folder, 'recordings');
const model = join(folder, 'model.onnx');
const spec = compileSource({
  name: 'infer.yaml',
  text: `
sparchc: 1
data: { source: 'shd(folder="${recordings}") |> bin(steps=50, window=1s)', validation: test }
model: input |> RadLIF(16) |> LI(classes) |> softmax_sum
`,
});
const parameters = initialParameters(spec.graph, 1);

beforeAll(() => {
  mkdirSync(recordings);
  for (const split of ['train', 'test']) {
    copyFileSync('test/fixtures/data/valid.h5', join(recordings, `shd_${split}.h5`));
  }
  writeFileSync(model, exportOnnx(spec.graph, parameters, { fold: true, metadata: modelMetadata(spec, undefined) }));
});

/** What the trainer's own pipeline and the model give for the test split. */
async function expectedScores(): Promise<number[][]> {
  const loader = await openLoader(spec.experiment.data, { batch: 1, seed: 1 });
  const opened = await openOnnx(model, { threads: 1 });
  const scores: number[][] = [];
  for await (const { batch } of loader.batches({ split: 'test', epoch: 0, shuffle: false, from: 0 })) {
    scores.push([...(await opened.evaluate(batch)).scores]);
  }
  await opened.dispose();
  loader.close();
  return scores;
}

describe('sparchc infer', () => {
  it('gives for each recording of each file in a folder what the trainer gives', async () => {
    const found = JSON.parse(await infer(model, recordings, '--json'));
    const expected = await expectedScores();
    expect(found.map((f: { file: string; sample: number }) => [f.file, f.sample])).toEqual(
      ['test', 'train'].flatMap((split) => expected.map((_, i) => [join(recordings, `shd_${split}.h5`), i])),
    );
    found.forEach((f: { index: number; class: string; scores: number[]; seconds: number }, i: number) => {
      const scores = expected[i % expected.length];
      expect(f.scores).toEqual(scores);
      expect(f.index).toBe(scores.indexOf(Math.max(...scores)));
      expect(f.class).toBe(`${f.index}`);
      expect(f.seconds).toBeGreaterThan(0);
    });
  });

  it('prints a line for each recording', async () => {
    const text = await infer(model, join(recordings, 'shd_test.h5'));
    const lines = text.trim().split('\n');
    expect(lines).toHaveLength((await expectedScores()).length + 1);
    expect(lines[0]).toMatch(/shd_test\.h5 0 {2}class \d+ {2}score [\d.]+ {2}[\d.]+ ms$/);
  });

  it.each([
    ['nothing there', 'nowhere', /^there is no file or folder ".*nowhere"; give HDF5 files in the layout of SHD$/],
    ['an empty folder', 'empty', /^the folder ".*empty" has no \.h5 or \.hdf5 files/],
    ['another file', 'model.onnx', /is no HDF5 file/],
  ])('refuses %s', async (_, name, message) => {
    mkdirSync(join(folder, 'empty'), { recursive: true });
    const error = await infer(model, join(folder, name)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
  });

  it('refuses a model that does not say how its input is made', async () => {
    const silent = { ...modelMetadata(spec, undefined), preprocessing: [] };
    const path = join(folder, 'other.onnx');
    writeFileSync(path, exportOnnx(spec.graph, parameters, { fold: true, metadata: silent }));
    await expect(infer(path, recordings)).rejects.toThrow('the model does not say how recordings become its input');
  });

  it('feeds recordings to a model of a stream', async () => {
    const metadata = modelMetadata(spec, undefined);
    const path = join(folder, 'step.onnx');
    writeFileSync(path, exportOnnx(spec.graph, parameters, { fold: true, segmentation: { kind: 'reset' }, metadata }));
    const found = JSON.parse(await infer(path, join(recordings, 'shd_test.h5'), '--json'));
    const expected = await expectedScores();
    found.forEach((f: { sample: number; end: number; scores: number[] }, i: number) => {
      expect(f.sample).toBe(i);
      // 50 steps of 1 s / 49.
      expect(f.end).toBeCloseTo(50 / 49, 5);
      for (const [k, score] of f.scores.entries()) expect(score).toBeCloseTo(expected[i][k], 4);
    });
  });

  it.skipIf(existsSync('/proc/driver/nvidia'))('says what a provider needs where it is absent', async () => {
    await expect(infer(model, recordings, '--provider', 'cuda')).rejects.toThrow(/needs an NVIDIA GPU.*--provider cpu/);
  });
});
