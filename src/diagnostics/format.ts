import type { Diagnostic } from './diagnostic.ts';
import { positionOf, type Span } from './source.ts';

/**
 * Renders a diagnostic for a terminal:
 *
 *     error SP204: unknown key "epoch"; did you mean "epochs"?
 *       --> spec.yaml:7:3
 *      7 |   epoch: 3
 *        |   ^^^^^
 */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const head = `${diagnostic.severity} ${diagnostic.code}: ${diagnostic.message}`;
  const frame = diagnostic.span ? `\n${codeFrame(diagnostic.span)}` : '';
  const related = (diagnostic.related ?? []).map((r) => `\n  note: ${r.message}\n${codeFrame(r.span)}`).join('');
  return head + frame + related;
}

export function formatDiagnostics(diagnostics: readonly Diagnostic[]): string {
  return diagnostics.map(formatDiagnostic).join('\n\n');
}

/** The widest piece of a line that is shown. */
const frameWidth = 160;

/** Tabs are shown as one blank so that carets stay under what they mark; of a long line, what is around the mark. */
function codeFrame(span: Span): string {
  const { line, column } = positionOf(span.source, span.start);
  const text = (span.source.text.split('\n')[line - 1] ?? '').replace(/\r$/, '').replaceAll('\t', ' ');
  const from = text.length <= frameWidth ? 0 : Math.max(0, column - 1 - frameWidth / 2);
  const shown = `${from > 0 ? '...' : ''}${text.slice(from, from + frameWidth)}`;
  const indent = column - 1 - from + (from > 0 ? 3 : 0);
  const gutter = String(line);
  const width = Math.max(1, Math.min(span.end - span.start, shown.length - indent));
  return [
    `  --> ${span.source.name}:${line}:${column}`,
    ` ${gutter} | ${shown}`.trimEnd(),
    ` ${' '.repeat(gutter.length)} | ${' '.repeat(indent)}${'^'.repeat(width)}`,
  ].join('\n');
}
