import type { Span } from './source.ts';

/**
 * Codes by phase: SP1xx YAML, SP2xx schema, SP3xx syntax, SP4xx names, types and shapes, SP5xx lowering,
 * SP6xx target, SP7xx data, SP8xx run.
 */
export type Code = `SP${1 | 2 | 3 | 4 | 5 | 6 | 7 | 8}${number}`;

export interface Diagnostic {
  readonly code: Code;
  readonly severity: 'error' | 'warning';
  /** One sentence that says what is wrong and what would be right. */
  readonly message: string;
  readonly span?: Span;
  /** Other places that explain the mistake, each with its own code frame. */
  readonly related?: readonly { readonly message: string; readonly span: Span }[];
}

/** The request is wrong (exit code 2): one or more mistakes in a spec, all of them reported at once. */
export class CompileError extends Error {
  override readonly name = 'CompileError';
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map((d) => d.message).join('\n'));
    this.diagnostics = diagnostics;
  }
}

/**
 * Something a user can mend went wrong: missing or corrupt data, a full disk, bad arguments.
 * `exitCode` is 1 for failures while running and 2 where the request itself is wrong.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
  readonly diagnostic: Diagnostic;
  readonly exitCode: 1 | 2;

  constructor(code: Code, message: string, options: { exitCode?: 1 | 2; span?: Span; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.diagnostic = { code, severity: 'error', message, span: options.span };
    this.exitCode = options.exitCode ?? 1;
  }
}

/** Collects the diagnostics of a phase, so that a user sees several mistakes in one go. */
export class Reporter {
  readonly diagnostics: Diagnostic[] = [];

  error(code: Code, message: string, span?: Span, related?: Diagnostic['related']): void {
    this.diagnostics.push({ code, severity: 'error', message, span, related });
  }

  warn(code: Code, message: string, span?: Span): void {
    this.diagnostics.push({ code, severity: 'warning', message, span });
  }

  /** Number of errors so far. */
  get errors(): number {
    return this.diagnostics.filter((d) => d.severity === 'error').length;
  }

  get failed(): boolean {
    return this.errors > 0;
  }

  /** Ends a phase: throws everything collected so far when any of it is an error. */
  throwIfFailed(): void {
    if (this.failed) throw new CompileError(this.report());
  }

  /** What there is to tell, in the order of the text. A mistake in something that is repeated (`2 * LIF`) is told once. */
  report(): readonly Diagnostic[] {
    const firsts = this.diagnostics.filter((d, i, all) => all.findIndex((other) => isSame(d, other)) === i);
    return firsts.toSorted(byPosition);
  }
}

function isSame(a: Diagnostic, b: Diagnostic): boolean {
  const isThere = a.span?.source === b.span?.source && a.span?.start === b.span?.start && a.span?.end === b.span?.end;
  return a.code === b.code && a.message === b.message && isThere;
}

/** In the order of the text; those of different sources stay in the order they were found in. */
function byPosition(a: Diagnostic, b: Diagnostic): number {
  return a.span && b.span && a.span.source === b.span.source ? a.span.start - b.span.start : 0;
}
