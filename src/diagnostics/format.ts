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

/** Tabs are shown as one blank so that carets stay under what they mark. */
function codeFrame(span: Span): string {
  const { line, column } = positionOf(span.source, span.start);
  const text = (span.source.text.split('\n')[line - 1] ?? '').replace(/\r$/, '');
  const gutter = String(line);
  const width = Math.max(1, Math.min(span.end - span.start, text.length - column + 1));
  return [
    `  --> ${span.source.name}:${line}:${column}`,
    ` ${gutter} | ${text.replaceAll('\t', ' ')}`.trimEnd(),
    ` ${' '.repeat(gutter.length)} | ${' '.repeat(column - 1)}${'^'.repeat(width)}`,
  ].join('\n');
}
