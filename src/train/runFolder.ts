import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../diagnostics/diagnostic.ts';
import { writeError, writeFileAtomically } from './atomicFile.ts';
import type { EpochMetrics } from './loop.ts';
import { lockRun } from './runLock.ts';

/** Everything a run leaves behind: spec, metrics, checkpoints, result and exported model. */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get spec(): string {
    return join(this.path, 'spec.resolved.yaml');
  }

  get last(): string {
    return join(this.path, 'checkpoints', 'last.safetensors');
  }

  /** The weights that were tested: of the best epoch, or with `train.select: last` of the last one. */
  get best(): string {
    return join(this.path, 'checkpoints', 'best.safetensors');
  }

  get metrics(): string {
    return join(this.path, 'metrics.jsonl');
  }

  get result(): string {
    return join(this.path, 'result.json');
  }

  get model(): string {
    return join(this.path, 'model.onnx');
  }

  /** Another export, which is written on request only: of a stream, or one that takes sound. */
  exported(mode: 'sequence' | 'step', input: 'features' | 'waveform'): string {
    if (input === 'waveform') return join(this.path, mode === 'step' ? 'sound-step.onnx' : 'sound.onnx');
    return mode === 'step' ? join(this.path, 'step.onnx') : this.model;
  }

  /** Written on request only. */
  get nirModel(): string {
    return join(this.path, 'model.nir');
  }

  /** Its entries, or null where there is no such folder. Throws UserError SP820 where it cannot be a folder. */
  async entries(): Promise<readonly string[] | null> {
    try {
      return await readdir(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw new UserError('SP820', `"${this.path}" is not a folder that can be read`, { exitCode: 2, cause: error });
    }
  }

  /** Keeps other processes from training here, until what it returns is called; throws what `lockRun` throws. */
  lock(): Promise<() => Promise<void>> {
    return lockRun(this.path);
  }

  /** Makes the folder where it is missing and saves the resolved spec. Throws UserError SP811 where that fails. */
  async prepare(resolvedYaml: string): Promise<void> {
    await makeFolder(this.path);
    await writeFileAtomically(this.spec, resolvedYaml);
    await makeFolder(join(this.path, 'checkpoints'));
  }

  /** Removes what was made before training, where no checkpoint was saved since. */
  async removeUnlessBegun(): Promise<void> {
    if (existsSync(this.last)) return;
    for (const path of [this.spec, this.metrics]) await rm(path, { force: true });
    await rmdir(join(this.path, 'checkpoints')).catch(() => {});
  }

  async appendMetrics(epochs: readonly EpochMetrics[]): Promise<void> {
    const lines = epochs.map((metrics) => `${JSON.stringify(metricsRecord(metrics))}\n`);
    try {
      const file = await open(this.metrics, 'a');
      try {
        await file.writeFile(lines.join(''));
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw writeError(this.metrics, error);
    }
  }

  /** Drops what a killed session wrote after its last checkpoint: all but the first `epochs` lines. */
  async truncateMetrics(epochs: number): Promise<void> {
    const text = await readFile(this.metrics, 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => line !== '');
    const kept = lines.slice(0, epochs).map((line) => `${line}\n`);
    await writeFileAtomically(this.metrics, kept.join(''));
  }

  async writeModel(bytes: Uint8Array): Promise<void> {
    await writeFileAtomically(this.model, [bytes]);
  }

  async writeResult(result: RunResult): Promise<void> {
    await writeFileAtomically(this.result, `${JSON.stringify(result, null, 2)}\n`);
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw writeError(path, error);
  }
}

/** `result.json`. Accuracies are fractions of 1. */
export interface RunResult {
  readonly name: string;
  readonly test_accuracy: number;
  readonly test_loss: number;
  /** Of the weights that were tested, those of `best_epoch`. */
  readonly valid_accuracy: number;
  readonly best_epoch: number;
  /** Epochs trained. */
  readonly epochs: number;
  /** Number of trainable parameters. */
  readonly parameters: number;
  /** Wall time of training, over all sessions. */
  readonly seconds: number;
  readonly target: string;
  readonly backend: string;
  /** Parts that training batches were computed in for want of memory; 1: none. Of the target "wasm". */
  readonly micro_batches?: number;
  /** Whether multiplications and additions were fused. Of the target "wasm". */
  readonly relaxed_simd?: boolean;
  readonly seed: number;
  readonly spec_sha256: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** A line of `metrics.jsonl`. */
function metricsRecord({ epoch, learningRate, train, validation, best }: EpochMetrics) {
  return {
    epoch,
    learning_rate: learningRate,
    train_loss: train.loss,
    train_accuracy: train.accuracy,
    train_firing_rates: train.firingRates,
    valid_loss: validation.loss,
    valid_accuracy: validation.accuracy,
    valid_firing_rates: validation.firingRates,
    best,
    samples_per_second: train.samplesPerSecond,
    seconds: train.seconds + validation.seconds,
  };
}

/** A new run must not touch what is there. Throws UserError SP821. */
export async function requireNewFolder(folder: RunFolder): Promise<void> {
  const entries = await folder.entries();
  if (entries === null || entries.length === 0) return;
  throw new UserError(
    'SP821',
    `"${folder.path}" exists already; go on with that run with --resume, or choose another folder with --out`,
    { exitCode: 2 },
  );
}
