import { add, choose, type Expr, eq, gt, type Local, lt, minU, mul, remU, storeI32, sub } from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { eventBytes, spanBytes } from '../kernels/events.ts';
import { type Kernels, onPanel, panelStart } from '../kernels/kernel.ts';
import { listBits, listRowCall, nonZeros } from '../kernels/lists.ts';
import { meet, meetingBytes } from '../kernels/meet.ts';
import { sumRows } from '../kernels/rows.ts';
import { padded, panelsOf } from '../layout.ts';
import { eachSampleRow, type StatePlaces } from './forward.ts';
import { type BodyWriter, type LoopArgs, type Place, type StepContext, sampled } from './timeLoop.ts';

/** What inference writes beside the equations of neurons: products, lists, and how the parts of a sample get along. */
export type Args = Readonly<Record<string, Local>> & LoopArgs;

/** What a layer reads and gives in inference. */
export interface InferenceForm {
  /** By input: whether it is a product, which the layer computes from lists; otherwise it is an array. */
  readonly products: readonly boolean[];
  /** Whether the output is listed; otherwise it is an array. */
  readonly lists: boolean;
  /** Recurrent products whose value at the first step is given, by id. */
  readonly firstGiven: ReadonlySet<number>;
}

/** The panels at hand of a product with listed rows, the first of them `row`, for the samples of a chunk at one step. */
function multiply(
  k: Kernels,
  writer: BodyWriter,
  c: StepContext,
  p: { matrix: Expr; spans: Expr; row: Expr; target: Place },
): void {
  const { f, features } = writer;
  const to = writer.rowsOf(p.target, c);
  eachSampleRow(f, c, [p.row, to.row], ([listed, row]) => {
    const span = add(p.spans, mul(listed, spanBytes));
    f.do(call(sumRows(k, features), [c.firstPanel, c.endPanel, p.matrix, span, p.target.base, to.rows, row]));
  });
}

/**
 * Products of inputs, of a tile of some steps at a time: they and the recurrent products of these steps take turns in reading
 * matrices that may not fit into a core's cache together.
 */
export class InputProducts {
  private readonly k: Kernels;
  private readonly writer: BodyWriter;
  private readonly a: Args;
  private readonly products: readonly { matrix: Local; spans: Local; start: Local; target: Local }[];

  constructor(k: Kernels, writer: BodyWriter, a: Args, { products }: InferenceForm) {
    this.k = k;
    this.writer = writer;
    this.a = a;
    this.products = products.flatMap((is, i) => {
      if (!is) return [];
      const target = a[`input${i}`];
      return [{ matrix: a[`weights${i}`], spans: a[`spans${i}`], start: writer.f.let('start', target), target }];
    });
  }

  /** Makes the products of the step at hand those that are read. */
  multiply(c: StepContext): void {
    const { writer, products, a } = this;
    const { f } = writer;
    if (products.length === 0) return;
    const place = f.let('place', remU(c.t, a.tile));
    f.unless(place, () => {
      for (const p of products) this.multiplyTile(c, p);
    });
    for (const { start, target } of products) f.set(target, add(start, mul(place, a.rowBytes)));
  }

  private multiplyTile(c: StepContext, { matrix, spans, start, target }: (typeof this.products)[number]): void {
    const { k, writer, a } = this;
    const { f } = writer;
    f.set(target, start);
    const row = f.let('listed', c.firstRow);
    const left = f.let('steps', minU(a.tile, f.let('rest', sub(a.T, c.t))));
    f.while(left, () => {
      multiply(k, writer, c, { matrix, spans, row, target: sampled(target) });
      f.set(target, add(target, a.rowBytes));
      f.set(row, add(row, a.group));
      f.set(left, sub(left, 1));
    });
  }
}

/** Bytes of a sample's bits, one for each neuron. */
export const bitsBytes = (features: number): number => 64 * Math.ceil(panelsOf(features).count / 16);

/** Lists of the output at every step; each part has its own, of all neurons. Parts tell each other of spikes by bits. */
export class OutputLists {
  private readonly k: Kernels;
  private readonly writer: BodyWriter;
  private readonly spans: Local;
  private readonly events: Local;
  private readonly bits: Expr;

