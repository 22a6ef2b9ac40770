import { vi } from 'vitest';
import { inferCommand } from '../../src/cli/infer.ts';

/** What `sparchc infer` prints on stdout, run in this process; its failures are thrown. */
export async function infer(...args: string[]): Promise<string> {
  const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    await inferCommand().exitOverride().parseAsync(args, { from: 'user' });
    return printed.mock.calls.map(([text]) => text).join('');
  } finally {
    vi.restoreAllMocks();
  }
}
