import { closeSync, openSync, readSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { paramsFit } from '../definitions/params.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { AudioReader } from './audio/read.ts';
import type { Batch } from './batch.ts';
import { collate } from './batching.ts';
import type { Call } from './config.ts';
import type { Sample, WaveformSample } from './definition.ts';
import { transformByName } from './registry.ts';
import { openSpikeFolder } from './spikeThread.ts';
import { resample } from './transforms/resample.ts';

/** What a model says about how its input is made of recordings. */
export interface InputDescription {
  readonly input: 'features' | 'waveform';
  /** Of recordings, in Hz; null where it is not known. */
  readonly sampleRate: number | null;
  /** Recordings are read as if they had that rate. */
  readonly assumeRate: boolean;
  readonly preprocessing: readonly Call[];
  /** Of a time step. */
  readonly features: number;
}

/** One recording, ready for the model. */
export type Recording =
  /** A batch of one; `dropped` are events that the preprocessing left out. */
  | { readonly kind: 'features'; readonly batch: Batch; readonly dropped: number }
  | { readonly kind: 'sound'; readonly samples: Float32Array };

export interface Recordings {
  readonly count: number;
  /** Throws UserError SP7xx where the recording is damaged. */
  read(index: number): Promise<Recording>;
  close(): void;
}

/** Names of files that may hold recordings. */
export const recordingNames = { spikes: /\.(h5|hdf5)$/i, sound: /\.(wav|flac)$/i };

/** Seconds: longer recordings are for streams. */
export const LONGEST = 3600;

/** What a model classifies: recorded spikes, or sound. Throws UserError SP700 where it does not say. */
export function recordingKind({ input, preprocessing }: InputDescription): 'spikes' | 'sound' {
  const names = preprocessing.map(({ type }) => type);
  if (input === 'waveform' || names.includes('fbank')) return 'sound';
  if (names.includes('bin')) return 'spikes';
  throw new UserError(
    'SP700',
    'the model does not say how recordings become its input; it was trained on the tensors of a program, which has to run it too',
  );
}

/**
 * Opens a file of recordings for a model: HDF5 in the layout of the Heidelberg spiking datasets, whatever its labels
 * are, or WAV or FLAC.
 *
 * Throws UserError SP700 where the preprocessing is not known, SP727 where the file is of another kind than the model
 * takes, or a damaged recording, SP702 to SP706 where it is not such an HDF5 file.
 */
export async function openRecordings(path: string, model: InputDescription): Promise<Recordings> {
  const kind = recordingKind(model);
  requireKind(path, kind);
  if (kind === 'spikes') return openSpikes(path, model);
  return { count: 1, read: () => readSound(path, model), close: () => {} };
}

function requireKind(path: string, wanted: 'spikes' | 'sound'): void {
  const found = signatureOf(path);
  if (found === wanted || (found === null && wanted === 'spikes')) return;
  const advice =
    wanted === 'spikes'
      ? 'the model takes spikes: give HDF5 files in the layout of SHD, or use a model that was trained on recordings with fbank'
      : found === 'spikes'
        ? 'the model takes sound: give WAV or FLAC files'
        : 'convert it to one, such as with ffmpeg -i FILE out.wav';
  const what = { spikes: 'holds HDF5', sound: 'is a recording of sound', null: 'is neither a WAV nor a FLAC file' };
  const joint = found === null ? ';' : ', and';
  throw new UserError('SP727', `"${path}" ${what[`${found}`]}${joint} ${advice}`, { exitCode: found === null ? 1 : 2 });
}

function signatureOf(path: string): 'spikes' | 'sound' | null {
  const start = Buffer.alloc(12);
  const file = openSync(path, 'r');
  try {
    readSync(file, start, 0, start.length, 0);
  } finally {
    closeSync(file);
  }
  const text = start.toString('latin1');
  if (text.startsWith('\x89HDF\r\n')) return 'spikes';
  return text.startsWith('fLaC') || (text.startsWith('RIFF') && text.endsWith('WAVE')) ? 'sound' : null;
}

async function readSound(path: string, model: InputDescription): Promise<Recording> {
  const { sampleRate, assumeRate } = model;
  const limits = {
    maxDuration: LONGEST,
    limit: `${LONGEST} s, which is for a stream`,
    assumeRate: assumeRate ? sampleRate : null,
  };
  const read = await new AudioReader(limits).read(path);
  if (read.kind === 'unusable') throw unusable(path, read.reason);
  return soundRecording(path, read, model);
}

/** Sound of any rate, ready for the model; `name` is for messages. Throws UserError SP700, or SP727 where it is too short. */
export function soundRecording(name: string, sound: WaveformSample, model: InputDescription): Recording {
  const { sampleRate, input } = model;
  const resampled = sampleRate === null ? sound : (resample.apply(sound, { rate: sampleRate }) as WaveformSample);
  if (input === 'waveform') return { kind: 'sound', samples: resampled.samples };
  return prepared(name, resampled, model, 0);
}

async function openSpikes(path: string, model: InputDescription): Promise<Recordings> {
  const dataset = await openSpikeFolder({
    dataset: 'the model',
    folder: dirname(path),
    files: { test: basename(path) },
    units: model.features,
    classes: Number.MAX_SAFE_INTEGER,
    origin: 'where its training data came from',
  });
  const split = dataset.splits.test;
  if (!split) throw new Error('the only split was not opened');
  return {
    count: split.labels.length,
    async read(index) {
      const [spikes] = await split.read([index]);
      return prepared(path, spikes, model, index);
    },
    close: () => dataset.close(),
  };
}

function prepared(path: string, recorded: Sample, model: InputDescription, index: number): Recording {
  const sample = preprocess(recorded, model.preprocessing);
  if (sample.kind === 'unusable') throw unusable(path, sample.reason);
  if (sample.kind === 'spikes' || sample.kind === 'waveform') throw wrongInput('does not make time steps');
  const features = sample.kind === 'features' ? sample.values.length / sample.steps : model.features;
  if (features !== model.features)
    throw wrongInput(`makes ${features} features, and the model takes ${model.features}`);
  const batch = collate([sample], features, Int32Array.of(0), Int32Array.of(index));
  return { kind: 'features', batch, dropped: sample.kind === 'eventSteps' ? sample.dropped : 0 };
}

function preprocess(recorded: Sample, calls: readonly Call[]): Sample {
  try {
    return calls.reduce(applied, recorded);
  } catch (cause) {
    // Sizes that no memory holds.
    if (cause instanceof RangeError) throw wrongInput(`is impossible (${cause.message})`);
    throw cause;
  }
}

function applied(sample: Sample, { type, params }: Call): Sample {
  if (sample.kind === 'unusable') return sample;
  const transform = transformByName(type);
  if (!transform || transform.augments)
    throw wrongInput(`is by "${type}", which this version of sparchc does not know`);
  if (!paramsFit(transform.params, params)) throw wrongInput(`is by "${type}" with settings that it does not have`);
  return transform.apply(sample, params);
}

function wrongInput(how: string): UserError {
  return new UserError(
    'SP700',
    `the way from recordings to features that the model's file describes ${how}; export the model again`,
  );
}

function unusable(path: string, reason: string): UserError {
  return new UserError('SP727', `"${path}" ${reason}`);
}
