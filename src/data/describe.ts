import { suggestion } from '../diagnostics/suggest.ts';
import type { ValueSet } from '../ir/step.ts';
import type { Call, DataConfig } from './config.ts';
import type { DataShape } from './definition.ts';
import { datasetByName, datasets, transformByName, transforms } from './registry.ts';
import { NO_SPEAKERS, speakers } from './validation.ts';

/** What a network gets from a data pipeline. */
export interface PipelineInfo {
  readonly features: number;
  readonly classes: number;
  readonly set: ValueSet;
  /** Number of time steps of every sample, or null where it varies. */
  readonly steps: number | null;
  /** Seconds of a time step, or null where it has no duration. */
  readonly stepDuration: number | null;
}

export interface PipelineError {
  /** One sentence that says what is wrong and what would be right. */
  readonly error: string;
  /** Where: 0 is the source, k the k-th transform. */
  readonly step: number | 'validation';
}

/** Follows the data's shape from the source through the transforms, without opening any file. */
export function describePipeline(config: DataConfig): PipelineInfo | PipelineError {
  const source = describeSource(config.source);
  let shape = source;
  for (const [index, call] of config.transforms.entries()) {
    if ('error' in shape) break;
    const next = inferTransform(shape, call);
    if ('error' in next) return { ...next, step: index + 1 };
    shape = next;
  }
  if ('error' in shape) return { ...shape, step: 0 };
  if (shape.kind !== 'steps') return { error: noSteps[shape.kind], step: config.transforms.length };
  if (config.validation.type === speakers.name && 'speakers' in source)
    return { error: NO_SPEAKERS, step: 'validation' };
  const { features, classes, set = 'real', steps = null, stepDuration = null } = shape;
  return { features, classes, set, steps, stepDuration };
}

/** Samples per second of the recordings as they become features; null where only the files tell, or there are none. */
export function sampleRateOf({ source, transforms: calls }: DataConfig): number | null {
  let shape = describeSource(source);
  let rate: number | null = null;
  for (const call of calls) {
    if ('error' in shape) break;
    if (shape.kind === 'waveform') rate = shape.rate ?? null;
    shape = inferTransform(shape, call);
  }
  return rate;
}

const noSteps = {
  spikes: 'the data ends as spikes in continuous time, but a network needs time steps; add bin(steps=100, window=1.4s)',
  waveform: 'the data ends as recordings, but a network needs time steps; add fbank(mels=40)',
} as const;

type Described = DataShape | { readonly error: string };

function describeSource(call: Call): Described {
  const dataset = datasetByName(call.type);
  return dataset ? dataset.describe(call.params) : { error: unknown('dataset', call.type, datasets) };
}

function inferTransform(input: DataShape, call: Call): Described {
  const transform = transformByName(call.type);
  return transform ? transform.infer(input, call.params) : { error: unknown('transform', call.type, transforms) };
}

function unknown(what: string, name: string, known: readonly { readonly name: string }[]): string {
  return `unknown ${what} "${name}"; ${suggestion(
    name,
    known.map((k) => k.name),
  )}`;
}
