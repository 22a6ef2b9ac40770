/** The options of a script in this folder. What is wrong with them is said in a sentence, with those there are. */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { CompileError, UserError } from '../dist/diagnostics/diagnostic.js';

const isRequired = ({ type, default: value, optional }) => type === 'string' && value === undefined && !optional;

const usageOf = (name, option) => {
  if (option.type === 'boolean') return `  --${name}`;
  if (isRequired(option)) return `  --${name} ${option.placeholder ?? 'VALUE'} (needed)`;
  return `  --${name} VALUE${option.default ? ` (default: ${option.default})` : ''}`;
};

export function fail(message) {
  console.error(message);
  process.exit(2);
}

/** Missing data, and values that no spec may have, are told as sparchc tells them, without a stack. */
process.on('uncaughtException', (error) => {
  const isUsersFault = error instanceof UserError || error instanceof CompileError;
  fail(isUsersFault ? error.message : error.stack);
});

/**
 * As `parseArgs` of node:util has them; a text without a default is needed unless it is `optional`. Exits with 2 when they
 * are wrong, and with 0 after `--help`.
 */
export function readOptions(options, { allowPositionals = false } = {}) {
  const usage = [
    `usage: node bench/${basename(process.argv[1])}`,
    ...Object.entries(options).map(([name, option]) => usageOf(name, option)),
  ].join('\n');
  const parsed = parse();
  if (parsed.values.help) {
    console.log(usage);
    process.exit(0);
  }
  const missing = Object.keys(options).filter((name) => isRequired(options[name]) && parsed.values[name] === undefined);
  if (missing.length > 0) fail(`--${missing[0]} is needed\n${usage}`);
  return parsed;

  function parse() {
    try {
      return parseArgs({ allowPositionals, options: { ...options, help: { type: 'boolean' } } });
    } catch (error) {
      return fail(`${error.message}\n${usage}`);
    }
  }
}

/** The option that most of the scripts need. */
export const spikeFolder = { type: 'string', placeholder: 'FOLDER, with shd_train.h5 and shd_test.h5' };
