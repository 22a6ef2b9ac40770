/**
 * Times a training step of sparchc and of PyTorch in turns, each in a process of its own, and prints a markdown table.
 *
 *   npm run build && node bench/compare.js --h5 FOLDER --python VENV/bin/python
 *   node bench/compare.js ... --networks RadLIF:512,GRU:128 --rounds 5
 *   node bench/compare.js ... --networks RadLIF:512 --sweep batch        (or steps, or threads)
 *
 * FOLDER holds spikes in SHD's layout. What stands in the table is said in bench/README.md.
 */
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fail, readOptions, spikeFolder } from './options.js';

const everyNetwork = ['LIF', 'adLIF', 'RLIF', 'RadLIF']
  .flatMap((neuron) => [128, 512, 1024].map((hidden) => `${neuron}:${hidden}`))
  .concat('GRU:128');
const sweeps = {
  batch: [16, 32, 64, 128, 256],
  steps: [50, 100, 200, 400],
  threads: [1, 2, 4, 8].filter((n) => n <= availableParallelism()),
};

const { values: options } = readOptions({
  h5: spikeFolder,
  python: { type: 'string', default: 'python3' },
  networks: { type: 'string', default: everyNetwork.join() },
  rounds: { type: 'string', default: '3' },
  threads: { type: 'string', default: '2' },
  batch: { type: 'string', default: '128' },
  steps: { type: 'string', default: '100' },
  warm: { type: 'string', default: '20' },
  n: { type: 'string', default: '5' },
  sweep: { type: 'string', optional: true },
});
if (options.sweep && !sweeps[options.sweep]) fail(`--sweep is one of ${Object.keys(sweeps).join(', ')}`);
const networks = options.networks.split(',').map((name) => {
  const [neuron, hidden] = name.split(':');
  if (!hidden) fail(`"${name}" is no network; write NEURON:HIDDEN, as RadLIF:512`);
  return { neuron, hidden: Number(hidden) };
});

const local = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Runs a program that prints one JSON line. */
async function measure(program, args) {
  try {
    const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 2 ** 24 });
    return JSON.parse(stdout.trim().split('\n').at(-1));
  } catch (error) {
    return fail(`${program} ${args.join(' ')} failed:\n${error.stderr || error.message}`);
  }
}

const flags = (settings) => Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]);
const sparchc = (settings) =>
  measure(process.execPath, [local('trainStep.js'), '--h5', options.h5, ...flags(settings)]);
const peer = (settings) =>
  measure(options.python, [
    local('peer/torch_step.py'),
    '--h5',
    resolve(options.h5, 'shd_train.h5'),
    ...flags(settings),
  ]);
const densePeak = (threads) => measure(options.python, [local('peer/dense_peak.py'), ...flags({ threads })]);

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Floating-point operations of the dense products that a training step stands for, forward and backward. */
function denseFlops({ neuron, hidden, batch, steps }) {
  const [inputs, classes] = [700, 20];
  const gates = neuron === 'GRU' ? 3 : 1;
  const recurrent = ['RLIF', 'RadLIF', 'GRU'].includes(neuron);
  const rows = batch * steps;
  // Each product has three: the value, the gradient of the weights, that of the input, which the first layer's lacks.
  const product = (n, from, to, count = 3) => 2 * n * from * to * count;
  const readout = product(neuron === 'GRU' ? batch : rows, hidden, classes);
  const recurrence = recurrent ? 2 * gates * product(rows, hidden, hidden) : 0;
  return gates * (product(rows, inputs, hidden, 2) + product(rows, hidden, hidden)) + recurrence + readout;
}

/** `rounds` of both, in turns. */
async function compare(settings) {
  const own = [];
  const other = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    other.push(await peer(settings));
    own.push(await sparchc(settings));
    console.error(`${JSON.stringify(settings)} PyTorch ${other.at(-1).step_s} s, sparchc ${own.at(-1).step_s} s`);
  }
  const step = (runs) => median(runs.map((r) => r.step_s));
  const ratios = own.map((r, i) => other[i].step_s / r.step_s);
  return {
    ...settings,
    peerStep: step(other),
    ownStep: step(own),
    ratio: step(other) / step(own),
    ratios: [Math.min(...ratios), Math.max(...ratios)],
    peerMemory: median(other.map((r) => r.peak_rss_mb)),
    ownMemory: median(own.map((r) => r.peak_rss_mb)),
    peerRate: other[0].firing_rates.at(-1),
    ownRate: own[0].firing_rates.at(-1),
    gflops: denseFlops(settings) / step(own) / 1e9,
  };
}

const seconds = (s) => `${s.toFixed(s < 1 ? 3 : 2)} s`;
const percent = (share) => `${(100 * share).toFixed(1)}%`;

const columns = {
  'PyTorch step': (r) => seconds(r.peerStep),
  'sparchc step': (r) => seconds(r.ownStep),
  ratio: (r) => `${r.ratio.toFixed(1)} (${r.ratios.map((x) => x.toFixed(1)).join(' to ')})`,
  'peak memory': (r) => `${r.peerMemory} / ${r.ownMemory} MB = 1 / ${(r.peerMemory / r.ownMemory).toFixed(1)}`,
  'firing rates': (r) => `${percent(r.peerRate)} / ${percent(r.ownRate)}`,
  'share of dense peak': (r) => percent(r.gflops / r.peak),
};

function printTable(first, rows, more = {}) {
  const all = { ...first, ...columns, ...more };
  const line = (cells) => console.log(`| ${cells.join(' | ')} |`);
  line(Object.keys(all));
  line(Object.keys(all).map(() => '---'));
  for (const row of rows) line(Object.values(all).map((cell) => cell(row)));
}

const peaks = new Map();
async function peakWith(threads) {
  if (!peaks.has(threads)) peaks.set(threads, (await densePeak(threads)).gflops);
  return peaks.get(threads);
}

async function row(settings) {
  return { ...(await compare(settings)), peak: await peakWith(settings.threads) };
}

const base = Object.fromEntries(['batch', 'steps', 'threads', 'warm', 'n'].map((key) => [key, Number(options[key])]));
const { sweep } = options;
if (sweep) {
  for (const network of networks) {
    const rows = [];
    for (const value of sweeps[sweep]) rows.push(await row({ ...network, ...base, [sweep]: value }));
    console.log(`\n${network.neuron} ${network.hidden}, by ${sweep}:\n`);
    printTable({ [sweep]: (r) => r[sweep] }, rows, {
      [`sparchc, times that of ${sweep} ${sweeps[sweep][0]}`]: (r) => (r.ownStep / rows[0].ownStep).toFixed(2),
    });
  }
} else {
  const rows = [];
  for (const network of networks) rows.push(await row({ ...network, ...base }));
  printTable({ network: (r) => `${r.neuron} ${r.hidden}` }, rows);
}
for (const [threads, gflops] of peaks)
  console.log(`\nDense product in PyTorch, ${threads} threads: ${gflops} GFLOP/s.`);
