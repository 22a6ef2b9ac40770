import type { Readable } from 'node:stream';
import { Resampler } from '../data/audio/resampler.ts';
import { LONGEST, recordingKind, soundRecording } from '../data/recordings.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { AnyModel, Classifier, ClassifierInfo } from '../targets/onnx/open.ts';
import type { OnnxStream } from '../targets/onnx/runStream.ts';
import { chunkSteps, type Word, Words, wordRuleOf } from '../targets/onnx/words.ts';
import { type Inference, inferenceOf, wholeOf } from './inferFiles.ts';
import { PcmDecoder, type PcmFormat } from './pcm.ts';

interface SoundOptions {
  /** Of the raw sound; the model's where absent. */
  readonly rate?: number;
  readonly format: PcmFormat;
}

/**
 * Classifies raw sound: word by word as it comes, with a model of a stream, or all of it at its end. An abort ends it as
 * the end of the sound does. Throws UserError SP837 where the model cannot hear.
 */
export async function* listen(
  opened: AnyModel,
  input: Readable,
  options: SoundOptions,
  signal: AbortSignal,
): AsyncGenerator<Inference> {
  const { info } = opened;
  const rate = requireHearing(opened);
  const sound = samplesOf(input, options, rate, signal);
  if (opened.mode === 'step') yield* heard(opened.model, rate, sound);
  else yield await classified(opened.model, info, rate, sound);
}

/** The model's rate. */
function requireHearing({ mode, info }: AnyModel): number {
  if (recordingKind(info) === 'spikes') {
    throw new UserError(
      'SP837',
      'the model takes spikes, but stdin is read as sound; give HDF5 files in the layout of SHD',
      {
        exitCode: 2,
      },
    );
  }
  if (mode === 'step' && info.input === 'features') {
    const message =
      'the model takes a stream of features, but stdin is read as sound; export it with --mode step --input waveform';
    throw new UserError('SP837', message, { exitCode: 2 });
  }
  if (info.sampleRate !== null) return info.sampleRate;
  throw new UserError('SP837', 'the model does not say which sampling rate it takes; train and export it again', {
    exitCode: 2,
  });
}

async function* heard(stream: OnnxStream, rate: number, sound: AsyncIterable<Float32Array>): AsyncGenerator<Inference> {
  const words = new Words(stream, wordRuleOf(stream, false));
  const size = Math.round(chunkSteps(stream) * (stream.info.stepSeconds ?? 0.01) * rate);
  const told = (word: Word) => inferenceOf('-', 0, word, stream.info);
  for await (const samples of sound) {
    for (let from = 0; from < samples.length; from += size) {
      const chunk = samples.slice(from, from + size);
      for (const word of await words.feed(chunk, chunk.length / rate)) yield told(word);
    }
  }
  for (const word of words.end()) yield told(word);
}

async function classified(
  model: Classifier,
  info: ClassifierInfo,
  rate: number,
  sound: AsyncIterable<Float32Array>,
): Promise<Inference> {
  const chunks: Float32Array[] = [];
  let length = 0;
  for await (const samples of sound) {
    chunks.push(samples);
    length += samples.length;
    if (length <= LONGEST * rate) continue;
    throw new UserError(
      'SP837',
      `stdin lasts longer than ${LONGEST} s, which is for a model of a stream; export it with --mode step`,
    );
  }
  if (length === 0) throw new UserError('SP837', 'stdin has no sound; pipe raw sound into it');
  const samples = new Float32Array(length);
  let at = 0;
  for (const chunk of chunks) {
    samples.set(chunk, at);
    at += chunk.length;
  }
  const recording = soundRecording('-', { kind: 'waveform', samples, rate }, info);
  return inferenceOf('-', 0, { ...(await wholeOf(model, recording)), end: length / rate }, info);
}

/** Raw sound at the model's rate. */
async function* samplesOf(
  input: Readable,
  { rate, format }: SoundOptions,
  wanted: number,
  signal: AbortSignal,
): AsyncGenerator<Float32Array> {
  const decoder = new PcmDecoder(format);
  const resample = rate === undefined || rate === wanted ? null : new Resampler(rate, wanted).stream();
  const stop = () => void input.destroy();
  signal.addEventListener('abort', stop);
  try {
    for await (const bytes of input) {
      const samples = decoder.decode(bytes as Buffer);
      const at = resample ? resample(samples, false) : samples;
      if (at.length > 0) yield at;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  if (resample) yield resample(new Float32Array(0), true);
}
