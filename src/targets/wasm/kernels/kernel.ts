import {
  add,
  divU,
  type Expr,
  i32,
  type Local,
  loadF32,
  loadI32,
  lt,
  minU,
  mul,
  relaxedMultiplyAdd,
  remU,
  sub,
  sum,
  v,
} from '../assembler/expr.ts';
import type { Func, Parameter } from '../assembler/func.ts';
import { Module } from '../assembler/module.ts';
import { type Panels, panelBytes, panelsOf } from '../layout.ts';

/** A function that a thread calls with one item of a stage; its arguments lie in memory, one word each. */
export interface Kernel {
  readonly func: Func;
  /** Names of the arguments, in order; those that start with `f_` are float32. */
  readonly params: readonly string[];
  /** Names of the arguments whose buffers are known to be only read. */
  readonly reads: readonly string[];
}

type Args<P extends string> = Readonly<Record<P, Local>>;

/** All kernels of a model, each generated once for the sizes it is needed for. */
export class Kernels {
  readonly module = new Module();
  /** Set when the module is assembled: what is written later would be missing in it. */
  complete = false;
  private readonly kernels = new Map<string, Kernel>();
  private readonly helpers = new Map<string, Func>();
  /** Whether products of training fuse multiplications and additions. */
  readonly relaxedSimd: boolean;

  constructor(relaxedSimd = false) {
    this.relaxedSimd = relaxedSimd;
  }

  /** a * b + c in products of training, rounded once where relaxed SIMD is used. Evaluation rounds as exported models do. */
  multiplyAdd(a: Expr, b: Expr, c: Expr): Expr {
    return this.relaxedSimd ? relaxedMultiplyAdd(a, b, c) : v.add(c, v.mul(a, b));
  }

  kernel<P extends string>(
    name: string,
    params: readonly P[],
    write: (f: Func, item: Local, args: Args<P>) => void,
  ): Kernel {
    return this.kernelReading(name, params, [], write);
  }

  /** The same where some arguments' buffers are only read: others that only read them need not wait. */
  kernelReading<P extends string>(
    name: string,
    params: readonly P[],
    reads: readonly string[],
    write: (f: Func, item: Local, args: Args<P>) => void,
  ): Kernel {
    const known = this.kernels.get(name);
    if (known) return known;
    if (this.complete) throw new Error(`the kernel ${name} was not foreseen`);
    const func = this.module.func(name, [
      { name: 'item', type: 'i32' },
      { name: 'args', type: 'i32' },
    ]);
    const [item, args] = func.parameters;
    const load = (p: string, i: number) => (p.startsWith('f_') ? loadF32(args, 4 * i) : loadI32(args, 4 * i));
    const locals = params.map((p, i) => [p, func.let(p, load(p, i))] as const);
    write(func, item, Object.fromEntries(locals) as Args<P>);
    const kernel = { func, params, reads };
    this.kernels.set(name, kernel);
    return kernel;
  }

  /** A function that kernels call. */
  helper(
    name: string,
    params: readonly (string | Parameter)[],
    write: (f: Func) => void,
    result: Func['result'] = 'void',
  ) {
    const known = this.helpers.get(name);
    if (known) return known;
    const parameters = params.map((p): Parameter => (typeof p === 'string' ? { name: p, type: 'i32' } : p));
    const func = this.module.func(name, parameters, result);
    this.helpers.set(name, func);
    write(func);
    return func;
  }
}

/**
 * How a kernel finds the rows it works on: chunks of `group` samples (`B` in all), `S` rows per sample, steps from the
 * `first` of them on. The rows of a chunk at one step lie side by side, those of the next step after them.
 */
export const rowParams = ['B', 'T', 'S', 'first', 'group'] as const;
export type RowArgs = Args<(typeof rowParams)[number]>;

/** Item `panel * chunks + chunk`: one panel's weights stay in the cache over all chunks. */
export function panelAndChunk(f: Func, item: Expr, { B, group }: RowArgs): { panel: Local; chunk: Local } {
  const chunks = f.let('chunks', divU(sum(B, group, -1), group));
  return { panel: f.let('panel', divU(item, chunks)), chunk: f.let('chunk', remU(item, chunks)) };
}

/** Row of a chunk's first sample at a step; step -1 is the row before the first. */
export const chunkRow = ({ S, first, group }: RowArgs, chunk: Expr, t: Expr): Expr =>
  mul(sum(mul(chunk, S), first, t), group);

/** How many samples a chunk has: all but the last have `group`. */
export function samplesOf(f: Func, { B, group }: RowArgs, chunk: Expr): Local {
  return f.let('samples', minU(f.let('rest', sub(B, mul(chunk, group))), group));
}

/** The steps of a chunk: at each, `samples` rows from `row` on. */
export function eachStep(
  f: Func,
  rows: RowArgs,
  chunk: Expr,
  body: (row: Local, t: Local, samples: Local) => void,
): void {
  const samples = samplesOf(f, rows, chunk);
  const row = f.let('firstRow', chunkRow(rows, chunk, i32(0)));
  const t = f.local('i32', 't');
  f.for(t, 0, rows.T, 1, () => {
    body(row, t, samples);
    f.set(row, add(row, rows.group));
  });
}

/** The rows of a chunk, step by step, each with its sample. */
export function eachRow(f: Func, rows: RowArgs, chunk: Expr, body: (row: Local, b: Local, t: Local) => void): void {
  const b = f.local('i32', 'b');
  const row = f.local('i32', 'row');
  eachStep(f, rows, chunk, (first, t, samples) => {
    f.set(b, mul(chunk, rows.group));
    f.set(row, first);
    const end = f.let('endRow', add(first, samples));
    f.while(lt(row, end), () => {
      body(row, b, t);
      f.set(b, add(b, 1));
      f.set(row, add(row, 1));
    });
  });
}

