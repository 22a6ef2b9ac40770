import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { sparchc } from '../cli/support.ts';

/** Every example spec is trained for an epoch, made smaller, and its exported model evaluated, as a user would do it. */
const folder = mkdtempSync(join(tmpdir(), 'sparchc-specs-'));
const data = join(folder, 'data');
mkdirSync(data);
for (const file of ['shd_train.h5', 'shd_test.h5', 'ssc_train.h5', 'ssc_valid.h5', 'ssc_test.h5']) {
  copyFileSync('test/fixtures/data/valid.h5', join(data, file));
}
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const smallTask = ['data.source.train=64', 'data.source.validation=20', 'data.source.test=20'];
const smallFiles = [`data.source.folder=${data}`, 'data.validation=test'];
const smallLayers = ['model.layers.h1.size=16', 'model.layers.h2.size=16'];

const overrides: Record<string, readonly string[]> = {
  'shd.yaml': [...smallFiles, ...smallLayers],
  'ssc.yaml': [...smallFiles, ...smallLayers],
  'shd-mini.yaml': [...smallFiles, ...smallLayers],
};

describe('example specs train and export', () => {
  const specs = readdirSync('specs').filter((f) => f.endsWith('.yaml'));

  it.each(specs)('%s', async (name) => {
    const sets = [...(overrides[name] ?? smallTask), 'train.epochs=1'].flatMap((set) => ['--set', set]);
    const run = join(folder, name);
    const trained = await sparchc(
      ['train', `specs/${name}`, '--out', run, '--target', 'tfjs/wasm', '--json', ...sets],
      '.',
    );
    expect(trained.stderr).not.toMatch(/error/);
    expect(trained.code).toBe(0);
    const result = JSON.parse(readFileSync(join(run, 'result.json'), 'utf8'));
    const evaluated = await sparchc(['eval', join(run, 'model.onnx'), '--json'], '.');
    expect(evaluated.code, evaluated.stderr).toBe(0);
    // Rounding may move a sample or two across a decision boundary after one epoch.
    expect(Math.abs(JSON.parse(evaluated.stdout).accuracy - result.test_accuracy)).toBeLessThanOrEqual(0.1);
  });
});
