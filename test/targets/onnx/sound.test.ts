import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { modelMetadata } from '../../../src/cli/modelMetadata.ts';
import { compileSource } from '../../../src/compile.ts';
import { AudioReader } from '../../../src/data/audio/read.ts';
import type { SampleOf } from '../../../src/data/definition.ts';
import { sampleTransforms } from '../../../src/data/sampleTransform.ts';
import { UserError } from '../../../src/diagnostics/diagnostic.ts';
import { Stream } from '../../../src/random/stream.ts';
import { initialParameters } from '../../../src/targets/draws.ts';
import { type ExportOptions, exportOnnx } from '../../../src/targets/onnx/export.ts';
import { decodeModel, encodeModel } from '../../../src/targets/onnx/proto.ts';
import { openOnnxStream } from '../../../src/targets/onnx/runStream.ts';
import { type RandomNetwork, randomCase } from './networks.ts';
import { metadata, temporaryFolder } from './support.ts';

const temporary = temporaryFolder();

const folder = 'test/fixtures/audio/fbank';

async function recordings(rate: number): Promise<Float32Array[]> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.wav'));
  const reader = new AudioReader({ maxDuration: 60, assumeRate: null });
  const read = await Promise.all(files.map((name) => reader.read(join(folder, name))));
  return read.flatMap((sample) => (sample.kind === 'waveform' && sample.rate === rate ? [sample.samples] : []));
}

function specOf(pipeline: string) {
  return compileSource({
    name: 'sound.yaml',
    text: `
sparchc: 1
data: { source: 'hd(folder="nowhere") |> ${pipeline}', validation: test }
model: input |> RadLIF(8) |> LI(classes) |> softmax_sum
`,
  });
}

function modelOf(pipeline: string, rate: number, options: Partial<ExportOptions> = {}) {
  const spec = specOf(pipeline);
  const metadata = modelMetadata(spec, { classNames: null, rate });
  const parameters = initialParameters(spec.graph, 1);
  const bytes = exportOnnx(spec.graph, parameters, { fold: true, input: 'waveform', metadata, ...options });
  const transform = sampleTransforms(spec.experiment.data.transforms, 1).fixed;
  const features = (samples: Float32Array) =>
    (transform({ kind: 'waveform', samples, rate }) as SampleOf<'features'>).values;
  return { bytes, features };
}

async function sessionOf(pipeline: string, rate: number) {
  const { bytes, features } = modelOf(pipeline, rate);
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  return { session, features };
}

const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return Array.from(a, (v, i) => Math.abs(v - b[i])).reduce((m, d) => Math.max(m, d), 0);
};

const row = (samples: Float32Array) => new Tensor('float32', samples, [1, samples.length]);

describe('features of sound in the graph are those of the trainer', () => {
  it.each([
    [16_000, 'fbank(mels=40)'],
    [8000, 'fbank(mels=40)'],
    [16_000, 'fbank(mels=23, window=hamming, preemphasis=0.9, frame=20ms, shift=12.5ms, low=100Hz, high=7kHz)'],
    [16_000, 'fbank(mels=40, snip_edges=false)'],
    [16_000, 'fbank(mels=40) |> normalize'],
    [16_000, 'fbank(mels=40) |> normalize(variance=false)'],
    [16_000, 'fbank(mels=40) |> normalize(over=past)'],
    [8000, 'fbank(mels=40, snip_edges=false) |> normalize(over=past, variance=false)'],
  ])('at %i Hz: %s', async (rate, pipeline) => {
    const { session, features } = await sessionOf(pipeline, rate);
    const sounds = await recordings(rate);
    expect(sounds.length).toBeGreaterThan(0);
    for (const samples of sounds) {
      const found = await session.run({ x: row(samples) });
      expect(largestDifference(found.features.data as Float32Array, features(samples))).toBeLessThan(1e-3);
    }
  });
});

describe('recordings of unequal length in a batch', () => {
  it.each(['fbank(mels=40) |> normalize', 'fbank(mels=40, snip_edges=false) |> normalize(over=past)'])(
    'each is what it is alone: %s',
    async (pipeline) => {
      const { bytes, features } = modelOf(pipeline, 16_000);
      // Only where the defaults are taken out can they be fed.
      const decoded = decodeModel(bytes);
      decoded.graph.initializer = decoded.graph.initializer.filter(({ name }) => name !== 'lengths');
      const session = await InferenceSession.create(encodeModel(decoded), { logSeverityLevel: 3 });
      const [longer] = await recordings(16_000);
      const lengths = [longer.length, 5000];
      const x = new Float32Array(2 * longer.length).fill(0.7);
      lengths.forEach((length, k) => {
        x.set(longer.subarray(0, length), k * longer.length);
      });
      const fed = {
        x: new Tensor('float32', x, [2, longer.length]),
        lengths: new Tensor('int64', BigInt64Array.from(lengths, BigInt), [2]),
      };
      const together = await session.run(fed);
      const [, steps] = together.features.dims;
      for (const [k, length] of lengths.entries()) {
        const alone = longer.slice(0, length);
        const expected = features(alone);
        const found = (together.features.data as Float32Array).slice(k * steps * 40);
        expect(largestDifference(found.slice(0, expected.length), expected)).toBeLessThan(1e-3);
        const one = await session.run({ x: row(alone), lengths: new Tensor('int64', [BigInt(length)], [1]) });
        const scores = (together.scores.data as Float32Array).slice(k * 20, (k + 1) * 20);
        expect(largestDifference(scores, one.scores.data as Float32Array)).toBeLessThan(1e-4);
      }
    },
  );

  it('what is shorter than a frame is padded with zeros', async () => {
    const { session, features } = await sessionOf('fbank(mels=40)', 16_000);
    const [sound] = await recordings(16_000);
    const found = await session.run({ x: row(sound.slice(0, 100)) });
    const padded = new Float32Array(400);
    padded.set(sound.subarray(0, 100));
    expect(largestDifference(found.features.data as Float32Array, features(padded))).toBeLessThan(1e-3);
  });
});

