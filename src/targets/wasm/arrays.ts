import { type Path, startOfKey, wordsOf } from '../../random/stream.ts';
import type { Argument, Buffer, Run } from './call.ts';
import { keyBytes, streamKeysKernel } from './kernels/draws.ts';
import { eventBytes, type Listed, sortKernel, spanBytes, startsWords } from './kernels/events.ts';
import type { Kernels } from './kernels/kernel.ts';
import { listKernel } from './kernels/lists.ts';
import { combineKernel } from './kernels/loss.ts';
import { applyMaskKernel } from './kernels/masks.ts';
import { isByRows, rowGradientKernel, sumGradientKernel } from './kernels/rowGradient.ts';
import { blocksOf, rowProductKernel, toRowsKernel } from './kernels/rows.ts';
import { listSpikesKernel, spreadSpikesKernel } from './kernels/spikes.ts';
import { lastStepKernel, placeKernel, unpackKernel } from './kernels/transfer.ts';
import { inputsPerItem, weightGradientKernel } from './kernels/weightGradient.ts';
import { arrayBytes, matrixRows, padded, panelsOf, rowBytes } from './layout.ts';
import type { ProgramBuilder } from './program.ts';
import { rowCount, rowsOf, type Shape } from './shape.ts';

/** Where parameters, their gradients and buffers of the model lie for good. */
export interface Store {
  parameter(key: string): Buffer;
  gradient(key: string): Buffer;
  isTrained(key: string): boolean;
  /** Vectors as long as any layer is wide. */
  readonly ones: Buffer;
  readonly zeros: Buffer;
}

/** What a program is built for; everything else about a batch is read when it runs. */
export interface Variant {
  readonly shape: Shape;
  readonly training: boolean;
  readonly input: 'events' | 'dense';
  /** Initial states and dropout masks are drawn in memory where they can be; otherwise the host writes them. */
  readonly drawsStates: boolean;
  readonly drawsMasks: boolean;
  /** Events there is room for. */
  readonly events: number;
  readonly lengths: boolean;
  /** Threads that compute one sample together, where there are fewer samples than threads; of inference. */
  readonly parts: number;
}

/** The rows of a node's value as lists of what is not zero. */
export interface Lists extends Listed {
  readonly events: Buffer;
  readonly spans: Buffer;
}

/** Events by feature, and where those of each feature start. */
interface Sorted {
  readonly sorted: Buffer;
  readonly starts: Buffer;
}

/** An array, to be read as (x - mean) * scale + bias where it has an affine part. */
export interface Operand {
  readonly array: Buffer;
  readonly affine: { readonly mean: Buffer; readonly scale: Buffer; readonly bias: Buffer } | null;
}

/** A product that whoever reads it computes: of lists and a matrix that lies row by row. */
export interface Product {
  readonly lists: Lists;
  readonly weights: Buffer;
  readonly affine: Operand['affine'];
}

/** A dropout mask: its bits, and the probability of a 0. */
export interface Mask {
  readonly bits: Buffer;
  readonly p: number;
}

/** Arrays of a pass, and the calls that work on them whatever they belong to. */
export class Arrays {
  readonly k: Kernels;
  readonly program: ProgramBuilder;
  readonly store: Store;
  readonly variant: Variant;
  readonly lengths: Argument;
  /** How many valid steps, or samples, each chunk has. */
  readonly stepCounts: Buffer;
  readonly sampleCounts: Buffer;
  /** The index of each sample in its dataset, where something is drawn for it. */
  private samples: Buffer | null = null;
  private readonly sorted = new Map<Lists, Sorted>();

  constructor(k: Kernels, program: ProgramBuilder, store: Store, variant: Variant) {
    this.k = k;
    this.program = program;
    this.store = store;
    this.variant = variant;
    this.lengths = variant.lengths ? program.input('lengths', variant.shape.B * 4) : 0;
    this.stepCounts = program.input('stepCounts', variant.shape.chunks * 4);
    this.sampleCounts = program.input('sampleCounts', variant.shape.chunks * 4);
  }

  rows(time: boolean) {
    return rowsOf(this.variant.shape, time);
  }

