import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ssc } from '../../src/data/datasets/ssc.ts';
import type { OpenDataset, SpikeSample } from '../../src/data/definition.ts';
import { openSpikeFiles } from '../../src/data/hdf5Spikes.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';

const fixtures = fileURLToPath(new URL('../fixtures/data/', import.meta.url));
const valid: { times: number[][]; units: number[][]; labels: number[]; speakers: number[] } = JSON.parse(
  readFileSync(join(fixtures, 'valid.json'), 'utf8'),
);

let folder: string;
let opened: OpenDataset[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
  opened = [];
});

afterEach(() => {
  for (const dataset of opened) dataset.close();
  rmSync(folder, { recursive: true });
});

async function open(train: string): Promise<OpenDataset> {
  copyFileSync(join(fixtures, train), join(folder, 'shd_train.h5'));
  copyFileSync(join(fixtures, 'valid.h5'), join(folder, 'shd_test.h5'));
  return openFolder();
}

async function openFolder(path = folder): Promise<OpenDataset> {
  const dataset = await openSpikeFiles({
    dataset: 'shd',
    folder: path,
    files: { train: 'shd_train.h5', test: 'shd_test.h5' },
    units: 700,
    classes: 20,
    origin: 'https://zenkelab.org/datasets/',
  });
  opened.push(dataset);
  return dataset;
}

/** `code: message` of the error, with the folder's own name left out. */
async function errorOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(UserError);
  const { diagnostic, exitCode } = error as UserError;
  expect(exitCode).toBe(1);
  return `${diagnostic.code}: ${diagnostic.message.replaceAll(folder, 'DIR')}`;
}

const readAll = async (dataset: OpenDataset) =>
  (await dataset.splits.train!.read(valid.labels.map((_, i) => i))) as SpikeSample[];
const readError = async (train: string) => errorOf(open(train).then(readAll));

describe('whole files', () => {
  test.each([
    ['valid.h5', Float32Array],
    ['validFloat32.h5', Float32Array],
    ['validFloat64.h5', Float64Array],
    ['validBigEndian.h5', Float32Array],
  ])('%s', async (file, type) => {
    const dataset = await open(file);
    const { labels, speakers } = dataset.splits.train!;
    expect(Array.from(labels)).toEqual(valid.labels);
    expect(Array.from(speakers!)).toEqual(valid.speakers);
    const samples = await readAll(dataset);
    expect(samples.every((s) => s.times instanceof type)).toBe(true);
    expect(samples.map((s) => Array.from(s.times))).toEqual(valid.times);
    expect(samples.map((s) => Array.from(s.units))).toEqual(valid.units);
  });

  test('samples come in the order asked for, as often as asked for', async () => {
    const dataset = await open('valid.h5');
    const samples = (await dataset.splits.train!.read([7, 0, 5, 7])) as SpikeSample[];
    expect(samples.map((s) => Array.from(s.units))).toEqual([7, 0, 5, 7].map((i) => valid.units[i]));
  });

  test('samples that follow one another, too', async () => {
    const dataset = await open('valid.h5');
    const indices = [3, 4, 5, 6, 2, 3];
    const samples = (await dataset.splits.train!.read(indices)) as SpikeSample[];
    expect(samples.map((s) => Array.from(s.times))).toEqual(indices.map((i) => valid.times[i]));
    expect(samples.map((s) => Array.from(s.units))).toEqual(indices.map((i) => valid.units[i]));
  });

  test('speakers may be unknown', async () => {
    const dataset = await open('noSpeakers.h5');
    expect(dataset.splits.train!.speakers).toBeNull();
    expect(dataset.splits.test!.speakers).not.toBeNull();
  });

  test('ssc brings its own validation split', async () => {
    for (const split of ['train', 'valid', 'test'])
      copyFileSync(join(fixtures, 'valid.h5'), join(folder, `ssc_${split}.h5`));
    const dataset = await ssc.open({ folder }, () => {});
    opened.push(dataset);
    expect(Object.keys(dataset.splits)).toEqual(['train', 'validation', 'test']);
  });
});

describe('missing files', () => {
  test('folder', async () => {
    expect(await errorOf(openFolder(join(folder, 'none')))).toMatchInlineSnapshot(
      `"SP701: folder "DIR/none" does not exist; shd reads "shd_train.h5" and "shd_test.h5", which can be downloaded from https://zenkelab.org/datasets/"`,
    );
  });

  test('a file instead of a folder', async () => {
    const file = join(folder, 'shd_train.h5');
    writeFileSync(file, 'x');
    expect(await errorOf(openFolder(file))).toMatchInlineSnapshot(
      `"SP701: "DIR/shd_train.h5" is a file, but "folder" must name the folder it is in; shd reads "shd_train.h5" and "shd_test.h5", which can be downloaded from https://zenkelab.org/datasets/"`,
    );
  });

  test('file', async () => {
    expect(await errorOf(openFolder())).toMatchInlineSnapshot(
      `"SP701: file "DIR/shd_train.h5" does not exist; shd reads "shd_train.h5" and "shd_test.h5", which can be downloaded from https://zenkelab.org/datasets/"`,
    );
  });

  test('one of the files', async () => {
    copyFileSync(join(fixtures, 'valid.h5'), join(folder, 'shd_train.h5'));
    expect(await errorOf(openFolder())).toMatchInlineSnapshot(
      `"SP701: file "DIR/shd_test.h5" does not exist; shd reads "shd_train.h5" and "shd_test.h5", which can be downloaded from https://zenkelab.org/datasets/"`,
    );
  });

  test('still compressed', async () => {
    writeFileSync(join(folder, 'shd_train.h5.gz'), 'x');
    expect(await errorOf(openFolder())).toMatchInlineSnapshot(
      `"SP701: "DIR/shd_train.h5.gz" is still compressed: unpack it to "DIR/shd_train.h5""`,
    );
  });
});

