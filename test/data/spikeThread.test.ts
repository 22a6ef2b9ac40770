import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { OpenDataset } from '../../src/data/definition.ts';
import { openSpikeFiles } from '../../src/data/hdf5Spikes.ts';
import { openSpikeFolder } from '../../src/data/spikeThread.ts';

const fixtures = fileURLToPath(new URL('../fixtures/data/', import.meta.url));

let folder: string;
let opened: OpenDataset | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
  opened = null;
});

afterEach(() => {
  opened?.close();
  rmSync(folder, { recursive: true });
});

const source = () => ({ dataset: 'shd', folder, files: { test: 'a.h5' }, units: 700, classes: 20, origin: 'nowhere' });

async function open(seconds?: number): Promise<OpenDataset> {
  opened = await openSpikeFolder(source(), seconds);
  return opened;
}

test('a file gives what it gives without a thread, several requests at once in their order', async () => {
  copyFileSync(join(fixtures, 'valid.h5'), join(folder, 'a.h5'));
  const direct = await openSpikeFiles(source());
  const dataset = await open();
  expect(dataset.splits).toMatchObject({ test: { labels: direct.splits.test!.labels } });
  const wanted = [[3, 4, 0], [11], [5, 4]];
  const read = await Promise.all(wanted.map((indices) => dataset.splits.test!.read(indices)));
  expect(read).toEqual(wanted.map((indices) => direct.splits.test!.read(indices)));
  direct.close();
});

test('what is wrong with a file is said as without a thread', async () => {
  copyFileSync(join(fixtures, 'noUnits.h5'), join(folder, 'a.h5'));
  const said = await openSpikeFiles(source()).catch((error) => error.diagnostic);
  await expect(open()).rejects.toMatchObject({ diagnostic: said });
});

const damaged = () => ({
  diagnostic: {
    code: 'SP707',
    message: `"${join(folder, 'a.h5')}" is damaged: HDF5 cannot read it; copy or download it again`,
  },
});

test('a damaged file that HDF5 finds no end in is refused', async () => {
  copyFileSync(join(fixtures, 'endless.h5'), join(folder, 'a.h5'));
  const readAll = async ({ splits: { test: split } }: OpenDataset) => split!.read([...split!.labels.keys()]);
  await expect(open(1).then(readAll)).rejects.toMatchObject(damaged());
});

test('after it has ended, the thread gives no samples', async () => {
  copyFileSync(join(fixtures, 'valid.h5'), join(folder, 'a.h5'));
  const dataset = await open();
  dataset.close();
  await expect(dataset.splits.test!.read([0])).rejects.toMatchObject(damaged());
  await expect(dataset.splits.test!.read([0])).rejects.toMatchObject(damaged());
});

test('a damaged sample is named', async () => {
  const bytes = readFileSync(join(fixtures, 'valid.h5'));
  bytes.fill(0xaa, bytes.indexOf('GCOL'), bytes.indexOf('GCOL') + 4);
  writeFileSync(join(folder, 'a.h5'), bytes);
  const dataset = await open();
  await expect(dataset.splits.test!.read([4, 5])).rejects.toThrow('HDF5 cannot read sample 4;');
});
