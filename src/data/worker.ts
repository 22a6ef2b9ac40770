import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { toFailure } from './failure.ts';
import { openLoader } from './loader.ts';
import type { OpenReply, StreamRequest, WorkerInput } from './protocol.ts';
import { serve } from './serve.ts';

/** The thread that reads, bins and batches ahead of training: see `pipeline.ts`. */
const { config, options } = workerData as WorkerInput;
const parent = parentPort as MessagePort;

try {
  const report = (reply: OpenReply) => parent.postMessage(reply);
  const loader = await openLoader(config, options, (preparation) => report({ kind: 'preparing', preparation }));
  parent.on('message', (request: StreamRequest) => void serve(loader, request));
  report({ kind: 'opened', info: loader.info });
} catch (error) {
  parent.postMessage(toFailure(error) satisfies OpenReply);
}