  array(name: string, features: number, time: boolean): Buffer {
    return this.program.buffer(name, arrayBytes(rowCount(this.variant.shape, time), features));
  }

  rowCount(time: boolean): number {
    return rowCount(this.variant.shape, time);
  }

  /** Items of kernels that work on a panel and chunk at a time. */
  items(features: number): number {
    return this.variant.shape.chunks * panelsOf(features).count;
  }

  lengthsFor(time: boolean): Argument {
    return time ? this.lengths : 0;
  }

  combine(operation: 'add' | 'copy' | 'zero', features: number, time: boolean, args: { x: Buffer; y: Buffer }): void {
    const all = { rows: this.rowCount(time), ...args, ...this.rows(time) };
    this.program.call(combineKernel(this.k, features, operation), this.items(features), all);
  }

  /** The keys of the streams at [seed, purpose, epoch, sample, ...after], two words for each sample. */
  streamKeys(purpose: 'state' | 'dropout', after: Path): Buffer {
    const { program, variant } = this;
    const { B } = variant.shape;
    this.samples ??= program.input('samples', padded(B) * 4);
    const keys = program.buffer(`keys of ${purpose} ${after.join()}`, keyBytes(B));
    const start = ({ seed, epoch }: Run) => startOfKey([seed, purpose, epoch], 4 + after.length);
    const words = after.flatMap((component, i) => {
      const [high, low] = wordsOf(component);
      return [[`high${i}`, high] as const, [`low${i}`, low] as const];
    });
    program.call(streamKeysKernel(this.k, after.length), 1, {
      B,
      samples: this.samples,
      keys,
      start0: (run: Run) => start(run)[0],
      start1: (run: Run) => start(run)[1],
      ...Object.fromEntries(words),
    });
    return keys;
  }

  /** Lists the non-zeros of an array. */
  list(name: string, array: Buffer, listed: Listed, time: boolean, mask: Mask | null = null): Lists {
    const lists = this.newLists(name, listed, time);
    this.program.call(listKernel(this.k, listed, mask?.p ?? null), this.variant.shape.chunks, {
      source: array,
      mask: mask?.bits ?? 0,
      rows: this.rowCount(time),
      events: lists.events,
      spans: lists.spans,
      ...this.rows(time),
    });
    return lists;
  }

  /** Lists spikes that are kept as bits. */
  listSpikes(name: string, spikes: Buffer, features: number, mask: Mask | null): Lists {
    const lists = this.newLists(name, { features, real: false }, true);
    this.program.call(listSpikesKernel(this.k, features, mask?.p ?? null), this.variant.shape.chunks, {
      spikes,
      mask: mask?.bits ?? 0,
      rows: this.rowCount(true),
      events: lists.events,
      spans: lists.spans,
      ...this.rows(true),
    });
    return lists;
  }

  /** The array of spikes that are kept as bits. */
  spreadSpikes(name: string, spikes: Buffer, features: number): Buffer {
    const y = this.array(name, features, true);
    const rows = { rows: this.rowCount(true), ...this.rows(true) };
    this.program.call(spreadSpikesKernel(this.k, features), this.variant.shape.chunks, { spikes, y, ...rows });
    return y;
  }

  newLists(name: string, { features, real }: Listed, time: boolean, bytesEach = eventBytes): Lists {
    const { chunks, group, T } = this.variant.shape;
    const bytes = chunks * group * (time ? T : 1) * padded(features) * bytesEach;
    return {
      events: this.program.listBuffer(`events of ${name}`, bytes),
      spans: this.program.buffer(`spans of ${name}`, this.rowCount(time) * spanBytes),
      features,
      real,
    };
  }

