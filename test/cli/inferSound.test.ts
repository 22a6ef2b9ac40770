import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { inferCommand } from '../../src/cli/infer.ts';
import { listen } from '../../src/cli/listen.ts';
import { modelMetadata } from '../../src/cli/modelMetadata.ts';
import { type Compiled, compileSource } from '../../src/compile.ts';
import { AudioReader } from '../../src/data/audio/read.ts';
import type { Sample, SampleOf } from '../../src/data/definition.ts';
import { sampleTransforms } from '../../src/data/sampleTransform.ts';
import { initialParameters } from '../../src/targets/draws.ts';
import { type ExportOptions, exportOnnx } from '../../src/targets/onnx/export.ts';
import { openAny } from '../../src/targets/onnx/open.ts';
import { openOnnx } from '../../src/targets/onnx/run.ts';
import { temporaryFolder } from '../targets/onnx/support.ts';
import { start } from './support.ts';

const fixtures = 'test/fixtures/audio/fbank';
const wavs = readdirSync(fixtures)
  .filter((name) => name.endsWith('.wav'))
  .toSorted();
const folder = temporaryFolder();
const sounds = join(folder, 'sounds');
const classNames = Array.from({ length: 20 }, (_, i) => `word ${i}`);
const specOf = (source: string) =>
  compileSource({
    name: 'sound.yaml',
    text: `
sparchc: 1
data: { source: '${source}', validation: test }
model: input |> RadLIF(12) |> LI(classes) |> softmax_sum
`,
  });
const spec = specOf('hd(folder="nowhere") |> resample(16kHz) |> fbank(mels=40)');

function model(name: string, options: Partial<ExportOptions> = {}, of: Compiled = spec): string {
  const path = join(folder, name);
  const metadata = modelMetadata(of, { classNames, rate: 48_000 });
  writeFileSync(path, exportOnnx(of.graph, initialParameters(of.graph, 3), { fold: true, metadata, ...options }));
  return path;
}

beforeAll(() => {
  mkdirSync(join(sounds, 'nested'), { recursive: true });
  for (const [i, name] of wavs.entries()) {
    copyFileSync(join(fixtures, name), join(sounds, i === 0 ? 'nested' : '', name));
  }
  copyFileSync('test/fixtures/audio/flac16.flac', join(sounds, 'z.flac'));
});

async function infer(...args: string[]): Promise<{ stdout: string; stderr: string; error: unknown }> {
  const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const textOf = (spy: typeof out) => spy.mock.calls.map(([text]) => text).join('');
  try {
    const error = await inferCommand()
      .exitOverride()
      .parseAsync(args, { from: 'user' })
      .then(
        () => null,
        (e: unknown) => e,
      );
    return { stdout: textOf(out), stderr: textOf(err), error };
  } finally {
    vi.restoreAllMocks();
  }
}

/** What the trainer's own pipeline and the model of features give. */
async function expectedScores(file: string): Promise<number[]> {
  return scoresOf(spec, await new AudioReader({ maxDuration: 60, assumeRate: null }).read(file));
}

async function scoresOf(of: Compiled, sample: Sample): Promise<number[]> {
  const { steps, values } = sampleTransforms(of.experiment.data.transforms, 1).fixed(sample) as SampleOf<'features'>;
  const opened = await openOnnx(model('expected.onnx', {}, of), { threads: 1 });
  const input = { kind: 'dense', values } as const;
  const batch = { size: 1, steps, features: 40, input, labels: Int32Array.of(0), samples: Int32Array.of(0) };
  const { scores } = await opened.evaluate(batch);
  await opened.dispose();
  return [...scores];
}

