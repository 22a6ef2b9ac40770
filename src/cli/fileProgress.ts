import { SingleBar } from 'cli-progress';
import type { Output } from './output.ts';

/** Lines about files, above a bar of how many are done where a terminal shows several. */
export class FileProgress {
  private readonly output: Output;
  private readonly files: number;
  private readonly bar: SingleBar | null;
  private done = 0;

  constructor(output: Output, files: number) {
    this.output = output;
    this.files = files;
    const { stream, quiet } = output;
    const format = '[{bar}] {value}/{total} files';
    const isShown = stream.isTTY && !quiet && files > 1;
    this.bar = isShown ? new SingleBar({ format, stream, barsize: 24, clearOnComplete: true, hideCursor: true }) : null;
    this.bar?.start(files, 0);
  }

  say(line: string): void {
    this.above(() => this.output.say(line));
  }

  warn(line: string): void {
    this.above(() => this.output.warn(line));
  }

  fileDone(): void {
    this.done++;
    this.bar?.update(this.done);
  }

  close(): void {
    this.bar?.stop();
  }

  private above(print: () => void): void {
    this.bar?.stop();
    print();
    this.bar?.start(this.files, this.done);
  }
}
