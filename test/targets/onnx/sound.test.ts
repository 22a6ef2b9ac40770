import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { modelMetadata } from '../../../src/cli/modelMetadata.ts';
import { compileSource } from '../../../src/compile.ts';
import { AudioReader } from '../../../src/data/audio/read.ts';
import type { SampleOf } from '../../../src/data/definition.ts';
import { sampleTransforms } from '../../../src/data/sampleTransform.ts';
import { Stream } from '../../../src/random/stream.ts';
import { initialParameters } from '../../../src/targets/draws.ts';
import { type ExportOptions, exportOnnx } from '../../../src/targets/onnx/export.ts';
import { openOnnxStream } from '../../../src/targets/onnx/runStream.ts';
import { temporaryFolder } from './support.ts';

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
      const d = largestDifference(found.features.data as Float32Array, features(samples));
      expect(d).toBeLessThan(1e-3);
    }
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
