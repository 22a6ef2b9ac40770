import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileSource } from '../../../src/compile.ts';
import { importNirFile } from '../../../src/import/nir.ts';
import { exportNir } from '../../../src/targets/nir/export.ts';
import { parseNir } from '../../../src/targets/nir/parse.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { lively, outputOf } from './support.ts';

/**
 * A Python with NIR's reference implementation, the package `nir`: SPARCHC_PYTHON, or what `python3` is. A checkout of its
 * repository serves as well, on PYTHONPATH.
 */
const python = process.env.SPARCHC_PYTHON ?? 'python3';
const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' };
const available = spawnSync(python, ['-c', 'import nir'], { env }).status === 0;
if (!available) {
  console.warn(`skipped: NIR's reference needs a Python with the package nir; set SPARCHC_PYTHON (tried ${python})`);
}

const folder = temporaryFolder();
const shape = [2, 40, 3];
const x = Float32Array.from({ length: 2 * 40 * 3 }, (_, i) => (Math.sin(i * i) > 0.2 ? 1 : 0));

const nested = (values: Float32Array) =>
  Array.from({ length: shape[0] }, (_, b) =>
    Array.from({ length: shape[1] }, (_, t) => {
      const width = values.length / shape[0] / shape[1];
      return [...values.subarray((b * shape[1] + t) * width, (b * shape[1] + t + 1) * width)];
    }),
  );

function expectNear(value: number, wanted: number, what: string): void {
  expect(Math.abs(value - wanted), what).toBeLessThan(1e-5 * Math.max(1, Math.abs(wanted)));
}

function run(script: readonly string[], input: string): string {
  const { stdout, stderr, status } = spawnSync(python, script, { encoding: 'utf8', input, env });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

/** By name: a network of sparchc, and whether NIR says it exactly. */
const networks: Record<string, { model: string; approximate: boolean }> = {
  LIF: { model: 'input |> 2 * LIF(6) |> LI(classes) |> softmax_sum', approximate: true },
  RLIF: { model: 'input |> 2 * RLIF(6) |> LI(classes) |> softmax_sum', approximate: true },
  NirLIF: { model: 'input |> 2 * NirLIF(6) |> NirLI(classes)', approximate: false },
  NirRLIF: { model: 'input |> 2 * NirRLIF(6, bias=true) |> NirLI(classes)', approximate: false },
  NirRCubaLIF: { model: 'input |> NirRCubaLIF(6) |> NirCubaLIF(6) |> NirCubaLI(classes)', approximate: false },
  others: { model: 'input |> NirRIF(6) |> NirIF(6) |> NirThreshold(6) |> NirI(classes)', approximate: false },
  skip: {
    model:
      'a = input |> NirLIF(4) both = merge(concat, input, a) b = both |> NirRLIF(4) sum = merge(add, a, b) sum |> dense(classes)',
    approximate: false,
  },
};

async function write(name: string) {
  const { model, approximate } = networks[name];
  const source = 'tensor(features=3, classes=2, step=1ms)';
  const spec = compileSource({ name, text: JSON.stringify({ sparchc: 1, data: { source }, model }) });
  const weights = lively(spec.graph, 3);
  const metadata = { sparchc_version: 'test' };
  const { bytes, deviations } = await exportNir(spec.graph, weights, { dt: 1e-3, approximate, metadata });
  expect(deviations.length > 0).toBe(approximate);
  const path = join(folder, `${name}.nir`);
  writeFileSync(path, bytes);
  return { path, spec, weights };
}

describe.skipIf(!available)('the reference implementation of NIR', () => {
  it('reads what is exported, type checks it, and what it says gives the same spikes', async () => {
    const files = await Promise.all(Object.keys(networks).map(write));
    const request = Object.keys(networks).map((name, i) => [name, { path: files[i].path, x: nested(x) }] as const);
    const input = JSON.stringify({ dt: 1e-3, networks: Object.fromEntries(request) });
    const outputs = JSON.parse(run(['test/fixtures/nir/runNir.py'], input)) as Record<string, number[][][]>;
    for (const [i, name] of Object.keys(networks).entries()) {
      const { spec, weights } = await importNirFile(
        await parseNir(readFileSync(files[i].path), name),
        name,
        name,
        null,
      );
      const imported = await outputOf(spec, weights, x, shape);
      const theirs = outputs[name].flat(2);
      expect(
        theirs.some((v) => v !== 0),
        name,
      ).toBe(true);
      for (const [k, value] of theirs.entries()) expectNear(imported[k], value, `${name} ${k}`);
      if (networks[name].approximate) continue;
      const original = await outputOf(files[i].spec, files[i].weights, x, shape);
      for (const [k, value] of theirs.entries()) expectNear(original[k], value, `${name} ${k}`);
    }
  });

  it('writes what can be imported', async () => {
    const { path } = await write('NirRLIF');
    const again = join(folder, 'again.nir');
    run(
      ['-c', `import nir; nir.version = '1.0'; nir.write(${JSON.stringify(again)}, nir.read(${JSON.stringify(path)}))`],
      '',
    );
    const [first, second] = await Promise.all(
      [path, again].map(async (file) => importNirFile(await parseNir(readFileSync(file), file), file, 'n', null)),
    );
    expect(second.spec.resolvedYaml).toBe(first.spec.resolvedYaml);
    expect(second.weights).toEqual(first.weights);
  });
});
