/**
 * Times one training step of sparchc's wasm target on spikes of an SHD-layout file: prints one JSON line, with --profile
 * (one thread) also where the time goes. `cpu_s` is the least CPU time of a step, over all threads.
 *
 *   npm run build && node bench/trainStep.js --neuron RadLIF --hidden 512 --h5 FOLDER [--threads 2] [--warm 20] [--n 5]
 */
import { wasmTarget } from '../dist/targets/wasm/target.js';
import { adam, openNetwork } from './network.js';
import { readOptions, spikeFolder } from './options.js';
import { printProfile, profileCalls } from './profile.js';

const { values } = readOptions({
  neuron: { type: 'string', default: 'RadLIF' },
  hidden: { type: 'string', default: '128' },
  layers: { type: 'string', default: '3' },
  batch: { type: 'string', default: '128' },
  steps: { type: 'string', default: '100' },
  threads: { type: 'string', default: '2' },
  warm: { type: 'string', default: '20' },
  n: { type: 'string', default: '5' },
  h5: spikeFolder,
  profile: { type: 'boolean', default: false },
});
const number = (key) => Number(values[key]);
const median = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];

const batch = number('batch');
const { graph, batches } = await openNetwork({
  neuron: values.neuron,
  hidden: number('hidden'),
  layers: number('layers'),
  batch,
  steps: number('steps'),
  h5: values.h5,
});

const started = performance.now();
const model = await wasmTarget({ threads: number('threads') }).compile(graph, {
  seed: 0,
  optimizer: adam,
  clipNorm: null,
});
const step = (i) => model.trainStep(batches[i % batches.length], { epoch: 0, learningRate: 0.01 });
let result = await step(0);
const startup = (performance.now() - started) / 1000;
const times = [];
const cpu = [];
let calls = null;
for (let i = 1; i < number('warm') + number('n'); i++) {
  if (i === number('warm') && values.profile) calls = profileCalls();
  const before = performance.now();
  const cpuBefore = process.cpuUsage();
  result = await step(i);
  const { user, system } = process.cpuUsage(cpuBefore);
  if (i >= number('warm')) {
    times.push((performance.now() - before) / 1000);
    cpu.push((user + system) / 1e6);
  }
}
if (calls) printProfile(calls, Math.min(...cpu) * 1000);
const mean = (rates) => rates.reduce((a, b) => a + b, 0) / rates.length;
console.log(
  JSON.stringify({
    sparchc: model.backend,
    neuron: values.neuron,
    hidden: number('hidden'),
    batch,
    steps: number('steps'),
    threads: number('threads'),
    step_s: Number(median(times).toFixed(4)),
    cpu_s: Number(Math.min(...cpu).toFixed(4)),
    startup_s: Number(startup.toFixed(3)),
    loss: Number(result.loss.toFixed(3)),
    firing_rates: [...result.firingRates.values()].slice(0, -1).map((r) => Number(mean(r).toFixed(4))),
    peak_rss_mb: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
model.dispose();
