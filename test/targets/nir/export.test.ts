import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { exportCommand } from '../../../src/cli/export.ts';
import { type Compiled, compileSource } from '../../../src/compile.ts';
import { importNirFile } from '../../../src/import/nir.ts';
import { initialParameters } from '../../../src/targets/draws.ts';
import { convertToNir, exportNir } from '../../../src/targets/nir/export.ts';
import { parseNir } from '../../../src/targets/nir/parse.ts';
import { writeCheckpoint } from '../../../src/train/checkpoint.ts';
import { RunFolder } from '../../../src/train/runFolder.ts';
import { initialState } from '../../../src/train/state.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { lively, outputOf } from './support.ts';

const dt = 1e-3;
const source = `tensor(features=3, classes=2, step=${dt}s)`;
const specOf = (model: string) =>
  compileSource({ name: 'spec', text: JSON.stringify({ sparchc: 1, data: { source }, model }) });

function refusalsOf(model: string): string[] {
  const { graph } = specOf(model);
  const { refusals, deviations } = convertToNir(graph, initialParameters(graph, 1), dt);
  return [...refusals, ...deviations].map(({ layer, reason }) => `${layer}: ${reason}`);
}

const spiking = ['NirLIF', 'NirRLIF', 'NirCubaLIF', 'NirRCubaLIF', 'NirIF', 'NirRIF', 'NirThreshold'];

/** Networks of NIR's neurons: a chain, a skip connection, and a readout. */
const networks = fc
  .record({
    first: fc.constantFrom(...spiking),
    second: fc.constantFrom(...spiking, 'dense'),
    merge: fc.constantFrom('concat', 'add'),
    bias: fc.boolean(),
    readout: fc.constantFrom(
      'NirLI(classes, norm=none)',
      'NirCubaLI(classes, norm=none)',
      'NirI(classes, norm=none)',
      'dense(classes, norm=none)',
      'NirLIF(classes, norm=none)',
    ),
    seed: fc.integer({ min: 1, max: 1e6 }),
  })
  .map(({ first, second, merge, bias, readout, seed }) => ({
    seed,
    model: `
      a = input |> ${first}(4, norm=none, bias=${bias}, dropout=0.2)
      b = a |> ${second}(4, norm=none, bias=${bias})
      both = merge(${merge}, a, b)
      both |> ${readout}`,
  }));

describe('what is exported comes back through import', () => {
  it('with the same output, bit by bit', async () => {
    let active = 0;
    await fc.assert(
      fc.asyncProperty(networks, async ({ model, seed }) => {
        const spec = specOf(model);
        const weights = lively(spec.graph, seed);
        const { bytes, deviations } = await exportNir(spec.graph, weights, { dt, approximate: false, metadata: {} });
        expect(deviations).toEqual([]);
        const back = importNirFile(await parseNir(bytes, 'm.nir'), 'm.nir', 'm', null);
        const x = Float32Array.from({ length: 2 * 20 * 3 }, (_, i) => (Math.sin(seed + i * i) > 0.3 ? 1 : 0));
        const shape = [2, 20, 3];
        const output = await outputOf(back.spec, back.weights, x, shape);
        expect(output).toEqual(await outputOf(spec, weights, x, shape));
        active += output.some((v) => v !== 0) ? 1 : 0;
        expect(back.dt).toBe(dt);
      }),
      { numRuns: 30 },
    );
    expect(active).toBeGreaterThan(20);
  });

  it('with batchnorm folded into its weights', async () => {
    const spec = specOf('input |> NirLI(4) |> NirLI(classes, bias=true)');
    const weights = lively(spec.graph, 1);
    for (const [key, values] of weights) {
      if (key.includes('norm'))
        weights.set(
          key,
          values.map((v, i) => v + 0.1 * (i + 1)),
        );
    }
    const { graph } = convertToNir(spec.graph, weights, dt);
    const back = importNirFile({ version: '1.0', graph, dt }, 'm.nir', 'm', null);
    const x = Float32Array.from({ length: 60 }, (_, i) => Math.sin(i * i));
    const [before, after] = await Promise.all([
      outputOf(spec, weights, x, [2, 10, 3]),
      outputOf(back.spec, back.weights, x, [2, 10, 3]),
    ]);
    for (let i = 0; i < before.length; i++) expect(after[i]).toBeCloseTo(before[i], 5);
  });

  it('under the same names, whatever they are', () => {
    const spec = specOf('lif = input |> NirRLIF(4)  output = lif |> NirLIF(4)  lif_w = output |> NirLI(classes)');
    const { graph } = convertToNir(spec.graph, initialParameters(spec.graph, 1), dt);
    const back = importNirFile({ version: '1.0', graph, dt }, 'm.nir', 'm', null);
    expect(back.spec.experiment.model.layers.map(({ name }) => name)).toEqual(['lif', 'output', 'lif_w']);
  });
});