describe('a stream of sound', () => {
  it.each(['fbank(mels=40)', 'fbank(mels=40, frame=32ms, shift=8ms) |> normalize(over=past)'])(
    '%s',
    async (pipeline) => {
      const { bytes, features } = modelOf(pipeline, 16_000, { segmentation: { kind: 'reset' }, record: true });
      const path = join(temporary, 'step.onnx');
      writeFileSync(path, bytes);
      const stream = await openOnnxStream(path, { threads: 1 });
      const whole = await sessionOf(pipeline, 16_000);
      const draws = new Stream(1, 'chunks');
      for (const samples of await recordings(16_000)) {
        stream.restart();
        const found: number[] = [];
        let scores: Float32Array = new Float32Array();
        for (let from = 0; from < samples.length; ) {
          const to = Math.min(samples.length, from + 1 + draws.integer(700));
          const results = await stream.feed(samples.slice(from, to));
          found.push(...(results.features as Float32Array));
          expect(results.activity.get(stream.info.layers[0].layer)?.length).toBe(results.steps * 8);
          ({ scores } = results);
          from = to;
        }
        expect(largestDifference(found, features(samples))).toBeLessThan(1e-3);
        const all = await whole.session.run({ x: row(samples) });
        expect(largestDifference(scores, all.scores.data as Float32Array)).toBeLessThan(1e-4);
      }
      await stream.dispose();
    },
  );
});

it('rows of a stream of sound are streams of their own, and one may start afresh', async () => {
  const { bytes } = modelOf('fbank(mels=40) |> normalize(over=past)', 16_000, { segmentation: { kind: 'reset' } });
  const path = join(temporary, 'rows.onnx');
  writeFileSync(path, bytes);
  const stream = await openOnnxStream(path, { threads: 1 });
  const [spoken] = await recordings(16_000);
  const a = spoken.slice(0, 8000);
  const b = a.toReversed();
  const rows = (from: number, to: number) => Float32Array.from([...a.slice(from, to), ...b.slice(from, to)]);
  await stream.feed(rows(0, 3000), 2);
  const { scores } = await stream.feed(rows(3000, 8000), 2, [false, true]);

  const alone = async (...chunks: Float32Array[]) => {
    stream.restart();
    let result: Float32Array = new Float32Array();
    for (const chunk of chunks) ({ scores: result } = await stream.feed(chunk));
    return result;
  };
  expect(largestDifference(scores.slice(0, 20), await alone(a.slice(0, 3000), a.slice(3000)))).toBeLessThan(1e-4);
  // 17 frames of the first 3000 samples are complete; the other samples waited, and count as zeros.
  const fresh = Float32Array.from([...new Float32Array(3000 - 17 * 160), ...b.slice(3000)]);
  expect(largestDifference(scores.slice(20), await alone(fresh))).toBeLessThan(1e-4);
  await stream.dispose();
});

describe('minutes of spoken words and noisy pauses', () => {
  it.each(['fbank(mels=40)', 'fbank(mels=40) |> normalize(over=past)'])(
    'the gate gives each word the scores it has alone, and holds them through the pause: %s',
    async (pipeline) => {
      const steps = 15;
      const segmentation = { kind: 'silence', steps, threshold: -5 } as const;
      const { bytes } = modelOf(pipeline, 16_000, { segmentation, input: 'waveform' });
      const path = join(temporary, 'gated.onnx');
      writeFileSync(path, bytes);
      const stream = await openOnnxStream(path, { threads: 1 });
      const plain = modelOf('fbank(mels=40)', 16_000).features;
      const { session } = await sessionOf(pipeline, 16_000);
      const draws = new Stream(6, 'minutes');
      const sound = spoken(draws, await recordings(16_000), 40);
      const words = utterances(plain(sound), segmentation);
      let frames = 0;
      let held = 0;
      const heard = new Map<number, Float32Array>();
      for (let from = 0; from < sound.length; ) {
        const to = Math.min(sound.length, from + 1 + draws.integer(4000));
        const { scores, silentSteps, steps: fed } = await stream.feed(sound.slice(from, to));
        from = to;
        frames += fed;
        if (silentSteps?.[0] !== steps) continue;
        // The gate is closed: these are the scores of the last word, which has been over for `steps` frames.
        const word = words.findLastIndex(({ last }) => last + steps < frames);
        if (word < 0) continue;
        if (heard.has(word)) {
          expect(scores).toEqual(heard.get(word));
          held++;
          continue;
        }
        const { first, last } = words[word];
        // From its first event on, with as much of the pause as the gate lets through.
        const alone = sound.slice(first * 160, (last + steps - 1) * 160 + 400);
        const expected = (await session.run({ x: row(alone) })).scores.data as Float32Array;
        expect(largestDifference(scores, expected)).toBeLessThan(1e-5);
        heard.set(word, scores);
      }
      expect(heard.size, 'words').toBe(words.length);
      expect(words.length).toBeGreaterThan(15);
      expect(held, 'chunks in pauses').toBeGreaterThan(15);
      await stream.dispose();
    },
  );
});

