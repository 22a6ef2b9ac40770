import { type Command, InvalidArgumentError, Option } from 'commander';
import { splitNumber, units } from '../syntax/quantity.ts';
import { targetNames } from '../targets/select.ts';

/** Options that several commands share. */
export interface OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  /** Of "train" alone. */
  readonly log?: string;
}

export interface SpecOptions {
  readonly set: readonly string[];
}

export function withSet(command: Command): Command {
  const collect = (value: string, before: readonly string[]) => [...before, value];
  return command.addOption(
    new Option('--set <path=value>', 'override a value of the spec (repeatable)')
      .argParser(collect)
      .default([], 'none'),
  );
}

export function withTarget(command: Command): Command {
  return command.option('--target <name>', `what computes: ${targetNames.join(', ')} (default: auto)`);
}

export function withOutput(command: Command): Command {
  return command
    .option('--json', 'print one JSON document on stdout and everything else on stderr')
    .option('--quiet', 'print nothing but warnings and errors');
}

/** Parses a duration such as `0.1ms`. */
export function seconds(text: string): number {
  const { si, unit } = splitNumber(text);
  if (units[unit]?.dimension === 's' && si > 0 && Number.isFinite(si)) return si;
  throw new InvalidArgumentError('It must be a duration greater than 0 with its unit, such as 0.1ms.');
}
