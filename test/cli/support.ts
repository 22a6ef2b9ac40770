import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Outcome {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly done: Promise<Outcome>;
}

/** Starts the built command line, as a user does. */
export function start(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...process.env, ...env } });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const done = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...output }));
  });
  return { child, done };
}

export function sparchc(args: readonly string[], cwd: string, env?: NodeJS.ProcessEnv): Promise<Outcome> {
  return start(args, cwd, env).done;
}

/** A new folder with a spec that trains within a second. */
export function workspace(): { readonly cwd: string; readonly spec: string } {
  const cwd = mkdtempSync(join(tmpdir(), 'sparchc-cli-'));
  writeFileSync(join(cwd, 'tiny.yaml'), TINY);
  return { cwd, spec: 'tiny.yaml' };
}

const TINY = `sparchc: 1
name: tiny
seed: 1
data:
  source: randman(classes=3, units=10, train=96, validation=24, test=30, duration=20ms) |> bin(steps=10, window=20ms)
model: |
  input |> RadLIF(8, norm=batchnorm, dropout=0.1) |> LI(classes, norm=batchnorm) |> softmax_sum
train: { epochs: 3, batch: 16, optimizer: adam(lr=0.02) }
`;