/** Words at different levels, pauses of different lengths between them, and noise all over. */
function spoken(draws: Stream, words: readonly Float32Array[], seconds: number): Float32Array {
  const sound = noise(draws, seconds * 16_000);
  // Pauses are longer than what closes the gate and one chunk together, so that each is seen.
  for (let at = 8000; ; at += 8000 + draws.integer(12_000)) {
    const word = words[draws.integer(words.length)];
    if (at + word.length + 8000 > sound.length) return sound;
    const level = 0.5 + draws.uniform();
    for (const [i, v] of word.entries()) sound[at + i] += level * v;
    at += word.length;
  }
}

/** What lies between pauses: the first and the last frame with a log-mel energy above the threshold. */
function utterances(features: Float32Array, { steps, threshold }: { steps: number; threshold: number }) {
  const found: { first: number; last: number }[] = [];
  for (let t = 0; t < features.length / 40; t++) {
    if (!features.subarray(40 * t, 40 * (t + 1)).some((v) => v > threshold)) continue;
    const current = found.at(-1);
    if (current && t - current.last <= steps) current.last = t;
    else found.push({ first: t, last: t });
  }
  return found;
}

function noise(draws: Stream, length: number): Float32Array {
  return Float32Array.from({ length }, () => 1e-4 * (draws.uniform() - 0.5));
}

describe('sound is refused, with the reason', () => {
  const refusal = (pipeline: string, options: Partial<ExportOptions> = {}, rate: number | null = 16_000) => {
    const spec = specOf(pipeline);
    const metadata = modelMetadata(spec, { classNames: null, rate });
    try {
      exportOnnx(spec.graph, initialParameters(spec.graph, 1), { fold: true, input: 'waveform', metadata, ...options });
      return null;
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      expect((error as UserError).exitCode).toBe(2);
      return (error as UserError).message;
    }
  };
  const reset = { segmentation: { kind: 'reset' } } as const;
  const gated = (threshold?: number) => ({ segmentation: { kind: 'silence', steps: 5, threshold } }) as const;

  it.each<[string, string | null, RegExp]>([
    [
      'an unknown rate',
      refusal('fbank(mels=40)', {}, null),
      /sampling rate of the recordings.*not known; put resample/,
    ],
    [
      'mirrored edges in a stream',
      refusal('fbank(mels=40, snip_edges=false)', reset),
      /mirrors a recording at its end/,
    ],
    [
      'frames with gaps in a stream',
      refusal('fbank(mels=40, frame=10ms, shift=20ms)', reset),
      /shift is longer than its frame/,
    ],
    [
      'the whole utterance in a stream',
      refusal('fbank(mels=40) |> normalize', reset),
      /normalized over the whole utterance/,
    ],
    ['a gate without a threshold', refusal('fbank(mels=40)', gated()), /log-mel energies are never 0.*--threshold/],
    [
      'a gate on normalized features',
      refusal('fbank(mels=40) |> normalize(over=past)', { ...gated(1), input: 'features' }),
      /--input waveform, whose gate/,
    ],
    ['two normalizations', refusal('fbank(mels=40) |> normalize |> normalize'), /made by fbank, normalize, normalize/],
  ])('%s', (_, message, expected) => {
    expect(message).toMatch(expected);
  });

  it('spikes', () => {
    const { graph, parameters } = randomCase(spikingNetwork);
    expect(() => exportOnnx(graph, parameters, { fold: true, input: 'waveform', metadata })).toThrow(
      'the network cannot take sound: its input is counted spikes',
    );
    const unknown = { ...metadata, preprocessing: [] };
    expect(() => exportOnnx(graph, parameters, { fold: true, input: 'waveform', metadata: unknown })).toThrow(
      'its input is not made from sound; leave out --input waveform',
    );
  });
});

const spikingNetwork: RandomNetwork = {
  layers: [{ type: 'LIF', size: 4, norm: 'batchnorm', bias: false, bidirectional: false }],
  merge: null,
  head: 'mean',
  batch: 1,
  steps: 1,
  padded: false,
  seed: 1,
};
