import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { builtFile } from '../builtFile.ts';
import type { Utterance } from './script.ts';
import type { SpeakerJob } from './speaker.ts';

export interface Speech {
  /** 16-bit, little-endian, mono. */
  readonly samples: Buffer;
  /** Samples per second. */
  readonly rate: number;
}

/**
 * Has eSpeak NG speak in a process of its own: it is under the GPL, and no part of this program. Gives the utterances in
 * their order. Equal lists give equal bytes; the engine's noise goes on from one utterance to the next.
 *
 * @throws UserError SP731 it failed.
 */
export async function* speak(engine: string, utterances: readonly Utterance[]): AsyncGenerator<Speech> {
  const script = fileURLToPath(builtFile(import.meta.url, 'data/speech/speaker.js'));
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const complaint = text(child.stderr);
  try {
    // A child that fails before it has read everything says why on its own.
    child.stdin.on('error', () => {});
    child.stdin.end(JSON.stringify({ engine: pathToFileURL(engine).href, utterances } satisfies SpeakerJob));
    const bytes = new ByteQueue(child.stdout);
    const rate = await bytes.integer();
    let missing = utterances.length;
    for (; missing > 0 && rate !== null; missing--) {
      const samples = await bytes.take(2 * ((await bytes.integer()) ?? Number.POSITIVE_INFINITY));
      if (samples === null) break;
      yield { samples, rate };
    }
    const [code, signal] = await ended;
    if (code !== 0 || missing > 0) throw failure(await complaint, code ?? signal);
  } finally {
    child.kill();
  }
}

function failure(complaint: string, end: number | NodeJS.Signals | null): UserError {
  const reason = /^\w*Error: (.*)$/m.exec(complaint)?.[1] ?? `it ended with ${end}`;
  return new UserError('SP731', `eSpeak NG could not speak the digits: ${reason}`);
}

/** Bytes of a stream in pieces of any size; null where it ends before. */
class ByteQueue {
  private readonly chunks: AsyncIterator<Buffer>;
  private rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.chunks = stream[Symbol.asyncIterator]();
  }

  async take(size: number): Promise<Buffer | null> {
    const parts = [this.rest];
    let available = this.rest.length;
    while (available < size) {
      const { value, done } = await this.chunks.next();
      if (done) return null;
      parts.push(value);
      available += value.length;
    }
    const bytes = Buffer.concat(parts);
    this.rest = bytes.subarray(size);
    return bytes.subarray(0, size);
  }

  async integer(): Promise<number | null> {
    return (await this.take(4))?.readUInt32LE() ?? null;
  }
}
