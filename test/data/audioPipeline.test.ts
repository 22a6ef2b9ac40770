import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import type { Batch, DenseInput } from '../../src/data/batch.ts';
import type { Call, DataConfig } from '../../src/data/config.ts';
import { hd } from '../../src/data/datasets/hd.ts';
import { type DataPipeline, type EpochOptions, openPipeline } from '../../src/data/pipeline.ts';
import { audioAugmentations } from '../../src/data/transforms/audioAugmentations.ts';
import { fbank } from '../../src/data/transforms/fbank.ts';
import type { Definition } from '../../src/definitions/params.ts';
import { wavFile } from './audio/wavFile.ts';
import { defaultParams } from './defaultParams.ts';

/** Recordings through the built worker, from files to batches: `npm test` builds it first. */
const folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
afterAll(() => rmSync(folder, { recursive: true }));
const opened: DataPipeline[] = [];
afterEach(() => Promise.all(opened.splice(0).map((pipeline) => pipeline.close())));

const TRAIN = 20;
const BROKEN = 13;

/** Training sample i has 1000 + 160 i samples at 16 kHz: 4 + i frames. */
function makeRecordings(): void {
  const nameOf = (speaker: number, i: number) => `lang-english_speaker-0${speaker}_trial-${i}_digit-${i % 10}.wav`;
  const train = Array.from({ length: TRAIN }, (_, i) => nameOf(i % 2, i));
  const test = Array.from({ length: 4 }, (_, i) => nameOf(4, i));
  mkdirSync(join(folder, 'audio'));
  writeFileSync(join(folder, 'train_filenames.txt'), train.join('\n'));
  writeFileSync(join(folder, 'test_filenames.txt'), test.join('\n'));
  for (const [i, name] of [...train, ...test].entries()) {
    const samples = Float32Array.from({ length: 1000 + 160 * i }, (_, k) => 0.4 * Math.sin(k / (3 + i)));
    const file = wavFile(samples, 16000);
    writeFileSync(join(folder, 'audio', name), i === BROKEN ? file.subarray(0, 99) : file);
  }
}
makeRecordings();

const call = (definition: Definition, given: object = {}): Call => ({
  type: definition.name,
  params: { ...defaultParams(definition), ...given },
});

async function open(transforms: readonly Call[] = [], changed: Partial<DataConfig> = {}): Promise<DataPipeline> {
  const config: DataConfig = {
    source: call(hd, { folder }),
    transforms: [...transforms, call(fbank, { mels: 5 })],
    validation: { type: 'test', params: {} },
    ...changed,
  };
  const pipeline = await openPipeline(config, { batch: 8, seed: 1 });
  opened.push(pipeline);
  return pipeline;
}

async function take(pipeline: DataPipeline, options: EpochOptions = {}): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of pipeline.batches('train', options)) batches.push(batch);
  return batches;
}

const valuesOf = (batches: Batch[]) => batches.map((batch) => (batch.input as DenseInput).values);

test('batches of unequal lengths; what is broken is left out and reported once', async () => {
  const pipeline = await open();
  const batches = await take(pipeline);
  expect(batches.flatMap((b) => Array.from(b.samples))).toEqual(
    Array.from({ length: TRAIN }, (_, i) => i).filter((i) => i !== BROKEN),
  );
  for (const { size, steps, features, samples, labels, lengths, input } of batches) {
    expect(Array.from(lengths!)).toEqual(Array.from(samples, (i) => 4 + i));
    expect(Array.from(labels)).toEqual(Array.from(samples, (i) => i % 10));
    expect(steps).toBe(Math.max(...lengths!));
    expect((input as DenseInput).values.length).toBe(size * steps * features);
  }
  await take(pipeline);
  expect(pipeline.counters.train).toMatchObject({ samples: 2 * (TRAIN - 1), events: 0, dropped: 0 });
  expect(pipeline.counters.train.skipped).toEqual([
    `"audio/lang-english_speaker-01_trial-13_digit-3.wav" is truncated: its header promises 0.19 s, but the file holds 0.00 s`,
  ]);
  expect(pipeline.info).toEqual({ features: 5, classes: 20, set: 'real', steps: null, stepDuration: 0.01 });
});

test('padding: include gives the same batches without lengths', async () => {
  const [excluded, included] = [await take(await open()), await take(await open([], { padding: 'include' }))];
  expect(included.every((b) => b.lengths === undefined)).toBe(true);
  expect(valuesOf(included)).toEqual(valuesOf(excluded));
});

test('augmentation: only in training, another one in each epoch, the same after a resume', async () => {
  const augmented = await open(audioAugmentations.map((d) => call(d)));
  const plain = valuesOf(await take(await open()));
  expect(valuesOf(await take(augmented))).toEqual(plain);
  const first = await take(augmented, { epoch: 1, augment: true });
  expect(valuesOf(first)).not.toEqual(plain);
  expect(valuesOf(await take(augmented, { epoch: 2, augment: true }))).not.toEqual(valuesOf(first));
  expect(await take(augmented, { epoch: 1, augment: true, from: 1 })).toEqual(first.slice(1));
  const again = await open(audioAugmentations.map((d) => call(d)));
  expect(await take(again, { epoch: 1, augment: true })).toEqual(first);
});

test('recordings are decoded once', async () => {
  const pipeline = await open();
  const first = await take(pipeline, { epoch: 1, shuffle: true });
  const path = join(folder, 'audio', 'lang-english_speaker-00_trial-0_digit-0.wav');
  const kept = readFileSync(path);
  writeFileSync(path, 'gone');
  try {
    expect(await take(pipeline, { epoch: 1, shuffle: true })).toEqual(first);
  } finally {
    writeFileSync(path, kept);
  }
});

test('a mistake in the rates is told at the source', async () => {
  const pipeline = await open([], { transforms: [call(fbank, { high: 10_000 })] });
  await expect(take(pipeline)).rejects.toThrow('do not fit recordings at 16000 Hz');
});
