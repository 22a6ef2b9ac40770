import type { Diagnostic } from '../diagnostics/diagnostic.ts';
import { formatDiagnostic } from '../diagnostics/format.ts';
import type { OutputOptions } from './options.ts';

/** Where a command's words go: people read stdout, or stderr where `--json` leaves stdout to the document. */
export class Output {
  readonly stream: NodeJS.WriteStream;
  readonly quiet: boolean;
  private readonly json: boolean;

  constructor({ json = false, quiet = false }: OutputOptions) {
    this.json = json;
    this.quiet = quiet;
    this.stream = json ? process.stderr : process.stdout;
  }

  /** A line for people. */
  say(line: string): void {
    if (!this.quiet) this.stream.write(`${line}\n`);
  }

  /** A line that `--quiet` does not silence. */
  warn(line: string): void {
    process.stderr.write(`${line}\n`);
  }

  diagnostics(diagnostics: readonly Diagnostic[]): void {
    for (const diagnostic of diagnostics) this.warn(formatDiagnostic(diagnostic));
  }

  /** The document that `--json` asks for. */
  document(value: unknown): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }
}
