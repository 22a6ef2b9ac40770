import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { cachePath, isIntact, makeCacheFolder, type WriteFile } from '../../src/data/cacheFolder.ts';

const base = mkdtempSync(join(tmpdir(), 'sparchc-'));
afterAll(() => rmSync(base, { recursive: true }));
afterEach(() => void vi.unstubAllEnvs());

const twoFiles = async (write: WriteFile) => {
  write('a', Buffer.from('one'));
  write('b', Buffer.from('two'));
};

test("is in the user's cache, under a name for each key", () => {
  vi.stubEnv('XDG_CACHE_HOME', base);
  expect(cachePath('digits', { seed: 1 })).toMatch(new RegExp(`^${base}/sparchc/digits-[0-9a-f]{16}$`));
  expect(cachePath('digits', { seed: 1 })).not.toBe(cachePath('digits', { seed: 2 }));
  // Relative paths are invalid and to be ignored, says the XDG specification.
  for (const value of ['', 'relative']) {
    vi.stubEnv('XDG_CACHE_HOME', value);
    expect(cachePath('digits', {})).toContain(join(homedir(), '.cache', 'sparchc', 'digits-'));
  }
});

test('is intact only with exactly the files as they were written', async () => {
  const folder = join(base, 'whole');
  expect(isIntact(folder, ['a', 'b'])).toBe(false);
  await makeCacheFolder(folder, twoFiles);
  expect(isIntact(folder, ['a', 'b'])).toBe(true);
  expect(readFileSync(join(folder, 'SHA256SUMS'), 'utf8')).toBe(
    ['one', 'two'].map((text, i) => `${createHash('sha256').update(text).digest('hex')}  ${'ab'[i]}\n`).join(''),
  );
  expect(isIntact(folder, ['a'])).toBe(false);
  expect(isIntact(folder, ['a', 'c'])).toBe(false);
  appendFileSync(join(folder, 'b'), '!');
  expect(isIntact(folder, ['a', 'b'])).toBe(false);
  await makeCacheFolder(folder, twoFiles);
  expect(isIntact(folder, ['a', 'b'])).toBe(true);
  rmSync(join(folder, 'a'));
  expect(isIntact(folder, ['a', 'b'])).toBe(false);
});

test('a failure leaves nothing, and what a killed process left is removed', async () => {
  const parent = join(base, 'failures');
  const folder = join(parent, 'x');
  const failing = makeCacheFolder(folder, async (write) => {
    write('a', Buffer.from('one'));
    throw new Error('broken');
  });
  await expect(failing).rejects.toThrow('broken');
  expect(readdirSync(parent)).toEqual([]);

  // No process has an id beyond 2^22; that of the parent is at work.
  const [abandoned, inUse] = [`${folder}.partial-99999999-x`, `${folder}.partial-${process.ppid}-x`];
  mkdirSync(abandoned);
  mkdirSync(inUse);
  await makeCacheFolder(folder, twoFiles);
  expect([existsSync(abandoned), existsSync(inUse), existsSync(folder)]).toEqual([false, true, true]);
});

test('a folder that another process has made meanwhile stays', async () => {
  const folder = join(base, 'raced');
  await makeCacheFolder(folder, async (write) => {
    await twoFiles(write);
    await makeCacheFolder(join(base, 'other'), twoFiles);
    renameSync(join(base, 'other'), folder);
    utimesSync(folder, 1, 1);
  });
  expect(statSync(folder).mtimeMs).toBe(1000);
  expect(isIntact(folder, ['a', 'b'])).toBe(true);
});

test('a cache that cannot be written is named', async () => {
  const file = join(base, 'file');
  writeFileSync(file, '');
  await expect(makeCacheFolder(join(file, 'x'), twoFiles)).rejects.toMatchObject({
    message: `cannot make "${join(file, 'x')}": it cannot be written (ENOTDIR); set XDG_CACHE_HOME to another folder`,
  });
});
