import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { AudioProblem } from './problem.ts';

/** A file read in pieces, so that a header can be judged before the rest is in memory. */
export class ByteReader {
  readonly size: number;
  private readonly descriptor: number;

  /** @throws AudioProblem where there is no such file or it cannot be read. */
  constructor(path: string) {
    try {
      this.descriptor = openSync(path, 'r');
    } catch (error) {
      throw new AudioProblem(reasonOf(error as NodeJS.ErrnoException), { cause: error });
    }
    const stats = fstatSync(this.descriptor);
    this.size = stats.size;
    if (stats.isFile()) return;
    this.close();
    throw new AudioProblem('is not a file');
  }

  /** `length` bytes from `offset` on, fewer at the end of the file. */
  read(offset: number, length: number): Buffer<ArrayBuffer> {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.size - offset)));
    try {
      const count = readSync(this.descriptor, bytes, 0, bytes.length, offset);
      return count === bytes.length ? bytes : bytes.subarray(0, count);
    } catch (error) {
      throw new AudioProblem(reasonOf(error as NodeJS.ErrnoException), { cause: error });
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

function reasonOf({ code }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'EACCES') return 'cannot be read: permission denied';
  return `cannot be read (${code})`;
}
