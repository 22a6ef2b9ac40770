import type { Kernel } from './kernels/kernel.ts';

/** A stretch of memory that kernels work on. */
export interface Buffer {
  readonly name: string;
  readonly bytes: number;
  /** Where it lies for good, or null: the plan places it for as long as it is used. */
  readonly address: number | null;
  /** The layer it serves, where there is one. */
  readonly layer?: string;
  /** Whether most of it is never touched. */
  readonly sparse?: boolean;
}

/** What only the step at hand says; of a step in parts, the whole of it. */
export interface Run {
  readonly samples: number;
  /** Valid (sample, step) pairs. */
  readonly validSteps: number;
  readonly learningRate: number;
  /** Optimiser steps, this one included. */
  readonly step: number;
  /** With samples and layers, what random draws are keyed by. */
  readonly seed: number;
  readonly epoch: number;
}

/** A word, an address, or a word that is known when the program runs. */
export type Argument = number | Buffer | ((run: Run) => number);

/** A kernel over `items` items, which threads take one by one. */
export interface Call {
  readonly kernel: Kernel;
  readonly items: number;
  /** By the kernel's parameters; buffers under other names are used all the same, and kept for as long. */
  readonly args: Readonly<Record<string, Argument>>;
  /** Whether its items are few and differ in work: other calls' items keep threads busy that would wait for the last of them. */
  readonly uneven: boolean;
}
