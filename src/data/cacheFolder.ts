import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { UserError } from '../diagnostics/diagnostic.ts';
import { isRunning } from './isRunning.ts';

/** Lists the files and their checksums, to be checked also with `sha256sum -c`. */
const CHECKSUMS = 'SHA256SUMS';

/** A folder in the user's cache (XDG base directories), whose name tells what is in it. */
export function cachePath(name: string, key: unknown): string {
  const { XDG_CACHE_HOME: base = '' } = process.env;
  const hash = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 16);
  return join(isAbsolute(base) ? base : join(homedir(), '.cache'), 'sparchc', `${name}-${hash}`);
}

/** Whether a folder holds exactly these files, all of them as they were written. */
export function isIntact(folder: string, files: readonly string[]): boolean {
  try {
    const lines = readFileSync(join(folder, CHECKSUMS), 'utf8').trimEnd().split('\n');
    const sums = new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
    return sums.size === files.length && files.every((f) => sums.get(f) === sha256(readFileSync(join(folder, f))));
  } catch {
    return false;
  }
}

/**
 * A folder that is not there, or not whole, until all of its files are written. `make` writes them; where it throws,
 * nothing is left. Where another process has made the same folder meanwhile, that one is used.
 *
 * @throws UserError SP732 the cache cannot be written.
 */
export async function makeCacheFolder(folder: string, make: (write: WriteFile) => Promise<void>): Promise<void> {
  const partial = `${folder}.partial-${process.pid}-${randomUUID()}`;
  const sums = new Map<string, string>();
  const write: WriteFile = (name, content) => {
    writing(folder, () => writeFileSync(join(partial, name), content));
    sums.set(name, sha256(content));
  };
  writing(folder, () => {
    removeAbandoned(folder);
    mkdirSync(partial, { recursive: true });
  });
  try {
    await make(write);
    writing(folder, () => {
      writeFileSync(join(partial, CHECKSUMS), checksums(sums));
      if (!isIntact(folder, [...sums.keys()])) replaceFolder(folder, partial);
    });
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** As sha256sum writes and checks them. */
function checksums(sums: ReadonlyMap<string, string>): string {
  const names = [...sums.keys()].sort();
  return names.map((name) => `${sums.get(name)}  ${name}\n`).join('');
}

function replaceFolder(folder: string, by: string): void {
  rmSync(folder, { recursive: true, force: true });
  renameSync(by, folder);
}

export type WriteFile = (name: string, content: Buffer) => void;

/** Removes what processes left that were killed while they made the folder. */
function removeAbandoned(folder: string): void {
  if (!existsSync(dirname(folder))) return;
  const prefix = `${basename(folder)}.partial-`;
  for (const name of readdirSync(dirname(folder))) {
    if (!name.startsWith(prefix) || isRunning(Number.parseInt(name.slice(prefix.length), 10))) continue;
    rmSync(join(dirname(folder), name), { recursive: true, force: true });
  }
}

function writing<T>(folder: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isFull = code === 'ENOSPC' || code === 'EDQUOT';
    const reason = isFull ? 'the disk is full; free some space, or' : `it cannot be written (${code});`;
    const message = `cannot make "${folder}": ${reason} set XDG_CACHE_HOME to another folder`;
    throw new UserError('SP732', message, { cause: error });
  }
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