  /** gradient += lists^T d, for weights [lists.features, features]. */
  weightGradient(
    lists: Lists,
    d: Buffer,
    features: number,
    time: boolean,
    gradient: Buffer,
    accumulate: boolean,
  ): void {
    const { chunks } = this.variant.shape;
    const rows = {
      d,
      dRows: this.rowCount(time),
      spans: lists.spans,
      events: lists.events,
      ...this.rows(time),
    };
    const result = { gradient, chunks, accumulate: accumulate ? 1 : 0 };
    const panels = panelsOf(features).count;
    if (isByRows(lists)) {
      const partBytes = arrayBytes(matrixRows(lists.features), features);
      const parts = this.program.buffer(`parts of ${gradient.name}`, chunks * partBytes);
      this.program.call(rowGradientKernel(this.k, lists, features), chunks * panels, { parts, partBytes, ...rows });
      const sum = sumGradientKernel(this.k, lists.features, features);
      this.program.call(sum, panels, { parts, partBytes, ...result });
    } else {
      const items = panels * Math.ceil(lists.features / inputsPerItem(lists.features));
      const kernel = weightGradientKernel(this.k, lists, features);
      this.program.call(kernel, items, { ...this.sort(lists, time), ...rows, ...result });
    }
  }

  /** The events of lists by feature: sorted once, however many gradients need them. */
  private sort(lists: Lists, time: boolean): Sorted {
    const known = this.sorted.get(lists);
    if (known) return known;
    const { chunks } = this.variant.shape;
    const { name, bytes } = lists.events;
    const sorted = this.program.listBuffer(`sorted ${name}`, bytes);
    const starts = this.program.buffer(`starts of ${name}`, chunks * startsWords(lists.features) * 4);
    const { events, spans } = lists;
    this.program.call(sortKernel(this.k, lists), chunks, { events, spans, sorted, starts, ...this.rows(time) });
    const made = { sorted, starts };
    this.sorted.set(lists, made);
    return made;
  }

  place(
    source: { array: Buffer; features: number; from: number },
    target: { array: Buffer; features: number; to: number },
    count: number,
    time: boolean,
    options: { reversed?: boolean; accumulate?: boolean } = {},
  ): void {
    this.program.call(placeKernel(this.k), this.variant.shape.chunks, {
      source: source.array,
      sourceFeatures: source.features,
      from: source.from,
      target: target.array,
      targetFeatures: target.features,
      to: target.to,
      count,
      rows: this.rowCount(time),
      reversed: options.reversed ? 1 : 0,
      accumulate: options.accumulate ? 1 : 0,
      lengths: this.lengths,
      ...this.rows(time),
    });
  }

  /** A matrix of parameters [inputs, outputs], row by row. */
  inRows(matrix: Buffer, inputs: number, outputs: number): Buffer {
    const target = this.program.buffer(`rows of ${matrix.name}`, inputs * rowBytes(outputs));
    this.program.constant(toRowsKernel(this.k, outputs), panelsOf(outputs).count, {
      matrix,
      matrixRows: matrixRows(inputs),
      inputs,
      target,
    });
    return target;
  }

  /** The array of a product, without its affine part. */
  multiply({ lists, weights }: Product, name: string, features: number, time: boolean): Buffer {
    const x = this.array(name, features, time);
    this.program.call(rowProductKernel(this.k, features), this.variant.shape.chunks * blocksOf(features), {
      weights,
      events: lists.events,
      spans: lists.spans,
      x,
      rows: this.rowCount(time),
      ...this.rows(time),
    });
    return x;
  }

  /** The host's row-major [B, T, features] (or [B, features] at row 0 of the samples) into an array. */
  unpack(source: Buffer, target: Buffer, features: number, time: boolean, initial = false): void {
    const rows = initial ? { ...this.rows(time), T: 1, first: 0 } : this.rows(time);
    const all = { source, target, rows: this.rowCount(time), features, ...rows };
    this.program.call(unpackKernel(this.k), this.variant.shape.chunks, all);
  }

  /** y = x * mask. */
  applyMask(x: Buffer, y: Buffer, { bits, p }: Mask, features: number, time: boolean): void {
    const rows = { rows: this.rowCount(time), ...this.rows(time) };
    this.program.call(applyMaskKernel(this.k, features, p), this.variant.shape.chunks, { x, y, mask: bits, ...rows });
  }

  lastStep(sequence: Buffer, pooled: Buffer, features: number, back: boolean): void {
    this.program.call(lastStepKernel(this.k, back), this.variant.shape.chunks, {
      sequence,
      rows: this.rowCount(true),
      pooled,
      pooledRows: this.rowCount(false),
      features,
      lengths: this.lengths,
      ...this.rows(true),
    });
  }
}
