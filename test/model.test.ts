import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, describe, expect, it } from 'vitest';
import { buildModel, type Model } from '../src/model.ts';
import { sparchc } from './cli/support.ts';

const spec = (model: string) => ({ sparchc: 1, data: { source: 'tensor(features=3, classes=4)' }, model });
const shape = [2, 5, 3];
const values = Float32Array.from({ length: 30 }, (_, i) => Math.sin(i) * 2);

async function withModel<T>(text: string | object, use: (model: Model) => Promise<T>): Promise<T> {
  const model = await buildModel(text, { target: 'tfjs/cpu' });
  try {
    return await use(model);
  } finally {
    model.dispose();
  }
}

describe('a model called on tensors', () => {
  it('gives class scores and firing rates', async () => {
    const result = await withModel(spec('input |> RadLIF(8) |> LI(classes) |> softmax_sum'), (m) =>
      m.call({ shape, values }),
    );
    expect(result.output.shape).toEqual([2, 4]);
    // A softmax at every one of 5 steps.
    expect(result.output.values.slice(0, 4).reduce((a, b) => a + b)).toBeCloseTo(5, 4);
    expect([...result.firingRates.keys()]).toEqual(['radlif']);
    expect(result.firingRates.get('radlif')).toHaveLength(8);
  });

  it('predicts the scores alone, on the default target too', async () => {
    const text = spec('input |> RadLIF(8) |> LI(classes) |> softmax_sum');
    for (const target of ['tfjs/cpu', 'wasm']) {
      const model = await buildModel(text, { target });
      const { scores } = await model.call({ shape, values });
      expect(await model.predict({ shape, values })).toEqual(scores);
      await expect(model.predict({ shape: [2, 5, 4], values })).rejects.toThrow('must have the shape');
      model.dispose();
    }
  });

  it('gives a sequence without a pool', async () => {
    const result = await withModel(spec('input |> LIF(classes)'), (m) => m.call({ shape, values }));
    expect(result.output.shape).toEqual([2, 5, 4]);
    expect(result.output.values.every((v) => v === 0 || v === 1)).toBe(true);
    expect(result.scores.shape).toEqual([2, 4]);
  });

  it('takes a tfjs tensor, and the same weights give the same answer', async () => {
    const model = 'input |> adLIF(8) |> LI(classes) |> mean';
    const [parameters, first] = await withModel(spec(model), async (m) => [
      await m.parameters(),
      await m.call({ shape, values }),
    ]);
    const second = await withModel({ ...spec(model), seed: 9 }, async (m) => {
      m.load(parameters);
      return m.call(tf.tensor(values, shape));
    });
    expect(second.output.values).toEqual(first.output.values);
  });

  it('loads all weights or says which are missing, unknown or of another size, and keeps its own', async () => {
    await withModel(spec('input |> LIF(8) |> LI(classes) |> softmax_sum'), async (m) => {
      const own = await m.parameters();
      const zeros = new Map([...own].map(([key, values]) => [key, new Float32Array(values.length)]));
      const without = (key: string) => new Map([...zeros].filter(([k]) => k !== key));
      expect(() => m.load(without('snn.0.W.weight'))).toThrow('the weights lack "snn.0.W.weight"; give all of them');
      expect(() => m.load(new Map())).toThrow(/^the weights lack ("[^"]+", ){2}"[^"]+" and \d+ more/);
      expect(() => m.load(new Map([...zeros, ['x', new Float32Array(1)]]))).toThrow('no parameter "x"');
      const short = new Map([...zeros, ['snn.0.W.weight', new Float32Array(3)]]);
      expect(() => m.load(short)).toThrow('the parameter "snn.0.W.weight" has 3 values; this model needs 24 values');
      expect(await m.parameters()).toEqual(own);
    });
  });

  it('counts no step beyond a length', async () => {
    await withModel(spec('input |> LIF(8) |> LI(classes) |> softmax_sum'), async (m) => {
      const { output } = await m.call({ shape, values }, [5, 3]);
      const short = await m.call({ shape: [1, 3, 3], values: values.slice(15, 24) });
      expect(output.values.slice(4)).toEqual(short.output.values);
    });
  });

  it.each([[[5]], [[9, 3]], [[0, 3]], [[2.5, 3]]])('refuses the lengths %j', async (lengths) => {
    await withModel(spec('input |> LIF(classes)'), async (m) => {
      await expect(m.call({ shape, values }, lengths)).rejects.toThrow(
        `lengths must be 2 whole numbers from 1 to 5, one for each sample, not [${lengths.join(', ')}]`,
      );
    });
  });

  it('says which shape it wants', async () => {
    await withModel(spec('input |> LIF(classes)'), async (m) => {
      await expect(m.call({ shape: [2, 5, 4], values })).rejects.toThrow(
        'the input must have the shape [batch, time, 3]',
      );
      await expect(m.call({ shape, values: [1] })).rejects.toThrow('has 30 values, but 1 were given');
    });
  });
});

describe('docs/library.md', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sparchc-library-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('compiles and runs', async () => {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(resolve('.'), join(folder, 'node_modules/sparchc'));
    symlinkSync(resolve('node_modules/@types'), join(folder, 'node_modules/@types'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    const sets = ['train.epochs=1', 'data.source.train=32', 'data.source.validation=8', 'data.source.test=8'];
    const run = await sparchc(
      [
        'train',
        resolve('specs/randman.yaml'),
        '--out',
        'runs/quickstart',
        '--target',
        'tfjs/wasm',
        '--quiet',
        ...sets.flatMap((s) => ['--set', s]),
      ],
      folder,
    );
    expect(run.code, run.stderr).toBe(0);
    const examples = [...readFileSync('docs/library.md', 'utf8').matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(
      ([, code]) => code,
    );
    expect(examples).toHaveLength(2);
    examples.forEach((code, i) => void writeFileSync(join(folder, `example${i}.ts`), code));
    const compiler = ['--strict', '--target', 'es2022', '--module', 'nodenext', '--types', 'node', '--skipLibCheck'];
    const files = examples.map((_, i) => `example${i}.ts`);
    execFileSync(process.execPath, [resolve('node_modules/typescript/bin/tsc'), ...compiler, ...files], {
      cwd: folder,
    });
    const printed = execFileSync(process.execPath, ['example0.js'], { cwd: folder, encoding: 'utf8' });
    expect(printed).toContain('[ 4, 10 ]');
    expect(printed).toContain("[ 'radlif1', 'radlif2' ]");
    execFileSync(process.execPath, ['example1.js'], { cwd: folder });
  });
});