describe('not a whole HDF5 file', () => {
  const withContent = async (content: Uint8Array | string) => {
    writeFileSync(join(folder, 'shd_train.h5'), content);
    return errorOf(openFolder());
  };
  const whole = readFileSync(join(fixtures, 'valid.h5'));

  test('empty', async () => {
    expect(await withContent('')).toMatchInlineSnapshot(
      `"SP702: "DIR/shd_train.h5" is empty; copy or download it again"`,
    );
  });

  test('something else', async () => {
    expect(await withContent('<html>404</html>\n'.repeat(100))).toMatchInlineSnapshot(
      `"SP702: "DIR/shd_train.h5" is no HDF5 file; put the original download there"`,
    );
  });

  test('truncated', async () => {
    expect(await withContent(whole.subarray(0, 5000))).toMatchInlineSnapshot(
      `"SP702: "DIR/shd_train.h5" is truncated; copy or download it again"`,
    );
  });

  test('cut within the header', async () => {
    expect(await withContent(whole.subarray(0, 20))).toMatchInlineSnapshot(
      `"SP702: "DIR/shd_train.h5" is damaged: HDF5 cannot open it; copy or download it again"`,
    );
  });

  test('a folder', async () => {
    mkdirSync(join(folder, 'shd_train.h5'));
    expect(await errorOf(openFolder())).toMatchInlineSnapshot(
      `"SP702: "DIR/shd_train.h5" is damaged: HDF5 cannot open it; copy or download it again"`,
    );
  });

  test('damaged inside', async () => {
    const damaged = Buffer.from(whole);
    damaged.fill(0xaa, damaged.indexOf('GCOL'), damaged.indexOf('GCOL') + 4);
    writeFileSync(join(folder, 'shd_train.h5'), damaged);
    copyFileSync(join(fixtures, 'valid.h5'), join(folder, 'shd_test.h5'));
    expect(await errorOf(openFolder().then(readAll))).toMatchInlineSnapshot(
      `"SP707: "DIR/shd_train.h5" is damaged: HDF5 cannot read sample 0; copy or download it again"`,
    );
  });
});

test('random damage gives samples or a UserError, nothing else', async () => {
  const whole = readFileSync(join(fixtures, 'valid.h5'));
  const outcomes = new Set<string>();
  let run = 0;
  const damage = fc.tuple(fc.nat(whole.length - 16), fc.integer({ min: 1, max: 16 }), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(damage, async ([start, length, value]) => {
      // HDF5 keeps a file open that it failed to close: each needs a name of its own.
      const path = join(folder, String(run++));
      mkdirSync(path);
      writeFileSync(join(path, 'shd_train.h5'), Buffer.from(whole).fill(value, start, start + length));
      copyFileSync(join(fixtures, 'valid.h5'), join(path, 'shd_test.h5'));
      const code = await openFolder(path)
        .then(readAll)
        .then(
          () => 'whole',
          (error: unknown) => (error instanceof UserError ? error.diagnostic.code : String(error)),
        );
      expect(code).toMatch(/^(whole|SP70\d)$/);
      outcomes.add(code);
    }),
    { numRuns: 100, seed: 1 },
  );
  expect(outcomes).toContain('whole');
  expect(outcomes).toContain('SP707');
});

describe('another layout', () => {
  test.each([
    'noUnits.h5',
    'noLabels.h5',
    'labelOutOfRange.h5',
    'unitOutOfRange.h5',
    'fewerLabels.h5',
    'fewerSpeakers.h5',
    'unequalSample.h5',
    'noSamples.h5',
    'integerTimes.h5',
    'fixedLength.h5',
    'realLabels.h5',
  ])('%s', async (file) => {
    expect(await readError(file)).toMatchSnapshot();
  });
});

describe('names of the classes', () => {
  const names = Array.from({ length: 20 }, (_, i) => `word ${i}`);

  async function withKeys(keys: readonly (string | number)[]): Promise<OpenDataset> {
    const path = join(folder, 'shd_train.h5');
    copyFileSync(join(fixtures, 'valid.h5'), path);
    const { File, ready } = await import('h5wasm/node');
    await ready;
    const file = new File(path, 'a');
    const data = typeof keys[0] === 'string' ? (keys as string[]) : Int32Array.from(keys as number[]);
    file.create_dataset({ name: 'extra/keys', data });
    file.close();
    copyFileSync(join(fixtures, 'valid.h5'), join(folder, 'shd_test.h5'));
    return openFolder();
  }

  test('are in the file', async () => {
    expect((await withKeys(names)).classNames).toEqual(names);
  });

  test('are unknown where the file has none', async () => {
    expect((await open('valid.h5')).classNames).toBeUndefined();
  });

  test.each([
    ['not one for each class', names.slice(1)],
    ['numbers', names.map((_, i) => i)],
  ])('are unknown where it has %s', async (_, keys) => {
    expect((await withKeys(keys)).classNames).toBeUndefined();
  });
});
