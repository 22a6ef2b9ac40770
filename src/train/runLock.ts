import { mkdir, readFile, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isRunning } from '../data/isRunning.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { writeError } from './atomicFile.ts';

/** Where the lock of a run folder is. */
export const lockName = 'lock';

/** The holder touches its lock this often; one that was not touched for so long is nobody's. In milliseconds. */
const beat = 15_000;
const silence = 120_000;

/** How long two that find the same abandoned lock wait to see which of them has it. */
const settling = 100;

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/**
 * Keeps other processes from training in a folder, which is made where it is missing; returns what releases it. A
 * lock whose process has ended, or gave no sign of life for two minutes, is taken over.
 *
 * @throws UserError SP828 another process trains there, SP811 the folder cannot be written.
 */
export async function lockRun(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, lockName);
  const own = JSON.stringify({ pid: process.pid, host: hostname(), started: new Date().toISOString() });
  const made = await take(folder, path, own);
  const heart = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), beat);
  heart.unref();
  return async () => {
    clearInterval(heart);
    await rm(path, { force: true });
    await removeEmpty(resolve(folder), made);
  };
}

/** Where nothing was written, nothing is left behind: removes a folder, and those above it from `top` on. */
async function removeEmpty(folder: string, top: string | undefined): Promise<void> {
  try {
    await rmdir(folder);
  } catch {
    // Something is in it.
    return;
  }
  if (top !== undefined && folder !== resolve(top)) await removeEmpty(dirname(folder), top);
}

/** Gives the first folder that was made on the way. */
async function take(folder: string, path: string, own: string): Promise<string | undefined> {
  let made: string | undefined;
  try {
    made = await mkdir(folder, { recursive: true });
    await writeFile(path, own, { flag: 'wx' });
    return made;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw writeError(path, error);
  }
  const holder = await livingHolder(path);
  if (holder) throw taken(folder, path, holder);
  await writeFile(path, own);
  await setTimeout(settling);
  const winner = await readFile(path, 'utf8');
  if (winner !== own) throw taken(folder, path, parse(winner));
  return made;
}

/** Who holds a lock; null where it is abandoned. */
async function livingHolder(path: string): Promise<Holder | null> {
  try {
    const { mtimeMs } = await stat(path);
    const holder = parse(await readFile(path, 'utf8'));
    const ended = holder.host === hostname() && !isRunning(holder.pid);
    return ended || Date.now() - mtimeMs > silence ? null : holder;
  } catch (error) {
    // Released just now.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function parse(text: string): Holder {
  try {
    const { pid, host } = JSON.parse(text);
    if (Number.isInteger(pid) && pid > 0 && typeof host === 'string') return { pid, host };
  } catch {
    // Falls through: whoever makes a lock has created the file and not yet written it.
  }
  return { pid: 0, host: 'unknown' };
}

function taken(folder: string, path: string, { pid, host }: Holder): UserError {
  const who = pid > 0 ? `process ${pid}${host === hostname() ? '' : ` on ${host}`}` : 'another process';
  const message = `${who} is training in "${folder}"; wait for it, or choose another folder with --out (a lock left by a process that has ended frees itself, at the latest after two minutes: "${path}")`;
  return new UserError('SP828', message, { exitCode: 2 });
}
