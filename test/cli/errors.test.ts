import { CommanderError } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { exitCodeOf, reportError } from '../../src/cli/errors.ts';
import { CompileError, UserError } from '../../src/diagnostics/diagnostic.ts';
import { Interrupted } from '../../src/train/loop.ts';

afterEach(() => vi.unstubAllEnvs());

function reported(error: unknown): string {
  const print = vi.spyOn(console, 'error').mockReturnValue();
  reportError(error);
  const lines = print.mock.calls.flat();
  print.mockRestore();
  return lines.join('\n');
}

const mistake = (message: string) => ({ code: 'SP204', severity: 'error', message }) as const;

it.each([
  [new CompileError([mistake('a')]), 2],
  [new UserError('SP811', 'a'), 1],
  [new UserError('SP811', 'a', { exitCode: 2 }), 2],
  [new CommanderError(0, 'commander.helpDisplayed', ''), 0],
  [new CommanderError(1, 'commander.unknownOption', ''), 2],
  [new Interrupted(), 130],
  [new TypeError('a'), 1],
  ['a', 1],
])('%s exits with %i', (error, code) => expect(exitCodeOf(error)).toBe(code));

describe('what is printed', () => {
  it('are all mistakes of a spec, or the one sentence of a failure', () => {
    expect(reported(new CompileError([mistake('one'), mistake('two')]))).toBe('error SP204: one\n\nerror SP204: two');
    expect(reported(new UserError('SP811', 'the disk is full'))).toBe('error SP811: the disk is full');
  });

  it('is nothing where commander or the command has said it already', () => {
    expect(reported(new CommanderError(1, 'commander.unknownOption', 'a'))).toBe('');
    expect(reported(new Interrupted())).toBe('');
  });

  it('of an unexpected error has a stack only on request', () => {
    const error = new TypeError('x is not a function');
    vi.stubEnv('SPARCHC_DEBUG', '');
    expect(reported(error)).toMatch(
      /^internal error: x is not a function\n.*please report it with what SPARCHC_DEBUG=1/,
    );
    expect(reported(error)).not.toContain('    at ');
    vi.stubEnv('SPARCHC_DEBUG', '1');
    expect(reported(error)).toContain('    at ');
  });
});
