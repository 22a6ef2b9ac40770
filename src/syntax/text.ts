import type { Source, Span } from '../diagnostics/source.ts';

/**
 * A text to parse together with where each of its characters stands in a source: a whole `.snn` file, or the value of
 * a YAML scalar, whose indentation, quotes and escapes are gone.
 */
export interface LocatedText {
  readonly text: string;
  readonly source: Source;
  /** Source offset of the character at `index`; `index` may be the length of the text. */
  offsetOf(index: number): number;
}

export function wholeSource(source: Source): LocatedText {
  return { text: source.text, source, offsetOf: (index) => index };
}

export function spanIn(located: LocatedText, start: number, end: number): Span {
  const from = located.offsetOf(start);
  const to = end > start ? located.offsetOf(end - 1) + 1 : from;
  return { source: located.source, start: from, end: to };
}

/**
 * Aligns the value of a YAML scalar with its source range. White space may be folded or stripped by YAML, so it is
 * skipped on both sides; every other character of the value occurs in the source in the same order, possibly after a
 * backslash or a doubled quote, which are passed over.
 */
export function alignScalar(value: string, source: Source, start: number, end: number): LocatedText {
  const offsets = new Int32Array(value.length + 1);
  let at = start;
  for (let i = 0; i < value.length; i++) {
    const char = value[i];
    if (!/\s/.test(char)) {
      const found = source.text.indexOf(char, at);
      at = found >= 0 && found < end ? found : at;
    }
    offsets[i] = at;
    if (/\s/.test(char) ? /\s/.test(source.text[at] ?? '') : true) at++;
  }
  offsets[value.length] = Math.min(at, end);
  return { text: value, source, offsetOf: (index) => offsets[index] };
}

/** The text of a quoted token. */
export function unquote(image: string): string {
  return image.slice(1, -1).replace(/\\(.)/g, '$1');
}
