import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockRun } from '../../src/train/runLock.ts';

let root: string;
let folder: string;
const lock = () => join(folder, 'lock');
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sparchc-'));
  folder = join(root, 'runs', 'mine');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Leaves the lock of another process. */
async function heldBy(holder: object): Promise<void> {
  const release = await lockRun(folder);
  writeFileSync(join(folder, 'kept'), '');
  await release();
  writeFileSync(lock(), JSON.stringify(holder));
}

describe('lockRun', () => {
  it('keeps a second one out until the first is released, and leaves no empty folder', async () => {
    const release = await lockRun(folder);
    await expect(lockRun(folder)).rejects.toThrow(`process ${process.pid} is training in "${folder}"; wait for it`);
    await release();
    expect(readdirSync(root)).toEqual([]);
    await (await lockRun(folder))();
  });

  it('leaves the folder above that was there before', async () => {
    mkdirSync(join(root, 'runs'));
    await (await lockRun(folder))();
    expect(readdirSync(root)).toEqual(['runs']);
    expect(readdirSync(join(root, 'runs'))).toEqual([]);
  });

  it('lets one of several in', async () => {
    const all = await Promise.allSettled(Array.from({ length: 8 }, () => lockRun(folder)));
    expect(all.filter((r) => r.status === 'fulfilled')).toHaveLength(1);
  });

  it('takes over the lock of a process that has ended', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    await heldBy({ pid, host: hostname() });
    const release = await lockRun(folder);
    expect(JSON.parse(readFileSync(lock(), 'utf8')).pid).toBe(process.pid);
    await release();
    expect(existsSync(lock())).toBe(false);
  });

  it('believes another machine as long as its process gives signs of life', async () => {
    await heldBy({ pid: 7, host: 'elsewhere' });
    await expect(lockRun(folder)).rejects.toThrow('process 7 on elsewhere is training');
    const past = new Date(Date.now() - 130_000);
    utimesSync(lock(), past, past);
    await (await lockRun(folder))();
  });

  it('waits for a lock whose holder is not written yet', async () => {
    await heldBy({});
    await expect(lockRun(folder)).rejects.toThrow('another process is training');
  });
});
