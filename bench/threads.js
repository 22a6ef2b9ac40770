/**
 * How much faster a training step is on two threads than on one: the same step of the same weights in turns, in one process,
 * so that whatever disturbs the machine meets both. Prints one JSON line: medians, and the median of the ratios of neighbours.
 *
 *   npm run build && node bench/threads.js --neuron RadLIF --hidden 512 --h5 FOLDER [--threads 2] [--warm 20] [--n 30]
 */
import { wasmTarget } from '../dist/targets/wasm/target.js';
import { adam, openNetwork } from './network.js';
import { readOptions, spikeFolder } from './options.js';

const { values } = readOptions({
  neuron: { type: 'string', default: 'RadLIF' },
  hidden: { type: 'string', default: '512' },
  threads: { type: 'string', default: '2' },
  warm: { type: 'string', default: '20' },
  n: { type: 'string', default: '30' },
  h5: spikeFolder,
});
const { neuron, h5 } = values;
const number = (key) => Number(values[key]);
const hidden = number('hidden');
const { graph, batches } = await openNetwork({ neuron, hidden, layers: 3, batch: 128, steps: 100, h5 });

const compile = (threads) => wasmTarget({ threads }).compile(graph, { seed: 0, optimizer: adam, clipNorm: null });
const [one, many] = [await compile(1), await compile(number('threads'))];
for (let i = 0; i < number('warm'); i++) {
  await many.trainStep(batches[i % batches.length], { epoch: 0, learningRate: 0.01 });
}
one.load(await many.parameters());

/** Seconds of a step that changes no weight. */
async function timed(model, batch) {
  const before = performance.now();
  await model.trainStep(batch, { epoch: 0, learningRate: 0 });
  return (performance.now() - before) / 1000;
}

const pairs = [];
for (let i = -2; i < number('n'); i++) {
  const batch = batches[(i + batches.length) % batches.length];
  const pair = { one: await timed(one, batch), many: await timed(many, batch) };
  if (i >= 0) pairs.push(pair);
}
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
console.log(
  JSON.stringify({
    neuron,
    hidden,
    threads: number('threads'),
    one_s: Number(median(pairs.map((p) => p.one)).toFixed(4)),
    many_s: Number(median(pairs.map((p) => p.many)).toFixed(4)),
    ratio: Number(median(pairs.map((p) => p.one / p.many)).toFixed(2)),
    ratio_of_least: Number((Math.min(...pairs.map((p) => p.one)) / Math.min(...pairs.map((p) => p.many))).toFixed(2)),
  }),
);
one.dispose();
many.dispose();
