import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { parseNir } from './parse.ts';
import type { ReadReply, ReadRequest } from './read.ts';

/** The thread that reads a file which nobody vouches for: see `read.ts`. */
async function answer({ bytes, path }: ReadRequest): Promise<ReadReply> {
  try {
    return { kind: 'read', file: await parseNir(bytes, path) };
  } catch (error) {
    if (!(error instanceof UserError)) return { kind: 'failed', why: String(error) };
    return { kind: 'refused', code: error.diagnostic.code, message: error.message };
  }
}

(parentPort as MessagePort).postMessage(await answer(workerData as ReadRequest));