/** The rows of a chunk's samples at one step. */
export function eachSample(f: Func, rows: RowArgs, chunk: Expr, t: Expr, body: (row: Local, b: Local) => void): void {
  const b = f.let('b', mul(chunk, rows.group));
  const row = f.let('row', chunkRow(rows, chunk, t));
  const end = f.let('endRow', add(row, samplesOf(f, rows, chunk)));
  f.while(lt(row, end), () => {
    body(row, b);
    f.set(b, add(b, 1));
    f.set(row, add(row, 1));
  });
}

/** Code for one panel: `vectors` of four per row, `width` bytes. */
export function onPanel(f: Func, features: number, panel: Expr, body: (vectors: number, width: number) => void): void {
  const { full, tail } = panelsOf(features);
  if (tail === 0) body(8, panelBytes);
  else if (full === 0) body(tail / 4, tail * 4);
  else
    f.if(
      lt(panel, full),
      () => body(8, panelBytes),
      () => body(tail / 4, tail * 4),
    );
}

/**
 * The rows of a panel and chunk (item `panel * chunks + chunk`) of arrays of `all` rows, one after the other: `o` from the
 * start of each array, `feature` that of an array of features, in bytes. Going through memory in this order is several times
 * faster than row by row through all panels.
 */
export function eachRowInPanel(
  f: Func,
  features: number,
  rows: RowArgs,
  all: Expr,
  item: Expr,
  body: (at: { o: Local; feature: Local; b: Local; t: Local }, vectors: number) => void,
): void {
  const { panel, chunk } = panelAndChunk(f, item, rows);
  const feature = f.let('feature', mul(panel, panelBytes));
  onPanel(f, features, panel, (vectors, width) => {
    eachStep(f, rows, chunk, (row, t, samples) => {
      const b = f.let('b', mul(chunk, rows.group));
      const o = f.let('o', add(panelStart(i32(0), panel, all), mul(row, width)));
      const end = f.let('end', add(o, mul(samples, width)));
      f.while(lt(o, end), () => {
        body({ o, feature, b, t }, vectors);
        f.set(o, add(o, width));
        f.set(b, add(b, 1));
      });
    });
  });
}

/**
 * Work on up to 8 vectors, half of them at a time. V8 loads all that a block reads before it computes, and so would run out
 * of registers: the halves are blocks of their own, each under a condition that always holds (`truths` are not 0).
 */
export function inTurns(f: Func, vectors: number, truths: readonly [Local, Local], body: (i: number) => void): void {
  truths.forEach((truth, half) => {
    const mine = Array.from({ length: vectors }, (_, i) => i).filter((i) => Math.floor(i / 4) === half);
    if (mine.length > 0) f.if(truth, () => mine.forEach(body));
  });
}

/** Address of row 0 of a panel of an array of so many rows. */
export const panelStart = (base: Expr, panel: Expr, rows: Expr): Expr => add(base, mul(mul(panel, rows), panelBytes));

/** A row of an array [rows, features]. */
export interface RowAt {
  readonly rows: Expr;
  readonly row: Expr;
}

/**
 * All vectors of one row of some arrays, panel by panel: `offsets` from the start of each array, `feature` that in an
 * array [features], all in bytes.
 */
export function eachVectorOf(
  f: Func,
  features: number,
  arrays: readonly RowAt[],
  body: (offsets: readonly Local[], feature: Local) => void,
): void {
  const { full, tail } = panelsOf(features);
  const offsets = arrays.map(() => f.local('i32', 'o'));
  const feature = f.let('feature', 0);
  const end = f.local('i32', 'end');
  const through = (width: number) => {
    f.set(end, add(feature, width));
    f.while(lt(feature, end), () => {
      body(offsets, feature);
      for (const o of offsets) f.set(o, add(o, 16));
      f.set(feature, add(feature, 16));
    });
  };
  if (full > 0) {
    const panel = f.let('panel', 0);
    const starts = arrays.map(({ row }) => f.let('start', mul(row, panelBytes)));
    f.while(lt(panel, full), () => {
      offsets.forEach((o, i) => void f.set(o, starts[i]));
      through(panelBytes);
      arrays.forEach(({ rows }, i) => void f.set(starts[i], add(starts[i], mul(rows, panelBytes))));
      f.set(panel, add(panel, 1));
    });
  }
  if (tail > 0) {
    arrays.forEach(({ rows, row }, i) => void f.set(offsets[i], add(mul(rows, full * panelBytes), mul(row, tail * 4))));
    through(tail * 4);
  }
}

/** `eachVectorOf` one array. */
export function eachVector(
  f: Func,
  features: number,
  rows: Expr,
  row: Expr,
  body: (o: Local, feature: Local) => void,
): void {
  eachVectorOf(f, features, [{ rows, row }], ([o], feature) => body(o, feature));
}

/** The vectors of an array [features]. */
export function eachFeature(f: Func, features: number, body: (o: Local) => void): void {
  const o = f.local('i32', 'o');
  f.for(o, 0, { type: 'i32', ...constantOf(panelsOf(features)) }, 16, () => body(o));
}

function constantOf({ full, tail }: Panels) {
  const { code, text } = add(full * panelBytes + tail * 4, 0);
  return { code, text };
}
