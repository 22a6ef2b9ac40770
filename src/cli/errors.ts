import { CommanderError } from 'commander';
import { CompileError, UserError } from '../diagnostics/diagnostic.ts';
import { formatDiagnostic, formatDiagnostics } from '../diagnostics/format.ts';
import { Interrupted } from '../train/loop.ts';

/** 0 done, 1 failed while running, 2 the request is wrong, 130 interrupted. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return 130;
  if (error instanceof CompileError) return 2;
  if (error instanceof UserError) return error.exitCode;
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return 1;
}

/** Tells the user what went wrong, on stderr. Commander has printed its own errors already. */
export function reportError(error: unknown): void {
  if (error instanceof CommanderError || error instanceof Interrupted) return;
  console.error(describeError(error));
}

/** What a user is told about an error. */
export function describeError(error: unknown): string {
  if (error instanceof CompileError) return formatDiagnostics(error.diagnostics);
  if (error instanceof UserError) return formatDiagnostic(error.diagnostic);
  const message = error instanceof Error ? error.message : String(error);
  const report = `internal error: ${message}\nThis is a mistake in sparchc, not in your spec; please report it`;
  if (process.env.SPARCHC_DEBUG !== '1') return `${report} with what SPARCHC_DEBUG=1 adds to this message.`;
  return `${report}.\n${error instanceof Error ? error.stack : ''}`;
}
