import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { toDense } from '../data/batch.ts';
import { openRecordings, type Recording, recordingKind, recordingNames } from '../data/recordings.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { argmax } from '../targets/onnx/measures.ts';
import type { AnyModel, Classifier, ClassifierInfo } from '../targets/onnx/open.ts';
import type { OnnxStream } from '../targets/onnx/runStream.ts';
import { chunkSteps, type Word, Words, wordRuleOf } from '../targets/onnx/words.ts';
import { FileProgress } from './fileProgress.ts';
import type { Output } from './output.ts';
import { count, duration, printable } from './text.ts';

/** One classified recording, or one word of a stream, as `--json` lists it. */
export interface Inference {
  /** `-` for stdin. */
  readonly file: string;
  /** Which recording of the file, from 0. */
  readonly sample: number;
  /** The class's name, or its index where the training data had no names. */
  readonly class: string;
  readonly index: number;
  readonly scores: readonly number[];
  /** Words of streams: seconds from the stream's start to the word's beginning, with a silence gate only. */
  readonly start?: number;
  /** Words of streams: seconds from the stream's start to its end, or to when it was known. */
  readonly end?: number;
  /** Of the model alone, without reading and preparing; of a word, since the one before. */
  readonly seconds: number;
}

/**
 * Classifies the recordings of files and folders. A damaged recording is left out and reported, and the command fails at
 * its end.
 */
export async function inferFiles(opened: AnyModel, inputs: readonly string[], output: Output): Promise<void> {
  const files = inputs.flatMap((input) => filesOf(input, recordingKind(opened.info)));
  const progress = new FileProgress(output, files.length);
  const inferences: Inference[] = [];
  const failures: UserError[] = [];
  const start = performance.now();
  for (const file of files) {
    try {
      inferences.push(...(await classifyFile(opened, file, progress)));
    } catch (error) {
      if (!(error instanceof UserError) || error.exitCode === 2 || files.length === 1) throw error;
      failures.push(error);
      progress.warn(`warning: left out: ${error.message}`);
    }
    progress.fileDone();
  }
  progress.close();
  const seconds = (performance.now() - start) / 1000;
  output.say(`${count(inferences.length)} ${opened.mode === 'step' ? 'words' : 'recordings'} in ${duration(seconds)}`);
  output.document(inferences);
  if (failures.length === 0) return;
  throw new UserError('SP728', `${failures.length} of ${files.length} files could not be used; mend or remove them`);
}

/** A file itself, or those of a folder and the folders in it that can be recordings, in the order of their names. */
function filesOf(input: string, kind: 'spikes' | 'sound'): string[] {
  const wanted = kind === 'spikes' ? 'HDF5 files in the layout of SHD' : 'WAV or FLAC files';
  if (!existsSync(input)) {
    throw new UserError('SP836', `there is no file or folder "${input}"; give ${wanted}`, { exitCode: 2 });
  }
  if (!statSync(input).isDirectory()) return [input];
  const names = readdirSync(input, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => recordingNames[kind].test(name));
  if (files.length > 0) return files.toSorted().map((name) => join(input, name));
  const endings = kind === 'spikes' ? '.h5 or .hdf5' : '.wav or .flac';
  throw new UserError('SP836', `the folder "${input}" has no ${endings} files; give ${wanted}`, { exitCode: 2 });
}

async function classifyFile(opened: AnyModel, file: string, progress: FileProgress): Promise<Inference[]> {
  const recordings = await openRecordings(file, opened.info);
  try {
    const inferences: Inference[] = [];
    let dropped = 0;
    for (let sample = 0; sample < recordings.count; sample++) {
      const recording = await recordings.read(sample);
      if (recording.kind === 'features') dropped += recording.dropped;
      for (const inference of await classify(opened, file, sample, recording)) {
        inferences.push(inference);
        progress.say(lineOf(inference, recordings.count > 1));
      }
    }
    if (dropped > 0) {
      progress.warn(`warning: ${count(dropped)} events of "${file}" lay outside of the time window and were left out`);
    }
    return inferences;
  } finally {
    recordings.close();
  }
}

async function classify(opened: AnyModel, file: string, sample: number, recording: Recording): Promise<Inference[]> {
  const found =
    opened.mode === 'step' ? await wordsOf(opened.model, recording) : [await wholeOf(opened.model, recording)];
  return found.map((one) => inferenceOf(file, sample, one, opened.info));
}

type Found = Omit<Word, 'end'> & { readonly end?: number };

export function inferenceOf(file: string, sample: number, found: Found, { classNames }: ClassifierInfo): Inference {
  return { file, sample, class: classNames[found.index], ...found };
}

/** What a model of whole sequences says to a recording. */
export async function wholeOf(model: Classifier, recording: Recording): Promise<Found> {
  const start = performance.now();
  const scores = await (recording.kind === 'sound'
    ? model.classifySound(recording.samples)
    : model.predict(recording.batch));
  return { index: argmax(scores), scores: [...scores], seconds: (performance.now() - start) / 1000 };
}

/** Feeds a recording to a model of a stream in chunks. */
async function wordsOf(stream: OnnxStream, recording: Recording): Promise<Word[]> {
  const words = new Words(stream, wordRuleOf(stream, true));
  const { stepSeconds, sampleRate } = stream.info;
  const step = stepSeconds ?? 1;
  const isSound = recording.kind === 'sound';
  const values = isSound ? recording.samples : toDense(recording.batch);
  // Numbers in a second, and in a chunk.
  const rate = isSound ? (sampleRate as number) : recording.batch.features / step;
  const size = Math.round(chunkSteps(stream) * step * rate);
  const found: Word[] = [];
  for (let from = 0; from < values.length; from += size) {
    const chunk = values.slice(from, from + size);
    found.push(...(await words.feed(chunk, chunk.length / rate)));
  }
  return [...found, ...words.end()];
}

function lineOf(
  { file, sample, class: name, index, scores, start, end, seconds }: Inference,
  several: boolean,
): string {
  const which = several ? `${file} ${sample}` : file;
  const begin = start === undefined ? '' : `${start.toFixed(2)}-`;
  const time = end === undefined ? `${(1000 * seconds).toFixed(1)} ms` : `${begin}${end.toFixed(2)} s`;
  return printable(`${which}  class ${name}  score ${scores[index].toPrecision(4)}  ${time}`);
}
