// Trains every neuron of the library on shd-mini and hd-mini, exports it and compares the exported models with the
// trainer on the whole test split: whole sequences, a stream in chunks of random length and, of recordings, both again
// with sound in. Prints a line per model; fails where fewer than 99% of the samples get the same class, or accuracies
// differ by more than 0.5 points.
//
//   node bench/agreement.js --data FOLDER [--epochs 6] [--hidden 64] [--only hd/LIF]
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelMetadata } from '../dist/cli/modelMetadata.js';
import { compileSource } from '../dist/compile.js';
import { toDense } from '../dist/data/batch.js';
import { openPipeline } from '../dist/data/pipeline.js';
import { openRecordings } from '../dist/data/recordings.js';
import { exportOnnx } from '../dist/targets/onnx/export.js';
import { argmax } from '../dist/targets/onnx/measures.js';
import { openOnnx } from '../dist/targets/onnx/run.js';
import { openOnnxStream } from '../dist/targets/onnx/runStream.js';
import { selectTarget } from '../dist/targets/select.js';
import { readOptions } from './options.js';

const { values: args } = readOptions({
  data: { type: 'string', default: '../shared/data' },
  epochs: { type: 'string', default: '6' },
  hidden: { type: 'string', default: '64' },
  only: { type: 'string', default: '' },
});

const folder = mkdtempSync(join(tmpdir(), 'sparchc-agreement-'));
const spiking = `2 * NEURON(${args.hidden}) |> LI(classes) |> softmax_sum`;
const gated = `2 * NEURON(${args.hidden}) |> softmax_sum |> dense(classes)`;
const heads = {
  LIF: spiking,
  adLIF: spiking,
  RLIF: spiking,
  RadLIF: spiking,
  SEadLIF: spiking,
  MLP: gated,
  RNN: gated,
  LiGRU: gated,
  GRU: gated,
};
const sources = {
  shd: `shd(folder="${join(args.data, 'shd-mini')}") |> bin(steps=100, window=1.4s)`,
  hd: `hd(folder="${join(args.data, 'hd-mini')}") |> fbank(mels=40)`,
};

/** A neuron that is not in the library, as users define them. */
const SE_ADLIF = `
  neuron SEadLIF {
    input I
    param alpha in [0.8, 0.96], beta in [0.96, 0.99], a in [0, 2], b in [0, 2]
    recurrent V = orthogonal(diagonal=0)
    state u = 0, w = 0, s = 0
    let v = alpha * u + (1 - alpha) * (I + V @ s - w)
    s' = spike(v - 1, boxcar(0.5))
    u' = v * (1 - s')
    w' = beta * w + (1 - beta) * (a * u' + b * s')
    output s'
  }`;

function specOf(data, neuron) {
  const text = `
sparchc: 1
name: agreement
define: |${SE_ADLIF}
data: { source: '${sources[data]}', validation: test }
model: input |> ${heads[neuron].replace('NEURON', neuron)}
train: { epochs: ${args.epochs}, batch: 32, optimizer: adam(lr=0.01) }
`;
  return compileSource({ name: 'agreement.yaml', text, folder: '.' });
}

async function trained(spec, data) {
  const { target } = await selectTarget('wasm');
  const optimizer = { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 };
  const model = await target.compile(spec.graph, { seed: 1, optimizer, clipNorm: null });
  for (let epoch = 1; epoch <= Number(args.epochs); epoch++) {
    for await (const batch of data.batches('train', { epoch, shuffle: true })) {
      await model.trainStep(batch, { epoch, learningRate: 0.01 });
    }
  }
  return model;
}

/** Scores of one sample by the ways to get them, each from (batch of one, index of the sample). */
async function waysOf(spec, facts, parameters, samplesOf) {
  const metadata = modelMetadata(spec, facts);
  const file = (name, options) => {
    const path = join(folder, `${name}.onnx`);
    writeFileSync(path, exportOnnx(spec.graph, parameters, { fold: true, metadata, ...options }));
    return path;
  };
  const segmentation = { kind: 'reset' };
  const sequence = await openOnnx(file('sequence', {}));
  const stream = await openOnnxStream(file('stream', { segmentation }));
  const ways = {
    sequence: async (batch) => (await sequence.evaluate(batch)).scores,
    stream: (batch) => inChunks(stream, toDense(batch), batch.features),
  };
  if (samplesOf === null) return ways;
  const sound = await openOnnx(file('sound', { input: 'waveform' }));
  const soundStream = await openOnnxStream(file('sound-stream', { input: 'waveform', segmentation }));
  return {
    ...ways,
    sound: async (batch) => sound.classifySound(await samplesOf(batch.samples[0])),
    'sound stream': async (batch) => inChunks(soundStream, await samplesOf(batch.samples[0]), 160),
  };
}

async function inChunks(stream, values, unit) {
  stream.restart();
  let result;
  for (let from = 0, k = 1; from < values.length; k = (7 * k + 3) % 31) {
    const to = Math.min(values.length, from + unit * (1 + k));
    result = await stream.feed(values.slice(from, to));
    from = to;
  }
  return result.scores;
}

/** The recordings of hd's test split at their own rate, as the list has them. */
async function recordingReader(spec) {
  const { readFileSync } = await import('node:fs');
  const { folder: root } = spec.experiment.data.source.params;
  const names = readFileSync(join(root, 'test_filenames.txt'), 'utf8').trim().split(/\s+/);
  const info = { input: 'waveform', sampleRate: null, assumeRate: false, preprocessing: [], features: 40 };
  return async (index) => (await (await openRecordings(join(root, 'audio', names[index]), info)).read(0)).samples;
}

async function compare(dataset, neuron) {
  const spec = specOf(dataset, neuron);
  const data = await openPipeline(spec.experiment.data, { batch: 32, seed: 1 });
  const model = await trained(spec, data);
  const samplesOf = dataset === 'hd' ? await recordingReader(spec) : null;
  const ways = await waysOf(spec, data.facts, await model.parameters(), samplesOf);
  const one = await openPipeline(spec.experiment.data, { batch: 1, seed: 1 });
  const totals = Object.fromEntries(Object.keys(ways).map((name) => [name, { same: 0, right: 0, largest: 0 }]));
  let samples = 0;
  let right = 0;
  for await (const batch of one.batches('test')) {
    const { scores } = await model.evaluate(batch);
    const own = argmax(scores);
    samples++;
    right += own === batch.labels[0];
    for (const [name, way] of Object.entries(ways)) {
      const other = await way(batch);
      const total = totals[name];
      total.same += argmax(other) === own;
      total.right += argmax(other) === batch.labels[0];
      total.largest = Math.max(total.largest, ...other.map((v, i) => Math.abs(v - scores[i])));
    }
  }
  await Promise.all([data.close(), one.close()]);
  model.dispose();
  for (const [name, total] of Object.entries(totals)) {
    const [same, difference] = [total.same / samples, (total.right - right) / samples];
    const passes = same >= 0.99 && Math.abs(difference) <= 0.005;
    if (!passes) process.exitCode = 1;
    const points = (100 * difference).toFixed(2);
    console.log(
      `${dataset}/${neuron}, ${name}: ${samples} samples, trainer ${((100 * right) / samples).toFixed(1)}%, difference ${points} points, same class ${(100 * same).toFixed(2)}%, scores within ${total.largest.toPrecision(2)}${passes ? '' : '  DISAGREES'}`,
    );
  }
}

for (const dataset of Object.keys(sources)) {
  for (const neuron of Object.keys(heads)) {
    if (`${dataset}/${neuron}`.startsWith(args.only)) await compare(dataset, neuron);
  }
}
