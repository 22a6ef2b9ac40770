import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DataConfig } from '../../src/data/config.ts';
import { audioFolder } from '../../src/data/datasets/audioFolder.ts';
import { hd } from '../../src/data/datasets/hd.ts';
import { sc } from '../../src/data/datasets/sc.ts';
import type { DatasetDefinition, OpenDataset, SampleOf, SplitName } from '../../src/data/definition.ts';
import { type LoadedBatch, openLoader } from '../../src/data/loader.ts';
import { fbank } from '../../src/data/transforms/fbank.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { wavFile } from './audio/wavFile.ts';
import { defaultParams } from './defaultParams.ts';

const shared = fileURLToPath(new URL('../../../shared/data/', import.meta.url));
const flac = readFileSync(new URL('../fixtures/audio/flac16.flac', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A tone whose frequency tells the class. */
const tone = (label: number, samples = 800) =>
  wavFile(
    Float32Array.from({ length: samples }, (_, i) => 0.5 * Math.sin((i * (label + 1)) / 10)),
    16000,
  );

function write(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}

const open = (dataset: DatasetDefinition, given: object = {}): Promise<OpenDataset> =>
  dataset.open({ ...defaultParams(dataset), folder, ...given }, () => {});

/** `code: message` of the error, with the folder's own name left out. */
async function errorOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(UserError);
  const { diagnostic } = error as UserError;
  return `${diagnostic.code}: ${diagnostic.message.replaceAll(folder, 'DIR')}`;
}

/** One batch of the training split behind fbank. */
async function firstBatch(dataset: DatasetDefinition, given: object = {}): Promise<LoadedBatch> {
  const config: DataConfig = {
    source: { type: dataset.name, params: { ...defaultParams(dataset), folder, ...given } },
    transforms: [{ type: 'fbank', params: defaultParams(fbank) }],
    validation: { type: 'test', params: {} },
  };
  const loader = await openLoader(config, { batch: 100, seed: 1 });
  for await (const loaded of loader.batches({ split: 'train', epoch: 0, shuffle: false, from: 0 })) return loaded;
  throw new Error('no batches');
}

const labelsOf = (dataset: OpenDataset, split: SplitName) => Array.from(dataset.splits[split]!.labels);
const speakersOf = (dataset: OpenDataset, split: SplitName) => Array.from(dataset.splits[split]!.speakers!);

describe('hd', () => {
  const names = [
    'lang-english_speaker-00_trial-0_digit-7.wav',
    'lang-german_speaker-03_trial-12_digit-9.wav',
    'lang-german_speaker-11_trial-3_digit-0.flac',
  ];
  beforeEach(() => {
    for (const [i, name] of names.entries()) write(`audio/${name}`, name.endsWith('flac') ? flac : tone(i));
    write('train_filenames.txt', `${names[0]}\n${names[1]}\r\n\n`);
    write('test_filenames.txt', names[2]);
  });

  test('classes, speakers and recordings', async () => {
    const dataset = await open(hd);
    expect([labelsOf(dataset, 'train'), labelsOf(dataset, 'test')]).toEqual([[7, 19], [10]]);
    expect([speakersOf(dataset, 'train'), speakersOf(dataset, 'test')]).toEqual([[0, 3], [11]]);
    const [wav] = await dataset.splits.train!.read([1]);
    expect(wav).toMatchObject({ kind: 'waveform', rate: 16000 });
    const [encoded] = (await dataset.splits.test!.read([0])) as SampleOf<'waveform'>[];
    expect(encoded.samples.length).toBe(400);
    expect(dataset.warnings).toEqual([]);
  });

  test('a list that names a missing file', async () => {
    rmSync(join(folder, 'audio', names[0]));
    const dataset = await open(hd);
    expect(labelsOf(dataset, 'train')).toEqual([19]);
    expect(dataset.warnings).toEqual([`left out 1 recording of the train split: "audio/${names[0]}" does not exist`]);
    expect(await errorOf(open(hd, { strict: true }))).toBe(
      `SP722: "audio/${names[0]}" does not exist; mend or remove it, or leave out "strict"`,
    );
  });

  test('nothing that the list names is there', async () => {
    rmSync(join(folder, 'audio', names[2]));
    expect(await errorOf(open(hd))).toBe(
      `SP723: the test split of "DIR" has no recordings; "audio/${names[2]}" does not exist`,
    );
  });

  test('an empty list', async () => {
    write('train_filenames.txt', '\n \n');
    expect(await errorOf(open(hd))).toBe(
      'SP720: "DIR/train_filenames.txt" is empty; it must name a recording in each line',
    );
  });

  test('a list of something else', async () => {
    write('train_filenames.txt', 'speech.wav');
    expect(await errorOf(open(hd))).toMatchInlineSnapshot(
      `"SP721: "DIR/train_filenames.txt" names "speech.wav"; names must be like "lang-english_speaker-00_trial-0_digit-0.flac""`,
    );
  });

  test('missing parts', async () => {
    rmSync(join(folder, 'test_filenames.txt'));
    expect(await errorOf(open(hd))).toMatch(/^SP701: file "DIR\/test_filenames.txt" does not exist; hd reads/);
    rmSync(join(folder, 'audio'), { recursive: true });
    expect(await errorOf(open(hd))).toMatch(/^SP701: folder "DIR\/audio" does not exist; hd reads/);
    expect(await errorOf(open(hd, { folder: join(folder, 'none') }))).toMatch(
      /^SP701: folder "DIR\/none" does not exist/,
    );
  });
});

describe('sc', () => {
  beforeEach(() => {
    for (const name of ['0a7c2a8d_nohash_0', '0a7c2a8d_nohash_1', 'ffd2ba2f_nohash_0']) {
      write(`bed/${name}.wav`, tone(0));
      write(`zero/${name}.wav`, tone(1));
    }
    write('_background_noise_/pink_noise.wav', tone(2));
    write('validation_list.txt', 'bed/0a7c2a8d_nohash_1.wav\n');
    write('testing_list.txt', 'zero/ffd2ba2f_nohash_0.wav\nbed/ffd2ba2f_nohash_0.wav\n');
  });

  test('what no list names is for training, without the noise', async () => {
    const dataset = await open(sc);
    expect(labelsOf(dataset, 'train')).toEqual([1, 34, 34]);
    expect(labelsOf(dataset, 'validation')).toEqual([1]);
    expect(labelsOf(dataset, 'test')).toEqual([34, 1]);
    expect(new Set(speakersOf(dataset, 'train'))).toEqual(new Set([0x0a7c2a8d]));
    expect(dataset.splits.train!.nameOf!(2)).toBe('"zero/0a7c2a8d_nohash_1.wav"');
    expect(dataset.warnings).toEqual([]);
  });

  test('folders that are no words', async () => {
    write('hello/a.wav', tone(3));
    expect((await open(sc)).warnings).toEqual([
      'left out what is no word of Speech Commands in "' + folder + '": hello',
    ]);
    write('testing_list.txt', 'hello/a.wav');
    expect(await errorOf(open(sc))).toBe(
      'SP721: "DIR/testing_list.txt" names "hello/a.wav"; it must be the folder of one of the 35 words, "/" and a file',
    );
  });

  test('an empty list, and none', async () => {
    write('testing_list.txt', '');
    expect(await errorOf(open(sc))).toMatch(/^SP720: "DIR\/testing_list.txt" is empty/);
    rmSync(join(folder, 'testing_list.txt'));
    expect(await errorOf(open(sc))).toMatch(/^SP701: file "DIR\/testing_list.txt" does not exist; sc reads/);
  });
});

describe('audio_folder', () => {
  const people = ['ann', 'bob', 'cy', 'dee', 'eve'];
  beforeEach(() => {
    for (const [label, word] of ['no', 'yes'].entries()) {
      for (const person of people) {
        for (let take = 0; take < 2; take++) write(`${word}/${person}_${take}.wav`, tone(label));
      }
    }
  });

  test('a share of each class is for testing', async () => {
    const dataset = await open(audioFolder, { classes: 2 });
    expect(dataset.classNames).toEqual(['no', 'yes']);
    expect(dataset.rate).toBe(16_000);
    expect(labelsOf(dataset, 'test')).toEqual([0, 0, 1, 1]);
    expect(labelsOf(dataset, 'train').length).toBe(16);
    expect(dataset.splits.train!.speakers).toBeNull();
    const names = (d: OpenDataset) => [0, 1, 2, 3].map((i) => d.splits.test!.nameOf!(i));
    expect(names(await open(audioFolder, { classes: 2 }))).toEqual(names(dataset));
    expect(names(await open(audioFolder, { classes: 2, seed: 2 }))).not.toEqual(names(dataset));
  });

  test('with speakers, no speaker is on both sides', async () => {
    const dataset = await open(audioFolder, { classes: 2, speaker: '^([a-z]+)_', test: 0.4 });
    const [train, test] = [speakersOf(dataset, 'train'), speakersOf(dataset, 'test')].map((s) => new Set(s));
    expect([train.size, test.size]).toEqual([3, 2]);
    expect([...train].some((s) => test.has(s))).toBe(false);
  });

  test('a list, with speakers and splits', async () => {
    const rows = people.flatMap((person, i) => [
      `no/${person}_0.wav,"never, ever",${person},${['train', 'train', 'train', 'validation', 'test'][i]}`,
      `yes/${person}_1.wav,always,${person},${['train', 'train', 'train', 'validation', 'test'][i]}`,
    ]);
    write('list.csv', ['file,class,speaker,split', ...rows].join('\n'));
    const dataset = await open(audioFolder, { classes: 2, list: join(folder, 'list.csv') });
    expect(dataset.classNames).toEqual(['always', 'never, ever']);
    expect(labelsOf(dataset, 'train')).toEqual([1, 0, 1, 0, 1, 0]);
    expect(labelsOf(dataset, 'validation')).toEqual([1, 0]);
    expect(speakersOf(dataset, 'test')).toEqual([4, 4]);
  });

  test.each([
    [
      'file,class\n',
      'SP720: "DIR/list.csv" lists no recordings; it needs a header such as file,class and a line for each',
    ],
    [
      'path,class\na,b',
      'SP721: recording 1 in "DIR/list.csv" has no "file"; each needs a "file" and a "class", and splits are train, validation, test',
    ],
    [
      'file,class,split\nno/ann_0.wav,x,dev',
      'SP721: recording 1 in "DIR/list.csv" has the split "dev"; each needs a "file" and a "class", and splits are train, validation, test',
    ],
    [
      'file,class,split\nno/ann_0.wav,x,test\nyes/ann_0.wav,y,',
      'SP721: "DIR/list.csv" names no split for "DIR/yes/ann_0.wav", but does for others; name it for all',
    ],
  ])('a list that cannot be used: %j', async (text, message) => {
    write('list.csv', text);
    expect(await errorOf(open(audioFolder, { classes: 2, list: join(folder, 'list.csv') }))).toBe(message);
  });

  test('a class with no files', async () => {
    mkdirSync(join(folder, 'maybe'));
    expect(await errorOf(open(audioFolder, { classes: 3 }))).toBe(
      'SP726: the class folder "DIR/maybe" has no WAV or FLAC files; add some, or remove it',
    );
  });

  test('another number of classes', async () => {
    expect(await errorOf(open(audioFolder, { classes: 3 }))).toBe(
      'SP726: "DIR" has 2 classes (no, yes), not 3; set classes=2',
    );
  });

  test('speakers that cannot be found', async () => {
    expect(await errorOf(open(audioFolder, { classes: 2, speaker: '^(\\d+)_' }))).toMatch(
      /^SP721: speaker="\^\(\\d\+\)_" finds no speaker in "ann_0.wav"/,
    );
    expect(await errorOf(open(audioFolder, { classes: 2, speaker: '(' }))).toMatch(/is not a regular expression/);
  });

  test('recordings that cannot be used are named and skipped, or end the run', async () => {
    write('no/ann_0.wav', 'text');
    write('no/bob_0.wav', tone(0).subarray(0, 500));
    write('no/cy_0.wav', tone(0, 0));
    write('no/dee_0.wav', tone(0, 100));
    write('no/eve_0.wav', wavFile(new Float32Array(0), 16000, { promise: 7200 * 16000 }));
    truncateSync(join(folder, 'no/eve_0.wav'), 44 + 7200 * 32000);
    write('yes/ann_0.wav', flac.subarray(0, 500));
    write('yes/bob_0.wav', '');
    const files = ['no', 'yes'].flatMap((word) => people.map((person) => `${word}/${person}`));
    const rows = files.flatMap((file) => {
      const [word] = file.split('/');
      return [`${file}_0.wav,${word},train`, `${file}_1.wav,${word},test`];
    });
    write('list.csv', ['file,class,split', ...rows].join('\n'));
    const given = { classes: 2, list: join(folder, 'list.csv') };
    const dataset = await open(audioFolder, given);
    expect(dataset.warnings).toEqual(['left out 1 recording of the train split: "yes/bob_0.wav" is empty']);
    const { batch, skipped } = await firstBatch(audioFolder, given);
    expect(batch.size).toBe(3);
    expect(Array.from(batch.labels)).toEqual([1, 1, 1]);
    expect(skipped).toEqual([
      '"no/ann_0.wav" is neither a WAV nor a FLAC file',
      '"no/bob_0.wav" is truncated: its header promises 0.05 s, but the file holds 0.01 s',
      '"no/cy_0.wav" has no samples',
      '"no/dee_0.wav" is too short: 0.00625 s, but a frame of fbank takes 0.025 s',
      '"no/eve_0.wav" lasts 7200 s, longer than max_duration=60s',
      '"yes/ann_0.wav" is truncated or damaged: 0.00 s of 0.03 s can be decoded',
    ]);
    write('yes/bob_0.wav', tone(1));
    expect(await errorOf(firstBatch(audioFolder, { ...given, strict: true }))).toBe(
      'SP722: "no/ann_0.wav" is neither a WAV nor a FLAC file; mend or remove it, or leave out "strict" to skip such samples',
    );
  });

  test('a batch with nothing in it ends the run', async () => {
    for (const person of people) {
      for (const file of [`no/${person}_0.wav`, `no/${person}_1.wav`, `yes/${person}_0.wav`, `yes/${person}_1.wav`]) {
        write(file, 'text');
      }
    }
    expect(await errorOf(firstBatch(audioFolder, { classes: 2 }))).toMatch(
      /^SP723: none of the 16 samples of a batch can be used; "no\/\w+.wav" is neither a WAV nor a FLAC file$/,
    );
  });
});

test('assume_rate: the shape, and a warning', async () => {
  write('a/1.wav', tone(0));
  write('a/2.wav', tone(0));
  write('b/1.wav', tone(1));
  write('b/2.wav', tone(1));
  const given = { classes: 2, assume_rate: 8000 };
  expect(audioFolder.describe({ ...defaultParams(audioFolder), folder, ...given })).toEqual({
    kind: 'waveform',
    features: 1,
    classes: 2,
    rate: 8000,
    speakers: false,
  });
  const dataset = await open(audioFolder, given);
  expect(dataset.warnings).toEqual([expect.stringContaining('assume_rate=8000Hz reads recordings as if')]);
  expect(await dataset.splits.train!.read([0])).toMatchObject([{ rate: 8000 }]);
});

const hasShared = existsSync(shared);
if (!hasShared) console.warn(`skipping tests on real recordings: there is no ${shared}`);

describe.skipIf(!hasShared)('real recordings', () => {
  test('hd-mini', async () => {
    const dataset = await open(hd, { folder: join(shared, 'hd-mini') });
    expect([labelsOf(dataset, 'train').length, labelsOf(dataset, 'test').length]).toEqual([800, 170]);
    const speakers = new Set(speakersOf(dataset, 'train'));
    expect([speakers.has(4), speakers.has(5)]).toEqual([false, false]);
    const indices = Array.from({ length: 170 }, (_, i) => i);
    const samples = await dataset.splits.test!.read(indices);
    expect(samples.every((s) => s.kind === 'waveform' && s.rate === 16000)).toBe(true);
  });

  test('sc-mini', async () => {
    const dataset = await open(sc, { folder: join(shared, 'sc-mini') });
    expect(['train', 'validation', 'test'].map((s) => labelsOf(dataset, s as SplitName).length)).toEqual([257, 51, 92]);
    expect(new Set(labelsOf(dataset, 'train')).size).toBe(10);
    const held = new Set([...speakersOf(dataset, 'validation'), ...speakersOf(dataset, 'test')]);
    expect(speakersOf(dataset, 'train').some((s) => held.has(s))).toBe(false);
  });
});