describe('sparchc infer, sound', () => {
  it.each(['features', 'waveform'] as const)('gives what the trainer gives, with a model of %s', async (input) => {
    const { stdout, error } = await infer(model('model.onnx', { input }), sounds, '--json');
    expect(error).toBeNull();
    const found = JSON.parse(stdout);
    expect(found.map(({ file }: { file: string }) => file)).toEqual(
      [...wavs.slice(1), 'z.flac', join('nested', wavs[0])].toSorted().map((name) => join(sounds, name)),
    );
    for (const { file, index, scores, class: name } of found) {
      const expected = await expectedScores(file);
      scores.forEach((score: number, k: number) => {
        expect(score).toBeCloseTo(expected[k], 4);
      });
      expect(name).toBe(`word ${index}`);
    }
  });

  it('reads recordings as training read them, where the spec assumed a rate', async () => {
    const assuming = specOf('hd(folder="nowhere", assume_rate=8kHz) |> fbank(mels=40)');
    const file = join(fixtures, wavs.find((name) => name.includes('16k')) as string);
    for (const input of ['features', 'waveform'] as const) {
      const { stdout } = await infer(model('assumed.onnx', { input }, assuming), file, '--json');
      const [{ scores }] = JSON.parse(stdout);
      const sample = await new AudioReader({ maxDuration: 60, assumeRate: 8000 }).read(file);
      const expected = await scoresOf(assuming, sample);
      for (const [k, score] of scores.entries()) expect(score).toBeCloseTo(expected[k], 4);
    }
  });

  it('leaves out damaged recordings, says so and fails at its end', async () => {
    const cut = join(folder, 'cut');
    mkdirSync(cut, { recursive: true });
    const whole = readFileSync(join(fixtures, wavs[0]));
    writeFileSync(join(cut, 'a.wav'), whole.subarray(0, 2000));
    writeFileSync(join(cut, 'b.wav'), whole);
    const { stdout, stderr, error } = await infer(model('model.onnx'), cut, '--json');
    expect(JSON.parse(stdout)).toHaveLength(1);
    expect(stderr).toContain('a.wav" is truncated');
    expect(error).toMatchObject({ message: '1 of 2 files could not be used; mend or remove them', exitCode: 1 });
  });

  it.each([
    ['spikes', 'test/fixtures/data/valid.h5', /holds HDF5, and the model takes sound: give WAV or FLAC files$/],
    ['text', 'README.md', /is neither a WAV nor a FLAC file; convert it to one, such as with ffmpeg/],
    ['a folder without recordings', 'docs', /the folder "docs" has no .wav or .flac files; give WAV or FLAC files/],
    ['files beside stdin', '-', /stdin \(-\) and files cannot be classified at once/],
  ])('refuses %s', async (_, file, message) => {
    const inputs = file === '-' ? ['-', 'README.md'] : [file];
    const { error } = await infer(model('model.onnx'), ...inputs);
    expect((error as Error).message).toMatch(message);
  });

  it('refuses sound where the model takes spikes', async () => {
    const ofSpikes = specOf('shd(folder="nowhere") |> bin(steps=9, window=1s)');
    const { error } = await infer(model('spikes.onnx', {}, ofSpikes), join(fixtures, wavs[0]));
    expect((error as Error).message).toMatch(/is a recording of sound, and the model takes spikes: give HDF5 files/);
  });
});

describe('sparchc infer -', () => {
  async function heard(path: string, samples: Float32Array, options: Partial<Parameters<typeof listen>[2]> = {}) {
    const bytes = Buffer.from(Int16Array.from(samples, (v) => Math.round(v * 32768)).buffer);
    // Pieces of odd sizes, as pipes give them.
    const pieces = Array.from({ length: Math.ceil(bytes.length / 999) }, (_, i) =>
      bytes.subarray(999 * i, 999 * (i + 1)),
    );
    const opened = await openAny(path, { threads: 1 });
    const words = [];
    const sound = listen(opened, Readable.from(pieces), { format: 's16le', ...options }, new AbortController().signal);
    for await (const word of sound) words.push(word);
    await opened.model.dispose();
    return words;
  }

  async function samplesOf(rate: number): Promise<Float32Array> {
    for (const name of wavs) {
      const sample = await new AudioReader({ maxDuration: 60, assumeRate: null }).read(join(fixtures, name));
      if (sample.kind === 'waveform' && sample.rate === rate) return sample.samples;
    }
    throw new Error(`no recording at ${rate} Hz`);
  }

  it('classifies all of it with a model of whole sequences', async () => {
    const samples = await samplesOf(16_000);
    const [word] = await heard(model('model.onnx'), samples);
    const expected = await expectedScores(join(fixtures, wavs.find((name) => name.includes('16k')) as string));
    word.scores.forEach((score, k) => {
      expect(score).toBeCloseTo(expected[k], 4);
    });
  });

  it('finds each word between two pauses, at any rate', async () => {
    const path = model('step.onnx', {
      input: 'waveform',
      segmentation: { kind: 'silence', steps: 20, threshold: -6 },
    });
    for (const rate of [16_000, 8000]) {
      const word = await samplesOf(rate);
      const pause = new Float32Array(rate / 2);
      const sound = Float32Array.from([...pause, ...word, ...pause, ...word]);
      const words = await heard(path, sound, { rate });
      expect(words).toHaveLength(2);
      const [first, second] = words;
      expect(first.start).toBeGreaterThan(0.4);
      expect(first.end).toBeLessThan(0.6 + word.length / rate);
      expect(second.start as number).toBeGreaterThan(0.9 + word.length / rate);
    }
  });

  it('needs a model that can hear', async () => {
    const path = model('step.onnx', { segmentation: { kind: 'reset' } });
    await expect(heard(path, new Float32Array(9))).rejects.toThrow(
      'the model takes a stream of features, but stdin is read as sound; export it with --mode step --input waveform',
    );
    await expect(heard(model('model.onnx'), new Float32Array(0))).rejects.toThrow('stdin has no sound');
  });

  it('prints what it heard when it is interrupted', async () => {
    const path = model('live.onnx', { input: 'waveform', segmentation: { kind: 'reset' } });
    const { child, done } = start(['infer', path, '-', '--json'], folder);
    // The first line on stderr says that it listens and has heard something.
    const heard = new Promise((resolve) => child.stderr?.once('data', resolve));
    child.stdin?.write(Buffer.alloc(32_000, 7));
    await heard;
    child.kill('SIGINT');
    const { code, stdout } = await done;
    expect(code).toBe(130);
    expect(JSON.parse(stdout).length).toBeGreaterThan(0);
  });
});
