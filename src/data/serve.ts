import { setImmediate } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { type Batch, memoryOf } from './batch.ts';
import { toFailure } from './failure.ts';
import type { Loader } from './loader.ts';
import type { Credit, StreamReply, StreamRequest } from './protocol.ts';

/** Sends an epoch's batches while there is credit, until the receiver closes the port. */
export async function serve(
  loader: Pick<Loader, 'batches' | 'recycle'>,
  { request, credit, port }: StreamRequest,
): Promise<void> {
  const gate = new Gate(port, credit, loader);
  const send = (reply: StreamReply, buffers: ArrayBuffer[] = []) => port.postMessage(reply, buffers);
  try {
    if (!(await gate.pass())) return;
    for await (const loaded of loader.batches(request)) {
      send({ kind: 'batch', loaded }, buffersOf(loaded.batch));
      if (!(await gate.pass())) return;
    }
    send({ kind: 'end' });
  } catch (error) {
    send(toFailure(error));
  }
}

/** Counts the batches that may still be sent. */
class Gate {
  private credit: number;
  private closed = false;
  private wake = () => {};

  constructor(port: MessagePort, { batches, returned }: Credit, loader: Pick<Loader, 'recycle'>) {
    this.credit = batches;
    loader.recycle(returned);
    port.on('message', (more: Credit) => {
      this.credit += more.batches;
      loader.recycle(more.returned);
      this.wake();
    });
    port.on('close', () => {
      this.closed = true;
      this.wake();
    });
  }

  /** Waits for credit and takes one; false once the receiver is gone. */
  async pass(): Promise<boolean> {
    // Lets the messages in that arrived while a batch was made.
    await setImmediate();
    while (this.credit === 0 && !this.closed) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    this.credit--;
    return !this.closed;
  }
}

function buffersOf(batch: Batch): ArrayBuffer[] {
  const { labels, samples, lengths } = batch;
  const others = [labels, samples, ...(lengths ? [lengths] : [])].map((array) => array.buffer);
  return [...memoryOf(batch), ...others] as ArrayBuffer[];
}
