import type { Reporter } from '../diagnostics/diagnostic.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import type { Definition, Network, Pipeline } from './ast.ts';
import { DslParser } from './parser.ts';
import { splitNumber, units } from './quantity.ts';
import type { LocatedText } from './text.ts';
import { spanIn } from './text.ts';
import { lexer, NumberToken } from './tokens.ts';

/** The parser analyses its grammar when it is built, so one is kept. */
const parser = new DslParser();

/** Neuron, pool and surrogate definitions; null after reporting syntax errors (SP3xx). */
export function parseDefinitions(located: LocatedText, reporter: Reporter): readonly Definition[] | null {
  return run(located, reporter, () => parser.definitions());
}

/** A network such as `input |> RadLIF(128) |> LI(classes) |> softmax_sum`. */
export function parseNetwork(located: LocatedText, reporter: Reporter): Network | null {
  return run(located, reporter, () => parser.network());
}

/** A pipeline of calls such as `shd(folder="data") |> bin(steps=100, window=1.4s)`, or a single call. */
export function parsePipeline(located: LocatedText, reporter: Reporter): Pipeline | null {
  return run(located, reporter, () => parser.pipeline());
}

function run<T>(located: LocatedText, reporter: Reporter, rule: () => T): T | null {
  const before = reporter.diagnostics.length;
  const { tokens, errors: lexErrors } = lexer.tokenize(located.text);
  for (const error of lexErrors) {
    const written = located.text.slice(error.offset, error.offset + error.length);
    const span = spanIn(located, error.offset, error.offset + error.length);
    if (written.startsWith('"')) {
      reporter.error('SP301', 'this text has no closing quote; add one', span);
      continue;
    }
    reporter.error('SP301', `the character ${JSON.stringify(written)} has no meaning here; remove it`, span);
  }
  for (const token of tokens) {
    if (token.tokenType !== NumberToken) continue;
    const { unit } = splitNumber(token.image);
    if (unit === '' || Object.hasOwn(units, unit)) continue;
    const span = spanIn(located, token.startOffset, token.startOffset + token.image.length);
    reporter.error(
      'SP302',
      `unknown unit "${unit}" in "${token.image}"; ${suggestion(unit, Object.keys(units))}`,
      span,
    );
  }
  parser.read(located, tokens);
  const tree = rule();
  for (const error of parser.errors) {
    const at = Number.isNaN(error.token.startOffset)
      ? (error as { previousToken?: typeof error.token }).previousToken
      : error.token;
    const start = at && !Number.isNaN(at.startOffset) ? at.startOffset : located.text.trimEnd().length;
    const end = at && !Number.isNaN(at.startOffset) ? start + at.image.length : start;
    reporter.error('SP303', error.message, spanIn(located, start, end));
  }
  return reporter.diagnostics.length > before ? null : tree;
}
