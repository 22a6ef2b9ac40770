/** A text a user wrote: a spec file, a neuron file, or the value of a `--set` option. */
export interface Source {
  /** What messages call it: a path as the user gave it, or `--set`. */
  readonly name: string;
  readonly text: string;
  /** What relative paths in it are relative to; absent for texts that name no files. */
  readonly folder?: string;
}

/** A half-open range of UTF-16 offsets into a source. */
export interface Span {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

/** One-based line and column, as editors count them. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export function positionOf(source: Source, offset: number): Position {
  const before = source.text.slice(0, offset);
  const lastBreak = before.lastIndexOf('\n');
  return { line: before.split('\n').length, column: offset - lastBreak };
}

/** The smallest span that covers both; they must be of one source. */
export function cover(a: Span, b: Span): Span {
  return { source: a.source, start: Math.min(a.start, b.start), end: Math.max(a.end, b.end) };
}
