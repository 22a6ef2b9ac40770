import { totalmem } from 'node:os';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { maximumPages } from './assembler/module.ts';
import type { Run } from './call.ts';
import { callBytes, callWords, control, programAddress } from './driver.ts';
import { mostThreads } from './mostThreads.ts';
import type { Program } from './program.ts';
import { Threads } from './threads.ts';
import { type CompiledModule, type Memory, pageBytes, webAssembly } from './webassembly.ts';

/** Where programs end and everything else may start. */
export const programEnd = 1 << 19;

/** Bytes that a memory can have. */
export const addressable = maximumPages * pageBytes;

/**
 * Bytes that a model may take: what WebAssembly can address, or what the machine (or container) has free where that is
 * less. Half of all of it counts as free, since files that the system keeps in memory, which may count as used, give way.
 */
export function memoryThere(): number {
  const all = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  return Math.min(addressable, Math.max(process.availableMemory(), all / 2));
}

/** The shared memory, the compiled kernels and the threads that run them. */
export class Machine {
  private readonly memory: Memory;
  private readonly runProgram: (thread: number) => void;
  private threads: Threads;
  /** The program in memory. */
  private written: Written | null = null;
  private readonly images = new WeakMap<Program, Image>();
  /** The constants in memory, by their key. */
  private constants = '';
  private views: { readonly floats: Float32Array; readonly words: Int32Array; readonly bytes: Uint8Array };

  private constructor(memory: Memory, module: CompiledModule, threads: Threads) {
    this.memory = memory;
    this.threads = threads;
    this.runProgram = new webAssembly.Instance(module, { host: { memory } }).exports.run;
    this.views = viewsOf(memory);
  }

  static async start(code: Uint8Array, bytes: number, threads: number): Promise<Machine> {
    if (threads > mostThreads) throw new Error(`there are at most ${mostThreads} threads, not ${threads}`);
    const module = new webAssembly.Module(code);
    const memory = new webAssembly.Memory({
      initial: Math.ceil(bytes / pageBytes),
      maximum: maximumPages,
      shared: true,
    });
    return new Machine(memory, module, await Threads.start(module, memory, threads));
  }

  get floats(): Float32Array {
    return this.views.floats;
  }

  get bytes(): Uint8Array {
    return this.views.bytes;
  }

  /** Where not `helped`, the calling thread does all of it: for little work, waking the others takes longer. */
  run(program: Program, run: Run, helped: boolean): void {
    const again = this.written?.program === program;
    if (!again) this.written = this.write(program);
    const first = program.constantsKey === this.constants ? program.constants : 0;
    this.constants = program.constantsKey;
    this.rewind(this.written!, first, run);
    this.views.words[control.threads / 4] = helped ? this.threads.count : 1;
    if (helped) this.threads.wake();
    this.runProgram(0);
  }

  /** Parameters were changed from outside: constants have to be computed again. */
  forgetConstants(): void {
    this.constants = '';
  }

  /** Makes room for a program, whose inputs may then be written. Throws UserError SP605 where there is none. */
  reserve(program: Program): void {
    const missing = Math.ceil((program.end - this.memory.buffer.byteLength) / pageBytes);
    if (missing <= 0) return;
    try {
      this.memory.grow(missing);
    } catch {
      const message = `a step needs ${gibibytes(program.end)} of memory, which this machine does not give; make the batch smaller (train.batch)`;
      throw new UserError('SP605', message);
    }
    this.views = viewsOf(this.memory);
  }

  dispose(): void {
    this.threads.end();
  }

  private write(program: Program): Written {
    const image = this.images.get(program) ?? imageOf(program);
    this.images.set(program, image);
    this.views.words.set(image.words, programAddress / 4);
    this.views.words[control.endOfCalls / 4] = programAddress + program.calls.length * callBytes;
    return { program, variables: image.variables };
  }

  /** Makes the written program ready to run from a call on. */
  private rewind({ program, variables }: Written, first: number, run: Run): void {
    const { words } = this.views;
    for (const { word, value } of variables) words[word] = value(run);
    words[control.firstCall / 4] = programAddress + first * callBytes;
    for (let i = first; i < program.calls.length; i++) {
      const taken = (programAddress + i * callBytes + callWords.taken) / 4;
      for (let t = 0; t < this.threads.count; t++) words[taken + t] = 0;
    }
  }
}

/** A program as it lies in memory. */
interface Image {
  readonly words: Int32Array;
  readonly variables: readonly Variable[];
}

/** The calls first, then the arguments of all of them. */
function imageOf({ calls, chunks, addressOf }: Program): Image {
  const length = calls.reduce((sum, { kernel }) => sum + callBytes / 4 + kernel.params.length, 0);
  if (programAddress + length * 4 > programEnd) throw new Error(`a program of ${calls.length} calls is too long`);
  const words = new Int32Array(length);
  const variables: Variable[] = [];
  let args = (calls.length * callBytes) / 4;
  calls.forEach((call, i) => {
    const at = (i * callBytes) / 4;
    words[at + callWords.kernel / 4] = call.kernel.func.index;
    words[at + callWords.items / 4] = call.items;
    words[at + callWords.args / 4] = programAddress + args * 4;
    words[at + callWords.barrier / 4] = call.barrier ? 1 : 0;
    words[at + callWords.period / 4] = chunks > 1 && call.items % chunks === 0 ? chunks : Math.max(1, call.items);
    for (const p of call.kernel.params) {
      const argument = call.args[p];
      if (typeof argument === 'function') variables.push({ word: programAddress / 4 + args, value: argument });
      else words[args] = typeof argument === 'number' ? argument : addressOf(argument);
      args++;
    }
  });
  return { words, variables };
}

/** A word of a written program that every run sets. */
interface Variable {
  readonly word: number;
  readonly value: (run: Run) => number;
}

interface Written {
  readonly program: Program;
  readonly variables: readonly Variable[];
}

/** 1.5 GiB. */
export function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function viewsOf({ buffer }: Memory) {
  return { floats: new Float32Array(buffer), words: new Int32Array(buffer), bytes: new Uint8Array(buffer) };
}
