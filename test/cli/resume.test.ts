import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeSafetensors } from '../../src/train/safetensors.ts';
import { type Running, sparchc, start, workspace } from './support.ts';

let cwd: string;
let args: string[];
beforeAll(async () => {
  const { spec, ...made } = workspace();
  cwd = made.cwd;
  args = ['train', spec, '--target', 'tfjs/cpu', '--set', 'train.epochs=6', '--set', 'train.checkpoint_every=1ms'];
  const whole = await sparchc([...args, '--out', 'whole'], cwd);
  expect(whole.code, whole.stderr).toBe(0);
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const bytes = (run: string, name: string) => readFileSync(join(cwd, run, 'checkpoints', `${name}.safetensors`));

function tensors(run: string, name: string) {
  const file = decodeSafetensors(bytes(run, name), name);
  return [...file.tensors].map(([key, { data }]) => [key, Buffer.from(data.buffer).toString('hex')]);
}

const untimed = (text: string) => text.replaceAll(/"(seconds|samples_per_second)":\s*[\d.]+/g, '');
const read = (run: string, file: string) => untimed(readFileSync(join(cwd, run, file), 'utf8'));

/** Waits until the run has saved a checkpoint inside the epoch. */
async function untilInside({ child }: Running, run: string, epoch: number): Promise<{ epoch: number; batch: number }> {
  while (child.exitCode === null) {
    const state = savedState(run);
    if (state && state.epoch >= epoch && state.batch >= 2) return state;
    await setTimeout(2);
  }
  throw new Error('the run ended before it could be stopped');
}

function savedState(run: string): { epoch: number; batch: number } | null {
  try {
    return JSON.parse(decodeSafetensors(bytes(run, 'last'), 'last').metadata.sparchc).state;
  } catch {
    return null;
  }
}

function expectWholeRun(run: string): void {
  expect(tensors(run, 'last')).toEqual(tensors('whole', 'last'));
  expect(tensors(run, 'best')).toEqual(tensors('whole', 'best'));
  expect(read(run, 'metrics.jsonl')).toBe(read('whole', 'metrics.jsonl'));
  expect(read(run, 'result.json')).toBe(read('whole', 'result.json'));
  expect(readFileSync(join(cwd, run, 'model.onnx')).equals(readFileSync(join(cwd, 'whole/model.onnx')))).toBe(true);
}

it('a run that is killed twice in the middle of an epoch and resumed is the uninterrupted run', async () => {
  const command = [...args, '--out', 'killed'];
  for (const epoch of [1, 3]) {
    const running = start(epoch === 1 ? command : [...command, '--resume'], cwd);
    await untilInside(running, 'killed', epoch);
    running.child.kill('SIGKILL');
    expect((await running.done).code).toBeNull();
    expect(savedState('killed')).not.toMatchObject({ batch: 0 });
  }
  const resumed = await sparchc([...command, '--resume'], cwd);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(resumed.stdout).toMatch(/^resuming {2}epoch [3-6]/m);
  expectWholeRun('killed');
});

it('Ctrl-C saves the batch, says how to go on and exits with 130', async () => {
  const running = start([...args, '--out', 'stopped', '--set', 'train.checkpoint_every=1000s'], cwd);
  let printed = '';
  const inSecondEpoch = new Promise<void>((resolve) => {
    running.child.stdout?.on('data', (chunk) => {
      printed += chunk;
      if (/^ *1\/6/m.test(printed)) resolve();
    });
  });
  await inSecondEpoch;
  running.child.kill('SIGINT');
  const { code, stderr } = await running.done;
  expect(code, stderr).toBe(130);
  expect(stderr).toContain('finishing this batch and saving it');
  expect(stderr).toMatch(
    /go on with\n {2}sparchc train tiny\.yaml --set train\.epochs=6 .* --out stopped .*--resume\n$/,
  );
  const resume = stderr.trim().split('\n').at(-1)?.trim().split(' ').slice(1) as string[];
  expect((await sparchc(resume, cwd)).code).toBe(0);
  const result = (run: string) => JSON.parse(readFileSync(join(cwd, run, 'result.json'), 'utf8'));
  expect(result('stopped').test_loss).toBe(result('whole').test_loss);
  expect(tensors('stopped', 'last')).toEqual(tensors('whole', 'last'));
});
