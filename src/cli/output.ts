import { appendFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { type Diagnostic, UserError } from '../diagnostics/diagnostic.ts';
import { formatDiagnostic } from '../diagnostics/format.ts';
import type { OutputOptions } from './options.ts';

/** What lines and progress are written to: a terminal, or anything else. */
export type TextStream = NodeJS.WritableStream & { readonly isTTY?: boolean };

export function isTerminal(stream: TextStream): stream is NodeJS.WriteStream {
  return stream.isTTY === true;
}

/**
 * Where a command's words go: people read stdout, or stderr where `--json` leaves stdout to the document. With a log
 * file they go there, and only warnings and errors are shown, too.
 */
export class Output {
  readonly stream: TextStream;
  readonly quiet: boolean;
  private readonly json: boolean;
  private readonly log: TextStream | null;

  /** @throws UserError SP811 the log file cannot be written. */
  constructor({ json = false, quiet = false, log }: OutputOptions) {
    this.json = json;
    this.quiet = quiet;
    this.log = log === undefined ? null : logFile(log);
    this.stream = this.log ?? (json ? process.stderr : process.stdout);
  }

  /** A line for people. */
  say(line: string): void {
    if (!this.quiet) this.stream.write(`${line}\n`);
  }

  /** A line that `--quiet` does not silence. */
  warn(line: string): void {
    process.stderr.write(`${line}\n`);
    this.note(line);
  }

  /** For the log alone, of what is shown elsewhere. */
  note(line: string): void {
    this.log?.write(`${line}\n`);
  }

  diagnostics(diagnostics: readonly Diagnostic[]): void {
    for (const diagnostic of diagnostics) this.warn(formatDiagnostic(diagnostic));
  }

  /** The document that `--json` asks for. */
  document(value: unknown): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }
}

/** Appends to a file; every line is there as soon as it is written, also where the process is killed. */
function logFile(path: string): TextStream {
  const append = (chunk: string | Buffer) => {
    try {
      appendFileSync(path, chunk);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new UserError('SP811', `cannot write the log "${path}" (${code}); name another file`, {
        exitCode: 2,
        cause,
      });
    }
  };
  append('');
  return new Writable({
    write(chunk, _encoding, done) {
      append(chunk);
      done();
    },
  });
}
