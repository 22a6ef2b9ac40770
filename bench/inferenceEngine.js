/**
 * Runs a trained network in one engine of sparchc, for bench/inference.js, which starts it: the counterpart of
 * peer/torch_inference.py, with the same requests and answers, one JSON line each.
 *
 *   node bench/inferenceEngine.js wasm|onnx|onnx-int8 --run RUN --h5 FILE [--threads 2] [--utterances 64]
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { compileSpec } from '../dist/compile.js';
import { toDense } from '../dist/data/batch.js';
import { collate } from '../dist/data/batching.js';
import { openRecordings } from '../dist/data/recordings.js';
import { openOnnx } from '../dist/targets/onnx/run.js';
import { openOnnxStream } from '../dist/targets/onnx/runStream.js';
import { wasmTarget } from '../dist/targets/wasm/target.js';
import { loadTrainedModel } from '../dist/train/run.js';
import { RunFolder } from '../dist/train/runFolder.js';
import { readOptions } from './options.js';

const { values, positionals } = readOptions(
  {
    run: { type: 'string' },
    h5: { type: 'string', placeholder: 'FILE in the layout of SHD' },
    threads: { type: 'string', default: '2' },
    utterances: { type: 'string', default: '64' },
  },
  { allowPositionals: true },
);
const threads = Number(values.threads);
const folder = new RunFolder(values.run);
const spec = compileSpec(folder.spec);

async function readSamples(count) {
  const { transforms: preprocessing } = spec.experiment.data;
  const input = { input: 'features', sampleRate: null, assumeRate: false, features: spec.data.features };
  const recordings = await openRecordings(values.h5, { ...input, preprocessing });
  const samples = [];
  for (let i = 0; i < count; i++) {
    const { steps, input } = (await recordings.read(i)).batch;
    samples.push({ ...input, kind: 'eventSteps', steps });
  }
  recordings.close();
  return samples;
}

const samples = await readSamples(Number(values.utterances));
const batchOf = (i, size) => {
  const indices = Int32Array.from({ length: size }, (_, k) => (i * size + k) % samples.length);
  const chosen = [...indices].map((k) => samples[k]);
  return collate(chosen, spec.data.features, new Int32Array(size), indices);
};

/** The modes of models of whole sequences and of streams. */
async function exported(sequencesFile, streamFile) {
  const model = await openOnnx(sequencesFile, { threads });
  const stream = await openOnnxStream(streamFile, { threads });
  const chunks = (steps) => (batch) => {
    stream.restart();
    const x = toDense(batch);
    const size = steps * batch.features;
    return Array.from({ length: batch.steps / steps }, (_, k) => {
      const chunk = new Float32Array(batch.size * size);
      for (let b = 0; b < batch.size; b++) {
        const start = b * batch.steps * batch.features + k * size;
        chunk.set(x.subarray(start, start + size), b * size);
      }
      return async () => (await stream.feed(chunk, batch.size)).scores;
    });
  };
  return { sequence: (batch) => [() => model.predict(batch)], step: chunks(1), chunk: chunks(5) };
}

/** Each mode: makes a list of calls of a batch, the last of which gives the scores. */
const engines = {
  async wasm() {
    const model = await loadTrainedModel(folder, spec, () => wasmTarget({ threads }));
    return { sequence: (batch) => [async () => await model.predict(batch)] };
  },
  onnx: () => exported(folder.model, folder.exported('step', 'features')),
  'onnx-int8': () => exported(join(values.run, 'int8.onnx'), join(values.run, 'int8-step.onnx')),
};
const engine = await engines[positionals[0]]();

async function run({ mode, batch: size, first, count }) {
  const seconds = [];
  const classes = [];
  for (let i = first; i < first + count; i++) {
    let scores;
    for (const call of engine[mode](batchOf(i, size))) {
      const started = performance.now();
      scores = await call();
      seconds.push((performance.now() - started) / 1000);
    }
    const width = scores.length / size;
    for (let b = 0; b < size; b++) {
      const row = scores.subarray(b * width, (b + 1) * width);
      classes.push(row.indexOf(Math.max(...row)));
    }
  }
  return { seconds, classes, peak_rss_mb: Math.round(process.resourceUsage().maxRSS / 1024) };
}

for await (const line of createInterface({ input: process.stdin }))
  console.log(JSON.stringify(await run(JSON.parse(line))));
process.exit();
