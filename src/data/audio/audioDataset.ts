import { statSync } from 'node:fs';
import { relative } from 'node:path';
import type { ParamSpecs, Params } from '../../definitions/params.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { DataShape, DatasetSplit, OpenDataset, SplitName } from '../definition.ts';
import { AudioReader, rateOf } from './read.ts';

/** Recordings that a warning names; the others are counted. */
const NAMED = 5;

/** Parameters that all datasets of recordings have, after their own. */
export const audioParams = {
  assume_rate: {
    type: 'quantity',
    unit: 'Hz',
    min: 1000,
    max: 768_000,
    default: null,
    description: 'read all recordings as if they were sampled at this rate, whatever the files say',
  },
  max_duration: {
    type: 'quantity',
    unit: 's',
    min: 0,
    exclusive: true,
    default: 60,
    description: 'longer recordings are not used',
  },
  strict: {
    type: 'boolean',
    default: false,
    description: 'a recording that cannot be used ends the run; otherwise it is skipped and reported',
  },
} as const satisfies ParamSpecs;

export type AudioParams = Params<typeof audioParams>;

export interface Recording {
  readonly path: string;
  readonly label: number;
  /** Null where unknown. */
  readonly speaker: number | null;
}

export interface AudioSource {
  /** Messages name files relative to it. */
  readonly folder: string;
  readonly splits: Readonly<Partial<Record<SplitName, readonly Recording[]>>>;
  readonly classNames: readonly string[];
  readonly warnings: readonly string[];
}

export function audioShape(classes: number, { assume_rate }: AudioParams): DataShape {
  return { kind: 'waveform', features: 1, classes, rate: assume_rate };
}

/**
 * Recordings that are read one by one. Files that are missing or empty are left out at once, with a warning.
 *
 * @throws UserError SP722 there are such files and the dataset is strict, SP723 a split has no other ones.
 */
export function openAudio(source: AudioSource, params: AudioParams): OpenDataset {
  const reader = new AudioReader({ maxDuration: params.max_duration, assumeRate: params.assume_rate });
  const warnings = [...source.warnings, ...rateWarnings(params)];
  const splits: Partial<Record<SplitName, DatasetSplit>> = {};
  for (const [split, recordings] of Object.entries(source.splits) as [SplitName, readonly Recording[]][]) {
    const { present, problems } = findFiles(source.folder, recordings);
    if (problems.length > 0) {
      if (params.strict) throw new UserError('SP722', `${problems[0]}; mend or remove it, or leave out "strict"`);
      warnings.push(missingFiles(split, problems));
    }
    if (present.length === 0) {
      throw new UserError(
        'SP723',
        `the ${split} split of "${source.folder}" has no recordings; ${problems[0] ?? 'add some'}`,
      );
    }
    splits[split] = audioSplit(source.folder, present, reader);
  }
  const rate = params.assume_rate ?? firstRate(source.splits.train ?? []);
  return {
    splits,
    classNames: source.classNames,
    warnings,
    strict: params.strict,
    ...(rate !== null && { rate }),
    close: () => {},
  };
}

/** Of the first recording that has a sound header. */
function firstRate(recordings: readonly Recording[]): number | null {
  for (const { path } of recordings) {
    const rate = rateOf(path);
    if (rate !== null) return rate;
  }
  return null;
}

function audioSplit(folder: string, recordings: readonly Recording[], reader: AudioReader): DatasetSplit {
  const known = recordings.every((r) => r.speaker !== null);
  return {
    labels: Int32Array.from(recordings, (r) => r.label),
    speakers: known ? Int32Array.from(recordings, (r) => r.speaker as number) : null,
    nameOf: (index) => nameOf(folder, recordings[index]),
    read: (indices) => Promise.all(indices.map((index) => reader.read(recordings[index].path))),
  };
}

function nameOf(folder: string, { path }: Recording): string {
  return `"${relative(folder, path)}"`;
}

function findFiles(folder: string, recordings: readonly Recording[]) {
  const present: Recording[] = [];
  const problems: string[] = [];
  for (const recording of recordings) {
    const stats = statSync(recording.path, { throwIfNoEntry: false });
    if (stats && stats.size > 0) present.push(recording);
    else problems.push(`${nameOf(folder, recording)} ${stats ? 'is empty' : 'does not exist'}`);
  }
  return { present, problems };
}

function missingFiles(split: SplitName, problems: readonly string[]): string {
  const rest = problems.length > NAMED ? `; and ${problems.length - NAMED} more` : '';
  const recordings = problems.length === 1 ? '1 recording' : `${problems.length} recordings`;
  return `left out ${recordings} of the ${split} split: ${problems.slice(0, NAMED).join('; ')}${rest}`;
}

function rateWarnings({ assume_rate }: AudioParams): string[] {
  if (assume_rate === null) return [];
  return [
    `assume_rate=${assume_rate}Hz reads recordings as if they were sampled at ${assume_rate} Hz, whatever the files say; use it to reproduce published results, and resample(${assume_rate}Hz) otherwise`,
  ];
}
