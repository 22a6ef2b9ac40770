import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

type Chevrotain = typeof import('chevrotain');

/**
 * chevrotain from its one-file build. Its package entry imports more than 600 small modules, which takes longer than
 * everything else that a command does before its work starts.
 */
const entry = pathToFileURL(createRequire(import.meta.url).resolve('chevrotain'));
const { createToken, EmbeddedActionsParser, Lexer } = (await import(
  new URL('../chevrotain.min.mjs', entry).href
)) as Chevrotain;

export { createToken, EmbeddedActionsParser, Lexer };