  constructor(
    k: Kernels,
    writer: BodyWriter,
    a: Args,
    { item, part, chunk }: Readonly<Record<'item' | 'part' | 'chunk', Local>>,
    pairs: Alternating,
  ) {
    const { f, features } = writer;
    this.k = k;
    this.writer = writer;
    this.spans = f.let('spans', add(a.spans, mul(mul(part, a.rows), spanBytes)));
    const steps = add(a.T, 1);
    this.events = f.let('events', add(a.events, mul(mul(item, mul(a.group, steps)), padded(features) * eventBytes)));
    const bytes = f.let('bytes', mul(a.group, bitsBytes(features)));
    const bits = f.let('bits', add(a.bits, mul(mul(chunk, bytes), 2)));
    this.bits = pairs.add(bits, f.let('bitsToo', add(bits, bytes))).after.base;
  }

  /** Lists the output of one step; its first row among those of all steps is `row`. */
  listRows(c: StepContext, output: Place, row: Expr): void {
    const { k, writer, spans, events } = this;
    const { f, features } = writer;
    const from = writer.rowsOf(output, c);
    eachSampleRow(f, c, [from.row, row], ([source, listed]) => {
      const span = add(spans, mul(listed, spanBytes));
      f.set(events, listRowCall(k, features, [output.base, from.rows, source, events, span]));
    });
  }

  /** Sets the bits of the neurons at hand. */
  markSpikes(c: StepContext, output: Place): void {
    const { f, features } = this.writer;
    const from = this.writer.rowsOf(output, c);
    const panel = f.let('panel', c.firstPanel);
    f.while(lt(panel, c.endPanel), () => {
      const word = f.let('word', add(this.bits, mul(panel, 4)));
      onPanel(f, features, panel, (vectors, width) => {
        eachSampleRow(f, c, [from.row], ([row]) => {
          const address = f.let('at', add(panelStart(output.base, panel, from.rows), mul(row, width)));
          f.do(storeI32(word, nonZeros(address, vectors)));
          f.set(word, add(word, bitsBytes(features)));
        });
      });
      f.set(panel, add(panel, 1));
    });
  }

  /** Lists the spikes of all neurons at one step. */
  listSpikes(c: StepContext): void {
    const { k, writer, spans, events } = this;
    const { f, features } = writer;
    const words = f.let('words', this.bits);
    eachSampleRow(f, c, [c.firstRow], ([row]) => {
      f.set(events, call(listBits(k, features), [words, events, add(spans, mul(row, spanBytes))]));
      f.set(words, add(words, bitsBytes(features)));
    });
  }

  /** The panels at hand of M y, where y is the output of the step before. */
  multiply(c: StepContext, matrix: Expr, target: Place): void {
    const { k, writer, spans } = this;
    multiply(k, writer, c, { matrix, spans, row: writer.rowBefore(c), target });
  }
}

/** Where the parts of a chunk wait for one another. */
export class Meeting {
  private readonly k: Kernels;
  private readonly f: Func;
  private readonly at: { readonly place: Local; readonly part: Local; readonly parts: Local; readonly times: Local };

  constructor(k: Kernels, f: Func, { meetings, parts }: Args, chunk: Local, part: Local) {
    this.k = k;
    this.f = f;
    const place = f.let('meeting', add(meetings, mul(mul(chunk, parts), meetingBytes)));
    this.at = { place, part, parts, times: f.let('times', 0) };
  }

  write(): void {
    const { k, f, at } = this;
    f.if(gt(at.parts, 1), () => {
      f.set(at.times, add(at.times, 1));
      f.do(meet(k, at));
    });
  }
}

/** Pairs of arrays [samples, features] that change roles at every step: the values before it, and those after it. */
export class Alternating {
  private readonly f: Func;
  private readonly pairs: { before: Local; after: Local; a: Local; b: Local; initial: Local }[] = [];

  constructor(f: Func) {
    this.f = f;
  }

  /** `initial` has the values before the first step, and is only read. */
  add(a: Local, b: Local, initial: Local = b): StatePlaces {
    const before = this.f.local('i32', 'before');
    const after = this.f.local('i32', 'after');
    this.pairs.push({ before, after, a, b, initial });
    return { before: sampled(before), after: sampled(after) };
  }

  start(): void {
    for (const { before, after, a, initial } of this.pairs) {
      this.f.set(before, initial);
      this.f.set(after, a);
    }
  }

  swap(): void {
    for (const { before, after, a, b } of this.pairs) {
      this.f.set(before, after);
      this.f.set(after, choose(eq(before, a), b, a));
    }
  }
}
