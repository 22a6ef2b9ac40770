import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeFileAtomically } from '../../src/train/atomicFile.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sparchc-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('replaces a file and leaves nothing else behind', async () => {
  const path = join(root, 'file');
  await writeFileAtomically(path, 'first');
  await writeFileAtomically(path, [Uint8Array.of(65, 66), Uint8Array.of(), Uint8Array.of(67)]);
  expect(readFileSync(path, 'utf8')).toBe('ABC');
  expect(readdirSync(root)).toEqual(['file']);
});

it('says why a path cannot be written', async () => {
  writeFileSync(join(root, 'file'), '');
  await expect(writeFileAtomically(join(root, 'file', 'x'), '')).rejects.toThrow(
    'part of its path is a file, not a folder',
  );
  await expect(writeFileAtomically(join(root, 'gone', 'x'), '')).rejects.toThrow('its folder does not exist');
});

it.skipIf(process.platform === 'win32')('keeps the old content when only part of the new one fits', () => {
  const path = join(root, 'file');
  writeFileSync(path, 'old');
  const script = `
    process.on('SIGXFSZ', () => {});
    const { writeFileAtomically } = await import(${JSON.stringify(new URL('../../dist/train/atomicFile.js', import.meta.url).href)});
    await writeFileAtomically(${JSON.stringify(path)}, [Buffer.alloc(50_000), Buffer.alloc(1_000_000)]).catch((error) => console.log(error.message));`;
  // A limit on file sizes makes the first write a short one, as a full disk does.
  const limited = 'ulimit -f 100 && exec "$0" --input-type=module -e "$1"';
  const output = execFileSync('bash', ['-c', limited, process.execPath, script], { encoding: 'utf8' });
  expect(output).toContain('it would exceed the largest size a file may have here');
  expect(readFileSync(path, 'utf8')).toBe('old');
  expect(readdirSync(root)).toEqual(['file']);
});
