import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { type Batch, memoryOf } from '../../src/data/batch.ts';
import type { DataConfig } from '../../src/data/config.ts';
import type { SplitName } from '../../src/data/definition.ts';
import { openLoader } from '../../src/data/loader.ts';
import { type DataPipeline, type EpochOptions, openPipeline, type PipelineOptions } from '../../src/data/pipeline.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { randmanParams } from './randmanParams.ts';

/** These tests run the built worker: `npm test` builds it first. */
const shdMini = fileURLToPath(new URL('../../../shared/data/shd-mini', import.meta.url));
const fixtures = fileURLToPath(new URL('../fixtures/data/', import.meta.url));

const randmanConfig: DataConfig = {
  source: { type: 'randman', params: { ...randmanParams, train: 200, validation: 30, test: 50 } },
  transforms: [{ type: 'bin', params: { steps: 40, window: 0.04 } }],
  validation: { type: 'auto', params: {} },
};

const shdConfig = (folder: string): DataConfig => ({
  source: { type: 'shd', params: { folder } },
  transforms: [{ type: 'bin', params: { steps: 100, window: 1.4 } }],
  validation: { type: 'auto', params: {} },
});

const opened: DataPipeline[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((pipeline) => pipeline.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function open(config = randmanConfig, options: Partial<PipelineOptions> = {}): Promise<DataPipeline> {
  const pipeline = await openPipeline(config, { batch: 16, seed: 5, ...options });
  opened.push(pipeline);
  return pipeline;
}

async function take(
  pipeline: DataPipeline,
  options: EpochOptions = {},
  limit = Number.POSITIVE_INFINITY,
  split: SplitName = 'train',
) {
  const batches: Batch[] = [];
  for await (const batch of pipeline.batches(split, options)) {
    batches.push(batch);
    if (batches.length === limit) break;
  }
  return batches;
}

/** A folder in the layout of SHD made of fixtures. */
function shdFolder(train: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
  folders.push(folder);
  copyFileSync(join(fixtures, train), join(folder, 'shd_train.h5'));
  copyFileSync(join(fixtures, 'valid.h5'), join(folder, 'shd_test.h5'));
  return folder;
}

describe('batches', () => {
  test('are those of the loader, in order', async () => {
    const pipeline = await open();
    const loader = await openLoader(randmanConfig, { batch: 16, seed: 5 });
    const expected: Batch[] = [];
    for await (const { batch } of loader.batches({ split: 'train', epoch: 2, shuffle: true, from: 0 }))
      expected.push(batch);
    expect(await take(pipeline, { epoch: 2, shuffle: true })).toEqual(expected);
    expect(await take(pipeline, { epoch: 2, shuffle: true, from: 7 })).toEqual(expected.slice(7));
    expect(await take(pipeline, { from: pipeline.splits.train.batches })).toEqual([]);
    expect(pipeline.info).toEqual(loader.info.pipeline);
    expect(pipeline.splits).toEqual(loader.info.splits);
  });

  test('an iteration can be left early and begun again', async () => {
    const pipeline = await open();
    const epoch = pipeline.batches('train', { shuffle: true });
    const first: Batch[] = [];
    for await (const batch of epoch) {
      first.push(batch);
      if (first.length === 2) break;
    }
    const all: Batch[] = [];
    for await (const batch of epoch) all.push(batch);
    expect(all.length).toBe(pipeline.splits.train.batches);
    expect(all.slice(0, 2)).toEqual(first);
  });

  test('two iterations can run side by side', async () => {
    const pipeline = await open();
    const [train, validation, again] = await Promise.all([
      take(pipeline, { shuffle: true }),
      take(pipeline, {}, Number.POSITIVE_INFINITY, 'validation'),
      take(pipeline, { shuffle: true }),
    ]);
    expect(again).toEqual(train);
    expect(validation.flatMap((b) => Array.from(b.samples))).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  test('the memory of recycled batches serves later ones, however often they are given back', async () => {
    const pipeline = await open();
    const kept: Batch[] = [];
    const recycled: Batch[] = [];
    for (const epoch of [1, 2, 3]) {
      for await (const batch of pipeline.batches('train', { epoch, shuffle: true })) {
        kept.push(structuredClone(batch));
        recycled.push(batch);
        pipeline.recycle(batch);
        pipeline.recycle(recycled[Math.max(0, recycled.length - 4)]);
        pipeline.recycle(batch);
      }
    }
    const other = await open();
    const expected = [1, 2, 3].map((epoch) => take(other, { epoch, shuffle: true }));
    expect(kept).toEqual((await Promise.all(expected)).flat());
    expect(recycled.slice(0, -6).every((batch) => memoryOf(batch)[0].byteLength === 0)).toBe(true);
  });

  test('counters tell what was taken', async () => {
    const pipeline = await open({
      ...randmanConfig,
      transforms: [{ type: 'bin', params: { steps: 40, window: 0.01 } }],
    });
    await take(pipeline, {}, 3);
    const { samples, events, dropped } = pipeline.counters.train;
    expect(samples).toBe(3 * 16);
    expect(dropped).toBeGreaterThan(0);
    expect(events + dropped).toBe(3 * 16 * 40);
    expect(pipeline.counters.test).toEqual({ samples: 0, events: 0, dropped: 0, skipped: [] });
  });

  test('warnings of the validation split arrive', async () => {
    const pipeline = await open({ ...randmanConfig, validation: { type: 'test', params: {} } });
    expect(pipeline.warnings).toEqual([expect.stringContaining('optimistic')]);
    expect(pipeline.splits.validation).toEqual(pipeline.splits.test);
  });
});

test('batches are made while this thread is blocked', async () => {
  const pipeline = await open(randmanConfig, { batch: 1, ahead: 3 });
  const iterator = pipeline.batches('train')[Symbol.asyncIterator]();
  await iterator.next();
  block(1000);
  let waiting = true;
  setImmediate(() => {
    waiting = false;
  });
  // All three are there without a turn of the event loop, which the immediate would mark.
  for (let i = 0; i < 3; i++) await iterator.next();
  expect(waiting).toBe(true);
  await iterator.return?.();
});

describe('errors', () => {
  const source = { name: 'spec.yaml', text: 'shd(folder="x")\nspeakers' };
  const spans = { source: { source, start: 0, end: 15 }, validation: { source, start: 16, end: 24 } };

  test('opening: the UserError of the reader, at the place in the spec', async () => {
    const error = await open(shdConfig(shdFolder('noUnits.h5')), { spans }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).diagnostic).toMatchObject({ code: 'SP703', severity: 'error', span: spans.source });
    expect((error as UserError).exitCode).toBe(1);
    expect((error as UserError).message).toContain('has no dataset "spikes/units"');
  });

  test('splitting: at the place of the validation', async () => {
    const validation = { type: 'speakers', params: { count: 1, seed: 1 } };
    const error = await open({ ...randmanConfig, validation }, { spans }).catch((e: unknown) => e);
    expect((error as UserError).diagnostic).toMatchObject({ code: 'SP710', span: spans.validation });
  });

  test('reading: after the batches before it', async () => {
    const config = { ...shdConfig(shdFolder('unitOutOfRange.h5')), validation: { type: 'test', params: {} } };
    const pipeline = await open(config, { batch: 1 });
    const batches: Batch[] = [];
    const read = async () => {
      for await (const batch of pipeline.batches('train')) batches.push(batch);
    };
    const error = await read().catch((e: unknown) => e);
    expect((error as UserError).diagnostic.code).toBe('SP705');
    expect(batches.map((b) => b.samples[0])).toEqual([0, 1, 2]);
    expect((await take(pipeline, { from: 4 })).length).toBe(8);
  });

  test('an unexpected error keeps its message', async () => {
    const config = { ...randmanConfig, validation: { type: 'nonsense', params: {} } };
    await expect(open(config)).rejects.toThrow('nothing in the data registry is called "nonsense"');
  });

  test('a closed pipeline gives no more batches', async () => {
    const pipeline = await open();
    await pipeline.close();
    await expect(take(pipeline)).rejects.toThrow('closed');
  });

  test('closing between two batches', async () => {
    const pipeline = await open();
    const read = async () => {
      for await (const _ of pipeline.batches('train')) await pipeline.close();
    };
    await expect(read()).rejects.toThrow('closed');
  });

  test('closing while a batch is awaited', async () => {
    const pipeline = await open();
    const pending = take(pipeline);
    await pipeline.close();
    await expect(pending).rejects.toThrow('closed');
  });
});

test('a pipeline that is not closed keeps no process alive', async () => {
  const script = `
    import { openPipeline } from ${JSON.stringify(new URL('../../dist/data/pipeline.js', import.meta.url).href)};
    const pipeline = await openPipeline(${JSON.stringify(randmanConfig)}, { batch: 16, seed: 5 });
    for await (const batch of pipeline.batches('train')) { console.log(batch.size); break; }
    let n = 0;
    for await (const batch of pipeline.batches('train')) n++;
    console.log(n);
  `;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect({ stdout, stderr, status }).toEqual({ stdout: '16\n13\n', stderr: '', status: 0 });
});

const hasShdMini = existsSync(shdMini);
if (!hasShdMini) console.warn(`skipping tests on real recordings: there is no ${shdMini}`);

describe.skipIf(!hasShdMini)('shd-mini', () => {
  test('has the recordings of its description, split by speakers', async () => {
    const pipeline = await open(shdConfig(shdMini), { batch: 128 });
    const { train, validation, test } = pipeline.splits;
    expect([train.samples, validation.samples, test.samples]).toEqual([480, 120, 306]);
    expect(train.classCounts).toEqual(new Array(20).fill(24));
    const batches = await take(pipeline, { shuffle: true });
    expect(batches.map((b) => b.size)).toEqual([128, 128, 128, 96]);
    expect(pipeline.counters.train.dropped).toBe(0);
    expect(pipeline.counters.train.events / 480).toBeGreaterThan(3000);
    for (const { input } of batches) {
      if (input.kind !== 'events') throw new Error('spikes must stay sparse');
      expect(input.units.every((unit) => unit < 700)).toBe(true);
      expect(input.offsets.at(-1)).toBe(input.units.length);
    }
  });

  test('training does not wait', async () => {
    const pipeline = await open(shdConfig(shdMini), { batch: 32 });
    const waits: number[] = [];
    let start = performance.now();
    for await (const _ of pipeline.batches('train', { shuffle: true })) {
      waits.push(performance.now() - start);
      block(100);
      start = performance.now();
    }
    const later = waits.slice(2).sort((a, b) => a - b);
    expect(later[later.length >> 1]).toBeLessThan(5);
  });
});

function block(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}
