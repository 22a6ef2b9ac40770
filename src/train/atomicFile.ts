import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UserError } from '../diagnostics/diagnostic.ts';

/**
 * Replaces a file as a whole: whoever reads `path`, also after a crash or a power cut, finds the old content or the new
 * one. (write-file-atomic ignores short writes, so that on a nearly full disk it publishes a truncated file.)
 * Throws UserError SP811 where the folder is read-only or the disk full; the old content is then untouched.
 */
export async function writeFileAtomically(path: string, content: string | readonly Uint8Array[]): Promise<void> {
  const temporary = `${path}.tmp`;
  const pieces = typeof content === 'string' ? [Buffer.from(content)] : content;
  try {
    await writeDurably(temporary, pieces);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw writeError(path, error);
  }
}

async function writeDurably(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    await writeAll(file, pieces);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  const { bytesWritten } = await file.writev(pieces);
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  // Writing the rest says what is in the way.
  if (bytesWritten < bytes) await file.writeFile(Buffer.concat(pieces).subarray(bytesWritten));
}

/** Makes a rename in `folder` survive a power cut. Windows cannot open folders and does not need it. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space and go on with --resume',
  EDQUOT: 'the disk quota is used up; free some space and go on with --resume',
  EFBIG: 'it would exceed the largest size a file may have here (see "ulimit -f")',
  EACCES: 'writing there is not permitted; choose another folder with --out',
  EPERM: 'writing there is not permitted; choose another folder with --out',
  EROFS: 'the file system is read-only; choose another folder with --out',
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'part of its path is a file, not a folder; choose another folder with --out',
};

/** The UserError for a failed write to `path`; what is no user's fault comes back as it is. */
export function writeError(path: string, error: unknown): unknown {
  const reason = REASONS[(error as NodeJS.ErrnoException).code ?? ''];
  return reason ? new UserError('SP811', `cannot write "${path}": ${reason}`, { cause: error }) : error;
}
