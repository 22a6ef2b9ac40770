/**
 * Times inference of the same trained networks in sparchc's engines and in eager PyTorch, in turns, and prints markdown
 * tables: latency of one utterance, throughput of a batch, whole sequences and step by step.
 *
 *   npm run build && node bench/inference.js --h5 FOLDER --python VENV/bin/python [--networks RadLIF:128,RadLIF:512]
 *
 * FOLDER holds spikes in SHD's layout. Networks are trained for a few epochs first, into --runs (kept for the next time).
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { readOptions, spikeFolder } from './options.js';

const { values: options } = readOptions({
  h5: spikeFolder,
  python: { type: 'string', default: 'python3' },
  networks: { type: 'string', default: 'RadLIF:128,RadLIF:512,RadLIF:1024,LIF:128,LIF:512,LIF:1024' },
  runs: { type: 'string', default: 'runs/bench-inference' },
  epochs: { type: 'string', default: '20' },
  threads: { type: 'string', default: '2' },
  rounds: { type: 'string', default: '5' },
});

const local = (path) => fileURLToPath(new URL(path, import.meta.url));
const testFile = resolve(options.h5, 'shd_test.h5');
const STEPS = 100;
const ENGINES = ['PyTorch', 'ONNX', 'ONNX int8', 'wasm'];

/** Time steps of 10 ms in a call. */
const stepsOf = { sequence: STEPS, step: 1, chunk: 5 };

/**
 * What is measured: `count` utterances or batches of them for each engine in every round, after a round of `warm` ones. A
 * stream goes on for hours, so it is measured after a thousand calls: until then Node compiles what is called.
 */
const tasks = [
  { mode: 'sequence', batch: 1, warm: 20, count: 20 },
  { mode: 'step', batch: 1, warm: 10, count: 2 },
  { mode: 'chunk', batch: 1, warm: 50, count: 4 },
  { mode: 'sequence', batch: 32, warm: 2, count: 2 },
  { mode: 'step', batch: 32, warm: 1, count: 1 },
];

/** The run folder of a network, trained unless it is there already, and exported in both modes, also with int8 weights. */
function trained(neuron, hidden) {
  const name = `${neuron}-${hidden}`;
  const folder = resolve(options.runs, name);
  if (!existsSync(join(folder, 'result.json'))) train(neuron, hidden, name, folder);
  sparchc('export', folder);
  sparchc('export', folder, '--mode', 'step');
  sparchc('export', folder, '--quantize', 'int8', '-o', join(folder, 'int8.onnx'));
  sparchc('export', folder, '--mode', 'step', '--quantize', 'int8', '-o', join(folder, 'int8-step.onnx'));
  return folder;
}

function train(neuron, hidden, name, folder) {
  console.error(`training ${name}`);
  const spec = {
    sparchc: 1,
    name,
    data: {
      source: `shd(folder=${JSON.stringify(resolve(options.h5))}) |> bin(steps=${STEPS}, window=1.4s)`,
      validation: 'test',
    },
    model: `input |> 2 * ${neuron}(${hidden}, dropout=0.1) |> LI(classes) |> softmax_sum`,
    train: { epochs: Number(options.epochs), batch: 64, optimizer: 'adam(lr=0.01)' },
  };
  mkdirSync(resolve(options.runs), { recursive: true });
  const file = resolve(options.runs, `${name}.yaml`);
  writeFileSync(file, stringify(spec));
  sparchc('train', file, '--out', folder, '--target', 'wasm');
}

function sparchc(...args) {
  const command = [local('../dist/cli/main.js'), ...args, '--quiet'];
  const { status } = spawnSync(process.execPath, command, { stdio: 'inherit' });
  // It has said why.
  if (status !== 0) process.exit(status ?? 1);
}

/** Starts a program that answers requests, one JSON line each. */
function start(program, args) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`${program} ended; see above`);
      return JSON.parse(value);
    },
    end: () => child.stdin.end(),
  };
}

function startEngines(folder) {
  const { threads } = options;
  const own = (engine) =>
    start(process.execPath, [
      ...[local('inferenceEngine.js'), engine],
      ...['--run', folder, '--h5', testFile, '--threads', threads],
    ]);
  const checkpoint = join(folder, 'checkpoints', 'best.safetensors');
  const peer = [local('peer/torch_inference.py'), '--checkpoint', checkpoint, '--h5', testFile, '--threads', threads];
  const processes = [start(options.python, peer), own('onnx'), own('onnx-int8'), own('wasm')];
  return Object.fromEntries(ENGINES.map((name, i) => [name, processes[i]]));
}

/** Results of all rounds by engine: seconds of every call, classes, and the peak memory so far. */
async function measure(engines, task) {
  const found = new Map();
  for (let round = -1; round < Number(options.rounds); round++) {
    for (const [name, engine] of Object.entries(engines)) {
      if (name === 'wasm' && task.mode !== 'sequence') continue;
      const isWarm = round >= 0;
      const asked = isWarm ? { first: round * task.count, count: task.count } : { first: 0, count: task.warm };
      const answer = await engine.ask({ mode: task.mode, batch: task.batch, ...asked });
      // Threads that spin after their work must not disturb the next engine.
      await setTimeout(200);
      if (!isWarm) found.set(name, { seconds: [], classes: [], memory: 0 });
      else {
        const all = found.get(name);
        all.seconds.push(...answer.seconds);
        all.classes.push(...answer.classes);
        all.memory = answer.peak_rss_mb;
      }
    }
  }
  return found;
}

const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
const milliseconds = (s) => (1000 * s).toPrecision(3);

function row(network, { mode, batch }, found) {
  const peer = found.get('PyTorch');
  const cells = [network, `${mode}, ${batch}`];
  for (const name of ENGINES) {
    const own = found.get(name);
    if (!own) {
      cells.push('', '');
      continue;
    }
    const median = quantile(own.seconds, 0.5);
    const sound = (batch * stepsOf[mode]) / STEPS;
    const ratio = name === 'PyTorch' ? '' : ` = 1 / ${(quantile(peer.seconds, 0.5) / median).toFixed(1)}`;
    cells.push(`${milliseconds(median)} (${milliseconds(quantile(own.seconds, 0.99))}) ms${ratio}`);
    cells.push(`${(sound / median).toFixed(0)}x, ${own.memory} MB`);
  }
  const compared = [...found].filter(([name]) => name !== 'PyTorch');
  const same = compared.map(
    ([, own]) => own.classes.filter((c, i) => c === peer.classes[i]).length / own.classes.length,
  );
  cells.push(same.map((share) => `${(100 * share).toFixed(0)}%`).join(' / '));
  return `| ${cells.join(' | ')} |`;
}

function firingRates(folder) {
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const { valid_firing_rates: rates } = lines.findLast(({ best }) => best);
  return Object.values(rates).map((rate) => `${(100 * rate).toFixed(1)}%`);
}

console.log(`| network | mode, batch | ${ENGINES.map((name) => `${name} median (p99) | `).join('| ')}| same class |`);
console.log(`|---|---|${'---|---|'.repeat(ENGINES.length)}---|`);
for (const network of options.networks.split(',')) {
  const [neuron, hidden] = network.split(':');
  const folder = trained(neuron, hidden);
  const engines = startEngines(folder);
  for (const task of tasks) {
    const name = `${neuron} ${hidden} (${firingRates(folder).join(', ')})`;
    console.log(row(name, task, await measure(engines, task)));
  }
  for (const engine of Object.values(engines)) engine.end();
}
