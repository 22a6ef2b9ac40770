import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelMetadata } from '../../src/cli/modelMetadata.ts';
import { compileSource } from '../../src/compile.ts';
import { openLoader } from '../../src/data/loader.ts';
import { initialParameters } from '../../src/targets/draws.ts';
import { exportOnnx } from '../../src/targets/onnx/export.ts';
import { wasmTarget } from '../../src/targets/wasm/target.ts';
import { writeCheckpoint } from '../../src/train/checkpoint.ts';
import { loadTrainedModel } from '../../src/train/run.ts';
import { RunFolder } from '../../src/train/runFolder.ts';
import { initialState } from '../../src/train/state.ts';
import { infer } from './inferCommand.ts';

const folder = mkdtempSync(join(tmpdir(), 'sparchc-infer-wasm-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const recordings = join(folder, 'recordings');
const run = new RunFolder(join(folder, 'run'));
const spec = compileSource({
  name: 'infer.yaml',
  text: `
sparchc: 1
data: { source: 'shd(folder="${recordings}") |> bin(steps=50, window=1s)', validation: test }
model: input |> RadLIF(16) |> LI(classes) |> softmax_sum
`,
});

beforeAll(async () => {
  mkdirSync(recordings);
  for (const split of ['train', 'test']) {
    copyFileSync('test/fixtures/data/valid.h5', join(recordings, `shd_${split}.h5`));
  }
  const info = { target: 'wasm', specSha256: spec.specSha256, state: initialState(0.01) };
  await run.prepare(spec.resolvedYaml);
  for (const [path, seed] of [
    [run.best, 1],
    [run.last, 2],
  ] as const) {
    const weights = initialParameters(spec.graph, seed);
    await writeCheckpoint(path, spec.graph, { weights, optimizer: new Map(), info });
  }
});

/** What `sparchc eval` computes on the test split, sample by sample. */
async function evaluated(): Promise<number[][]> {
  const loader = await openLoader(spec.experiment.data, { batch: 1, seed: 1 });
  const model = await loadTrainedModel(run, spec, async () => wasmTarget({ threads: 2 }));
  const scores: number[][] = [];
  for await (const { batch } of loader.batches({ split: 'test', epoch: 0, shuffle: false, from: 0 })) {
    scores.push([...(await model.evaluate(batch)).scores]);
  }
  model.dispose();
  loader.close();
  return scores;
}

describe('sparchc infer --engine wasm', () => {
  it('gives for each recording of a run the scores of eval, to the last bit', async () => {
    const found = JSON.parse(await infer('--engine', 'wasm', run.path, join(recordings, 'shd_test.h5'), '--json'));
    const expected = await evaluated();
    expect(found.map(({ scores }: { scores: number[] }) => scores)).toEqual(expected);
    for (const { class: name, index, scores, seconds } of found) {
      expect(index).toBe(scores.indexOf(Math.max(...scores)));
      expect(name).toBe(`${index}`);
      expect(seconds).toBeGreaterThan(0);
    }
  });

  it('takes another checkpoint of a run', async () => {
    const scores = async (path: string) =>
      JSON.parse(await infer('--engine', 'wasm', path, recordings, '--json')).map(
        (f: { scores: number[] }) => f.scores,
      );
    expect(await scores(run.best)).toEqual(await scores(run.path));
    expect(await scores(run.last)).not.toEqual(await scores(run.path));
  });

  it('says which engine runs what', async () => {
    const model = join(folder, 'model.onnx');
    const metadata = modelMetadata(spec, undefined);
    writeFileSync(model, exportOnnx(spec.graph, initialParameters(spec.graph, 1), { fold: true, metadata }));
    await expect(infer('--engine', 'wasm', model, recordings)).rejects.toThrow(/leave out --engine, or give the run/);
    await expect(infer('--engine', 'wasm', join(folder, 'nowhere'), recordings)).rejects.toThrow(/is no run folder/);
    await expect(infer(run.path, recordings)).rejects.toThrow(/give ".*model\.onnx", or add --engine wasm/);
    await expect(infer('--engine', 'wasm', '--provider', 'cpu', run.path, recordings)).rejects.toThrow(
      /--provider is about onnxruntime/,
    );
    const stray = join(folder, 'stray.safetensors');
    copyFileSync(run.best, stray);
    await expect(infer('--engine', 'wasm', stray, recordings)).rejects.toThrow(/lies in no run folder/);
  });
});
