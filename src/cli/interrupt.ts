import { constants } from 'node:os';

/**
 * Runs `task` with a signal that the first Ctrl-C (or SIGTERM) aborts; a second one ends the process at once. Before
 * and after the task they end the process as usual.
 */
export async function interruptible<T>(notice: () => void, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(128 + constants.signals.SIGINT);
    notice();
    controller.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    return await task(controller.signal);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
