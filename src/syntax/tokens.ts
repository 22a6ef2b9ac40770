import type { TokenType } from 'chevrotain';
import { createToken, Lexer } from './chevrotain.ts';

/** Labels are what messages show: `expected ")" but found ","`. */
const skipped = [
  createToken({ name: 'WhiteSpace', pattern: /\s+/, group: Lexer.SKIPPED, line_breaks: true }),
  createToken({ name: 'Comment', pattern: /#[^\n]*/, group: Lexer.SKIPPED }),
];

export const Name = createToken({ name: 'Name', pattern: /[A-Za-z_][A-Za-z0-9_]*/, label: 'a name' });
export const PrimedName = createToken({
  name: 'PrimedName',
  pattern: /[A-Za-z_][A-Za-z0-9_]*'/,
  label: "a primed name such as u'",
});
export const Variable = createToken({
  name: 'Variable',
  pattern: /\$[A-Za-z_][A-Za-z0-9_]*/,
  label: 'a variable such as $hidden',
});
/** A unit is part of the token: `1.4s` is one thing. */
export const NumberToken = createToken({
  name: 'Number',
  pattern: /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[A-Za-z_]*/,
  label: 'a number',
});
export const StringToken = createToken({
  name: 'String',
  pattern: /"(?:[^"\\\n]|\\.)*"/,
  label: 'a text in double quotes',
});

function symbol(name: string, text: string): TokenType {
  return createToken({ name, pattern: text, label: `"${text}"` });
}

function keyword(text: string, categories: TokenType[] = []): TokenType {
  return createToken({
    name: `${text[0].toUpperCase()}${text.slice(1)}Word`,
    pattern: new RegExp(text),
    longer_alt: [PrimedName, Name],
    categories,
    label: `"${text}"`,
  });
}

// Declaration words are names elsewhere: networks start at `input`, and `surrogate` is an option of layers.
export const Neuron = keyword('neuron', [Name]);
export const Pool = keyword('pool', [Name]);
export const SurrogateWord = keyword('surrogate', [Name]);
export const Input = keyword('input', [Name]);
export const Param = keyword('param', [Name]);
export const Const = keyword('const', [Name]);
export const Recurrent = keyword('recurrent', [Name]);
export const State = keyword('state', [Name]);
export const Let = keyword('let', [Name]);
export const Output = keyword('output', [Name]);
export const Scalar = keyword('scalar');
export const Frozen = keyword('frozen');
export const In = keyword('in');
export const And = keyword('and');
export const Or = keyword('or');
export const Not = keyword('not');

export const Pipe = symbol('Pipe', '|>');
export const LessEqual = symbol('LessEqual', '<=');
export const GreaterEqual = symbol('GreaterEqual', '>=');
export const EqualEqual = symbol('EqualEqual', '==');
export const Less = symbol('Less', '<');
export const Greater = symbol('Greater', '>');
export const Assign = symbol('Assign', '=');
export const Plus = symbol('Plus', '+');
export const Minus = symbol('Minus', '-');
export const Times = symbol('Times', '*');
export const Divide = symbol('Divide', '/');
export const At = symbol('At', '@');
export const LeftParen = symbol('LeftParen', '(');
export const RightParen = symbol('RightParen', ')');
export const LeftBracket = symbol('LeftBracket', '[');
export const RightBracket = symbol('RightBracket', ']');
export const LeftBrace = symbol('LeftBrace', '{');
export const RightBrace = symbol('RightBrace', '}');
export const Comma = symbol('Comma', ',');

const keywords = [
  Neuron,
  Pool,
  SurrogateWord,
  Input,
  Param,
  Const,
  Recurrent,
  State,
  Let,
  Output,
  Scalar,
  Frozen,
  In,
  And,
  Or,
  Not,
];

/** In order of precedence: longer symbols before their prefixes, words before names. */
export const tokens: TokenType[] = [
  ...skipped,
  NumberToken,
  StringToken,
  Variable,
  ...keywords,
  PrimedName,
  Name,
  Pipe,
  LessEqual,
  GreaterEqual,
  EqualEqual,
  Less,
  Greater,
  Assign,
  Plus,
  Minus,
  Times,
  Divide,
  At,
  LeftParen,
  RightParen,
  LeftBracket,
  RightBracket,
  LeftBrace,
  RightBrace,
  Comma,
];

export const lexer = new Lexer(tokens, { positionTracking: 'onlyOffset' });
