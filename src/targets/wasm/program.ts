import type { Argument, Buffer, Call } from './call.ts';
import type { Kernel } from './kernels/kernel.ts';
import { buffersOf, cutIntoStages, type StagedCall } from './stages.ts';

/** Calls, in order, with the buffers they use. */
export class ProgramBuilder {
  readonly calls: Call[] = [];
  /** Calls before all others, if any: what they compute follows from parameters alone and is kept for the next batches. */
  readonly constants: Call[] = [];
  /** Written by the host before the first call. */
  readonly inputs = new Set<Buffer>();
  /** Read by the host after the last call. */
  readonly outputs = new Set<Buffer>();
  /** The layer that the next buffers serve. */
  layer: string | undefined;
  /** Calls before this one are the forward pass. */
  firstBackward = Number.POSITIVE_INFINITY;
  private readonly keepsConstants: boolean;

  /** `keepsConstants`: parameters stay as they are between runs, so that what follows from them alone may, too. */
  constructor(keepsConstants: boolean) {
    this.keepsConstants = keepsConstants;
  }

  buffer(name: string, bytes: number): Buffer {
    return { name, bytes, address: null, layer: this.layer, sparse: false };
  }

  /** A buffer of lists, with room for far more than they usually take. */
  listBuffer(name: string, bytes: number): Buffer {
    return { ...this.buffer(name, bytes), sparse: true };
  }

  input(name: string, bytes: number): Buffer {
    const buffer = this.buffer(name, bytes);
    this.inputs.add(buffer);
    return buffer;
  }

  output(buffer: Buffer): Buffer {
    this.outputs.add(buffer);
    return buffer;
  }

  call(kernel: Kernel, items: number, args: Readonly<Record<string, Argument>>): void {
    this.calls.push(checked({ kernel, items, args, uneven: false }));
  }

  unevenCall(kernel: Kernel, items: number, args: Readonly<Record<string, Argument>>): void {
    this.calls.push(checked({ kernel, items, args, uneven: true }));
  }

  /** A call that reads parameters and what other such calls gave, nothing else. */
  constant(kernel: Kernel, items: number, args: Readonly<Record<string, Argument>>): void {
    (this.keepsConstants ? this.constants : this.calls).push(checked({ kernel, items, args, uneven: false }));
  }
}

function checked(call: Call): Call {
  const missing = call.kernel.params.find((p) => call.args[p] === undefined);
  if (missing !== undefined) throw new Error(`${call.kernel.func.name} lacks "${missing}"`);
  return call;
}

/** Calls with every address known. */
export interface Program {
  readonly calls: readonly StagedCall[];
  /**
   * So many calls at the start need not run again as long as no parameter changes and no program without the same ones runs.
   */
  readonly constants: number;
  /** The same for programs whose constants are the same, at the same addresses; empty where there are none. */
  readonly constantsKey: string;
  /** Calls of a multiple of so many items deal with the same samples at the same places of each multiple. */
  readonly chunks: number;
  readonly addressOf: (buffer: Buffer) => number;
  /** The end of what it uses. */
  readonly end: number;
  readonly buffers: readonly PlacedBuffer[];
  /** Those that the forward pass leaves for the backward pass. */
  readonly kept: readonly PlacedBuffer[];
}

export interface PlacedBuffer {
  readonly buffer: Buffer;
  readonly address: number;
  /** The first and the last stage that use it. */
  readonly from: number;
  readonly to: number;
}

const alignment = 128;

/**
 * Places the buffers from `start` on, so that those that are never used at the same time share memory, and sets the
 * barriers: before a call that uses a buffer that a call since the last barrier used.
 */
export function plan(builder: ProgramBuilder, start: number, chunks: number): Program {
  const constants = builder.constants.length;
  const firstBackward = constants + builder.firstBackward;
  const given = [...builder.constants, ...builder.calls];
  const { calls, count, lastBefore, firstFrom } = cutIntoStages(given, constants, firstBackward);
  const lifetimes = new Map<Buffer, { from: number; to: number }>();
  const use = (buffer: Buffer, stage: number) => {
    const known = lifetimes.get(buffer);
    lifetimes.set(buffer, { from: Math.min(known?.from ?? stage, stage), to: Math.max(known?.to ?? stage, stage) });
  };
  calls.forEach((call, i) => {
    for (const buffer of buffersOf(call).filter(({ address }) => address === null)) {
      use(buffer, call.stage);
      // Not even what the host writes for the next batch may lie there.
      if (i < constants) for (const end of [-1, count]) use(buffer, end);
    }
  });
  for (const buffer of builder.inputs) use(buffer, -1);
  for (const buffer of builder.outputs) if (buffer.address === null) use(buffer, count);

  const placed: PlacedBuffer[] = [];
  const byAddress: PlacedBuffer[] = [];
  // Constants first: so they lie in the same places whatever the batch.
  const isConstant = new Set(builder.constants.flatMap(buffersOf));
  // Lists last, or else arrays would come to lie where lists were and nothing was ever touched.
  const rank = (buffer: Buffer) => (isConstant.has(buffer) ? 0 : buffer.sparse ? 2 : 1);
  const bySize = [...lifetimes].sort(([a], [b]) => rank(a) - rank(b) || b.bytes - a.bytes);
  for (const [buffer, { from, to }] of bySize) {
    const others = byAddress.filter((p) => p.from <= to && from <= p.to);
    // Arrays that are read side by side must not all start on the same line of the cache.
    const stagger = alignment * (1 + ((5 * placed.length) % 31));
    const address = firstFit(others, buffer.bytes + stagger, start) + stagger;
    const place = { buffer, address, from, to };
    const after = byAddress.findIndex((p) => p.address > address);
    byAddress.splice(after < 0 ? placed.length : after, 0, place);
    placed.push(place);
  }
  const addresses = new Map(placed.map((p) => [p.buffer, p.address]));
  const addressOf = (buffer: Buffer) => buffer.address ?? (addresses.get(buffer) as number);
  return {
    calls,
    constants,
    chunks,
    constantsKey: builder.constants.map((c) => [c.kernel.func.name, ...buffersOf(c).map(addressOf)].join()).join(';'),
    addressOf,
    end: Math.max(start, ...placed.map((p) => p.address + p.buffer.bytes)),
    buffers: placed,
    kept: placed.filter(({ from, to }) => from <= lastBefore && to >= firstFrom),
  };
}

/** The lowest address at which so many bytes overlap none of the buffers, which are in the order of their addresses. */
function firstFit(others: readonly PlacedBuffer[], bytes: number, start: number): number {
  let address = start;
  for (const other of others) {
    if (other.address >= address + bytes) break;
    address = Math.max(address, Math.ceil((other.address + other.buffer.bytes) / alignment) * alignment);
  }
  return address;
}
