import { Worker } from 'node:worker_threads';
import { type Code, UserError } from '../../diagnostics/diagnostic.ts';
import type { NirFile } from './graph.ts';

/** What the thread that reads answers. */
export type ReadReply =
  | { readonly kind: 'read'; readonly file: NirFile }
  | { readonly kind: 'refused'; readonly code: Code; readonly message: string }
  | { readonly kind: 'failed'; readonly why: string };

export interface ReadRequest {
  readonly bytes: Uint8Array;
  readonly path: string;
}

const signature = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

export function isHdf5(bytes: Uint8Array): boolean {
  return signature.every((byte, i) => bytes[i] === byte);
}

/**
 * Reads a .nir file; what the network in it means is not looked at. HDF5 runs in a thread of its own, since damaged files
 * can crash it or keep it busy without end; after `seconds` it is stopped. `path` is for messages.
 *
 * @throws UserError SP870 no HDF5 file or a damaged one, SP871 another HDF5 file, or one of another version of NIR,
 * SP872 parts that no network has, or too many of them.
 */
export async function readNir(bytes: Uint8Array, path: string, seconds = 30): Promise<NirFile> {
  if (!isHdf5(bytes)) throw new UserError('SP870', `"${path}" is no NIR file: it does not begin as HDF5 files do`);
  const reply = await ask({ bytes, path }, seconds);
  if (reply.kind === 'read') return reply.file;
  if (reply.kind === 'refused') throw new UserError(reply.code, reply.message);
  const message = `"${path}" is damaged: HDF5 cannot read it; copy or download it again`;
  throw new UserError('SP870', message, { cause: reply.why });
}

async function ask(request: ReadRequest, seconds: number): Promise<ReadReply> {
  const worker = new Worker(workerFile(), { workerData: request, execArgv: [] });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve) => {
      const fail = (why: string) => resolve({ kind: 'failed', why });
      worker.once('message', resolve);
      worker.once('error', (error) => fail(String(error)));
      worker.once('exit', () => fail('the thread ended'));
      timer = setTimeout(() => fail(`no end after ${seconds} s`), 1000 * seconds);
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

/** Node 20 cannot run TypeScript in a worker: from the sources, the built file is used. */
function workerFile(): URL {
  const here = import.meta.url;
  const built = '../../../dist/targets/nir/readWorker.js';
  return new URL(here.endsWith('.ts') ? built : './readWorker.js', here);
}
