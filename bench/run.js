/**
 * Where the time of a run goes: from spec to first step, phase by phase, and what share of each epoch (reading, training,
 * validation, saving) passes in kernels.
 *
 *   npm run build && node bench/run.js --h5 FOLDER [--neuron RadLIF] [--hidden 128] [--batch 32] [--epochs 6] [--threads 2]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compileSource } from '../dist/compile.js';
import { openPipeline } from '../dist/data/pipeline.js';
import { Machine } from '../dist/targets/wasm/machine.js';
import { wasmTarget } from '../dist/targets/wasm/target.js';
import { trainRun } from '../dist/train/run.js';
import { RunFolder } from '../dist/train/runFolder.js';

const { values } = parseArgs({
  options: {
    h5: { type: 'string' },
    neuron: { type: 'string', default: 'RadLIF' },
    hidden: { type: 'string', default: '128' },
    batch: { type: 'string', default: '32' },
    epochs: { type: 'string', default: '6' },
    threads: { type: 'string', default: '2' },
  },
});
if (!values.h5) {
  console.error('say where the spikes are: --h5 FOLDER, with shd_train.h5 and shd_test.h5');
  process.exit(2);
}

let lap = performance.now();
function phase(name) {
  const now = performance.now();
  console.log(`${(now - lap).toFixed(0).padStart(6)} ms  ${name}`);
  lap = now;
}
const after = (name, call) =>
  async function (...args) {
    const result = await call.apply(this, args);
    phase(name);
    return result;
  };

let inKernels = 0;
let firstStep = true;
const { start } = Machine;
Machine.start = async (...args) => {
  phase('generate the kernels');
  const machine = await start.apply(Machine, args);
  phase('compile them, start the threads');
  return machine;
};
const runProgram = Machine.prototype.run;
Machine.prototype.run = function (...args) {
  if (firstStep) phase('wait for the first batch, plan the memory');
  const before = performance.now();
  runProgram.apply(this, args);
  inKernels += performance.now() - before;
  if (firstStep) phase('first step');
  firstStep = false;
};

const text = `
sparchc: 1
name: bench
data:
  source: shd(folder="${resolve(values.h5)}") |> bin(steps=100, window=1.4s)
  validation: test
model: |
  input |> 2 * ${values.neuron}(${values.hidden}, norm=batchnorm, dropout=0.1) |> LI(classes, norm=batchnorm) |> softmax_sum
train: { epochs: ${values.epochs}, batch: ${values.batch} }
`;
const spec = compileSource({ name: 'bench', text, folder: process.cwd() });
phase('compile the spec');
const data = await openPipeline(spec.experiment.data, { batch: Number(values.batch), seed: 0 });
phase('open the data');

const target = wasmTarget({ threads: Number(values.threads) });
const compile = after('draw the weights, load them', target.compile);
let [epochStart, kernelsBefore] = [0, 0];
const observer = {
  batchDone() {},
  epochDone({ epoch }) {
    const now = performance.now();
    const [wall, kernels] = [now - epochStart, inKernels - kernelsBefore];
    const share = `${kernels.toFixed(0)} ms in kernels (${((100 * kernels) / wall).toFixed(1)}%)`;
    console.log(`epoch ${epoch}: ${wall.toFixed(0)} ms, ${share}`);
    [epochStart, kernelsBefore] = [now, inKernels];
  },
};
const folder = mkdtempSync(join(tmpdir(), 'sparchc-bench-'));
try {
  await trainRun({
    spec,
    folder: new RunFolder(folder),
    target: {
      name: target.name,
      async compile(graph, options) {
        const model = await compile(graph, options);
        epochStart = performance.now();
        return model;
      },
    },
    data,
    checkpoint: null,
    pretrained: null,
    observer,
    signal: new AbortController().signal,
    exportModel: () => new Uint8Array(),
  });
} finally {
  await data.close();
  rmSync(folder, { recursive: true });
}