describe('what NIR cannot say is refused', () => {
  it.each([
    [
      'a pool',
      'input |> NirLI(classes) |> softmax_sum',
      ['softmax_sum: NIR has no pools such as softmax_sum, since its networks give a sequence'],
    ],
    [
      'a layer after a pool',
      'input |> NirLI(4) |> mean |> dense(classes)',
      ['dense: NIR has no pools, and it reads that of "mean"'],
    ],
    [
      'a merge of pools',
      'a = input |> NirLI(classes) pa = a |> softmax_sum b = input |> NirLI(classes) pb = b |> softmax_sum c = merge(add, pa, pb)',
      ['c: NIR has no pools, and it reads that of "pa"'],
    ],
    ['layer normalisation', 'input |> NirLI(classes, norm=layernorm)', ['nirli: NIR has no layer normalisation']],
    [
      'two directions',
      'input |> NirLIF(4, bidirectional=true) |> NirLI(classes)',
      ['nirlif: NIR has no neurons that also read a sequence backwards'],
    ],
    [
      'outputs side by side',
      'a = input |> NirLI(1) b = input |> NirLI(1) both = merge(concat, a, b)',
      ['both: NIR cannot put outputs side by side; end the network in a layer'],
    ],
    ['gates', 'input |> GRU(4) |> NirLI(classes)', ['gru: its neurons have 3 inputs, and those of NIR one']],
  ])('%s', (_, model, reasons) => {
    expect(refusalsOf(model)).toEqual(reasons);
  });

  it('all at once, by layer', async () => {
    const { graph } = specOf('input |> adLIF(4) |> LI(classes) |> softmax_sum');
    const options = { dt, approximate: false, metadata: {} };
    const error = await exportNir(graph, initialParameters(graph, 1), options).catch((e: unknown) => e);
    expect(error).toMatchObject({
      exitCode: 2,
      message: `NIR cannot say this network exactly:
  softmax_sum: NIR has no pools such as softmax_sum, since its networks give a sequence
  adlif: NIR has no counterpart for its state "w"
  adlif: a spike lowers its potential, and that of a neuron of NIR is reset to a value
  adlif: it starts from initial values of its own (u, s), and a neuron of NIR from 0
  li: it starts from initial values of its own (u), and a neuron of NIR from 0
The nearest network that NIR can say is written with --approximate, which measures the difference.`,
    });
  });

  it('even approximately, where nothing is near', async () => {
    const { graph } = specOf('input |> LiGRU(4) |> NirLI(classes)');
    const options = { dt, approximate: true, metadata: {} };
    await expect(exportNir(graph, initialParameters(graph, 1), options)).rejects.toThrow(
      /^NIR cannot say this network:\n {2}ligru: its neurons have 2 inputs/,
    );
  });
});

describe('sparchc export --format nir', () => {
  const folder = temporaryFolder();
  const run = new RunFolder(join(folder, 'run'));
  const timeless = new RunFolder(join(folder, 'timeless'));

  async function leave(to: RunFolder, spec: Compiled): Promise<void> {
    await to.prepare(spec.resolvedYaml);
    const info = { target: 'wasm', specSha256: spec.specSha256, state: initialState(0.01) };
    await writeCheckpoint(to.best, spec.graph, { weights: lively(spec.graph, 1), optimizer: new Map(), info });
  }

  beforeAll(async () => {
    const data = { source: 'randman(classes=2, units=3, test=20) |> bin(steps=10, window=10ms)' };
    const model = 'input |> RLIF(4) |> LI(classes) |> softmax_sum';
    await leave(run, compileSource({ name: 'run', text: JSON.stringify({ sparchc: 1, data, model }) }));
    const sourceWithoutStep = { source: 'tensor(features=3, classes=2)' };
    const text = JSON.stringify({ sparchc: 1, data: sourceWithoutStep, model: 'input |> NirLI(classes)' });
    await leave(timeless, compileSource({ name: 'timeless', text }));
  });

  const start = (...args: string[]) =>
    exportCommand()
      .exitOverride()
      .parseAsync([...args, '--quiet'], { from: 'user' });

  it('approximates on request and measures what that does', async () => {
    const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    await start(run.path, '--format', 'nir', '--approximate', '--json');
    const document = JSON.parse(printed.mock.calls.map(([text]) => text).join(''));
    printed.mockRestore();
    expect(document).toMatchObject({ file: run.nirModel, exact: false, dt: 0.01 / 9 });
    expect(document.deviations).toHaveLength(4);
    expect(document.accuracy_change).toBeCloseTo(document.accuracy - document.accuracy_before, 12);
    expect(document.same_class).toBeGreaterThanOrEqual(0);
    expect(document.firing_rates).toEqual([{ layer: 'rlif', before: expect.any(Number), after: expect.any(Number) }]);
    expect(document.bytes).toBe(readFileSync(run.nirModel).length);
  });

  it.each<[string, string[], string]>([
    [
      'no time step',
      [timeless.path],
      'the data says no duration of a time step, which NIR needs for time constants; give it with --dt',
    ],
    ['options of ONNX', [run.path, '--half'], '--half is not about the format nir; leave it out'],
    ['a stream', [run.path, '--mode', 'step'], '--mode step is not about the format nir; leave it out'],
  ])('refuses %s', async (_, args, message) => {
    await expect(start(...args, '--format', 'nir')).rejects.toMatchObject({ message, exitCode: 2 });
  });

  it('knows its options', async () => {
    await expect(start(run.path, '--approximate')).rejects.toMatchObject({
      message: '--approximate is not about the format onnx; leave it out',
    });
    await expect(start(run.path, '--format', 'nir', '--dt', '5')).rejects.toThrow(/It must be a duration/);
  });

  it('takes the time step that is asked for', async () => {
    const file = join(folder, 'fast.nir');
    await start(timeless.path, '--format', 'nir', '--dt', '0.1ms', '-o', file);
    expect((await parseNir(readFileSync(file), file)).dt).toBe(1e-4);
  });
});
