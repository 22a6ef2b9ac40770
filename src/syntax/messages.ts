import type { IParserErrorMessageProvider, IToken, TokenType } from 'chevrotain';
import { RightBrace } from './tokens.ts';

/** Syntax errors in one sentence each, in terms of what the user sees rather than of grammar rules. */
export const errorMessages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, actual, ruleName }) => {
    const next =
      ruleName === 'neuron' && expected === RightBrace
        ? 'a comma, the next line of the neuron or "}"'
        : label(expected);
    return `expected ${next} but found ${show(actual)}`;
  },
  buildNotAllInputParsedMessage: ({ firstRedundant }) => `did not expect ${show(firstRedundant)} here`,
  buildNoViableAltMessage: ({ expectedPathsPerAlt, actual, customUserDescription }) => {
    if (customUserDescription) return `expected ${customUserDescription} but found ${show(actual[0])}`;
    const firsts = new Set(expectedPathsPerAlt.flatMap((alternative) => alternative.map((path) => label(path[0]))));
    return `expected ${list([...firsts])} but found ${show(actual[0])}`;
  },
  buildEarlyExitMessage: ({ expectedIterationPaths, actual }) => {
    const firsts = new Set(expectedIterationPaths.map((path) => label(path[0])));
    return `expected ${list([...firsts])} but found ${show(actual[0])}`;
  },
};

function label(type: TokenType): string {
  return type.name === 'EOF' ? 'the end of the text' : (type.LABEL ?? type.name);
}

function show(token: IToken): string {
  return token.image === '' ? 'the end of the text' : `"${token.image}"`;
}

function list(labels: readonly string[]): string {
  return labels.length < 2 ? labels.join('') : `${labels.slice(0, -1).join(', ')} or ${labels.at(-1)}`;
}
