import { afterEach, expect, it, vi } from 'vitest';
import { interruptible } from '../../src/cli/interrupt.ts';

const before = { SIGINT: process.listenerCount('SIGINT'), SIGTERM: process.listenerCount('SIGTERM') };
afterEach(() => vi.restoreAllMocks());

it.each(['SIGINT', 'SIGTERM'] as const)('the first %s aborts, the second one ends the process', async (name) => {
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
  const notice = vi.fn();
  const result = await interruptible(notice, async (signal) => {
    expect(signal.aborted).toBe(false);
    process.emit(name);
    expect(signal.aborted).toBe(true);
    expect(exit).not.toHaveBeenCalled();
    process.emit(name);
    expect(exit).toHaveBeenCalledExactlyOnceWith(130);
    return 'done';
  });
  expect(result).toBe('done');
  expect(notice).toHaveBeenCalled();
});

it('gives the signals back, also after a failure', async () => {
  await expect(interruptible(vi.fn(), () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(process.listenerCount('SIGINT')).toBe(before.SIGINT);
  expect(process.listenerCount('SIGTERM')).toBe(before.SIGTERM);
});
