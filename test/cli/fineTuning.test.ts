import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeSafetensors } from '../../src/train/safetensors.ts';
import { sparchc, workspace } from './support.ts';

/** Runs on a tiny spec: a hidden layer `radlif` and a readout `li` for three classes. */
let cwd: string;
let spec: string;
beforeAll(async () => {
  ({ cwd, spec } = workspace());
  const { code, stderr } = await train('first');
  expect(code, stderr).toBe(0);
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

function train(out: string, ...more: string[]) {
  const args = ['train', spec, '--target', 'tfjs/cpu', '--out', out];
  return sparchc([...args, '--set', 'train.epochs=2', ...more], cwd);
}

function weights(run: string): Map<string, unknown> {
  const path = join(cwd, run, 'checkpoints', 'best.safetensors');
  const { tensors } = decodeSafetensors(readFileSync(path), path);
  return new Map([...tensors].map(([key, { data }]) => [key, data]));
}

const init = ['--set', 'train.init=first'];

it('starts from another run with other classes, its first layer frozen, and is evaluated and resumed like any run', async () => {
  const changes = [...init, '--set', 'model.layers.radlif.freeze=true', '--set', 'data.source.classes=4'];
  const tuned = await train('tuned', ...changes);
  expect(tuned.code, tuned.stderr).toBe(0);
  expect(tuned.stdout).toContain(`init      radlif from ${join(cwd, 'first', 'checkpoints', 'best.safetensors')}\n`);
  expect(tuned.stdout).toContain('li starts fresh: "snn.1.W.weight" is [3, 8] there and [4, 8] here\n');

  const [before, after] = [weights('first'), weights('tuned')];
  for (const [key, value] of before) {
    if (!key.startsWith('snn.0.')) continue;
    if (key.includes('running')) expect(after.get(key), key).not.toEqual(value);
    else expect(after.get(key), key).toEqual(value);
  }
  expect((await sparchc(['eval', 'tuned', '--target', 'tfjs/cpu'], cwd)).code).toBe(0);
  const longer = await train('tuned', ...changes, '--set', 'train.epochs=3', '--resume');
  expect(longer.code, longer.stderr).toBe(0);
  expect(longer.stdout).not.toContain('init  ');
  const unfrozen = await train('tuned', ...init, '--set', 'data.source.classes=4', '--resume');
  expect(unfrozen.stderr).toContain('SP823');
});

it('where training moves nothing, the weights are those it starts from', async () => {
  const { code, stderr } = await train('same', ...init, '--set', 'train.optimizer.lr=1e-30');
  expect(code, stderr).toBe(0);
  const [before, after] = [weights('first'), weights('same')];
  for (const [key, value] of before) if (!key.includes('running')) expect(after.get(key), key).toEqual(value);
});
