/**
 * The same training step of the same weights on two models in turns, in one process, so that whatever disturbs the machine
 * meets both: medians, and the median of the ratios of neighbours.
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
const number = (key) => Number(values[key]);

/**
 * Prints one JSON line with the seconds of a step of either: `pair` gives the options of two wasm targets, by the names that
 * the line has for them; the second is the one that trains until neurons fire as in a network at work.
 */
export async function printTurns(pair) {
  const { neuron, h5 } = values;
  const [hidden, threads] = [number('hidden'), number('threads')];
  const { graph, batches } = await openNetwork({ neuron, hidden, layers: 3, batch: 128, steps: 100, h5 });
  const named = Object.entries(pair(threads));
  const models = [];
  for (const [, options] of named) {
    models.push(await wasmTarget(options).compile(graph, { seed: 0, optimizer: adam, clipNorm: null }));
  }
  const [first, second] = models;
  for (let i = 0; i < number('warm'); i++) {
    await second.trainStep(batches[i % batches.length], { epoch: 0, learningRate: 0.01 });
  }
  first.load(await second.parameters());
  const times = [];
  for (let i = -2; i < number('n'); i++) {
    const batch = batches[(i + batches.length) % batches.length];
    const turn = [await timed(first, batch), await timed(second, batch)];
    if (i >= 0) times.push(turn);
  }
  const [one, other] = [0, 1].map((m) => times.map((turn) => turn[m]));
  console.log(
    JSON.stringify({
      neuron,
      hidden,
      threads,
      [`${named[0][0]}_s`]: Number(median(one).toFixed(4)),
      [`${named[1][0]}_s`]: Number(median(other).toFixed(4)),
      ratio: Number(median(times.map(([a, b]) => a / b)).toFixed(2)),
      ratio_of_least: Number((Math.min(...one) / Math.min(...other)).toFixed(2)),
    }),
  );
  for (const model of models) model.dispose();
}

/** Seconds of a step that changes no weight. */
async function timed(model, batch) {
  const before = performance.now();
  await model.trainStep(batch, { epoch: 0, learningRate: 0 });
  return (performance.now() - before) / 1000;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
