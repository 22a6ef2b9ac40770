/**
 * Where the time of a run goes: from the start of the process to the first step, phase by phase, and what share of each
 * epoch (reading, training, validation, saving) passes in kernels.
 *
 *   npm run build && node bench/run.js --h5 FOLDER [--neuron RadLIF] [--hidden 128] [--batch 32] [--epochs 6] [--threads 2]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { compileSource } from '../dist/compile.js';
import { openPipeline } from '../dist/data/pipeline.js';
import { Machine } from '../dist/targets/wasm/machine.js';
import { wasmTarget } from '../dist/targets/wasm/target.js';
import { compileOptions, trainRun } from '../dist/train/run.js';
import { RunFolder } from '../dist/train/runFolder.js';
import { readOptions, spikeFolder } from './options.js';

const { values } = readOptions({
  h5: spikeFolder,
  neuron: { type: 'string', default: 'RadLIF' },
  hidden: { type: 'string', default: '128' },
  batch: { type: 'string', default: '32' },
  epochs: { type: 'string', default: '6' },
  threads: { type: 'string', default: '2' },
});

let lap = 0;
function phase(name) {
  const now = performance.now();
  console.log(`${now.toFixed(0).padStart(6)} ms  ${name} (${(now - lap).toFixed(0)} ms)`);
  lap = now;
}

let inKernels = 0;
let firstStep = true;
let [epochStart, kernelsBefore] = [0, 0];
const { start } = Machine;
Machine.start = (...args) => {
  phase('kernels generated');
  return start.apply(Machine, args);
};
const runProgram = Machine.prototype.run;
Machine.prototype.run = function (...args) {
  if (firstStep) phase('first batch there, memory planned: the first step begins');
  const before = performance.now();
  runProgram.apply(this, args);
  inKernels += performance.now() - before;
  if (firstStep) phase('first step done');
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
phase('everything imported');
const spec = compileSource({ name: 'bench', text, folder: process.cwd() });
phase('spec compiled');
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
// As `sparchc train` does it: a thread opens the data while the model is compiled.
const opening = openPipeline(spec.experiment.data, { batch: Number(values.batch), seed: 0 });
const target = wasmTarget({ threads: Number(values.threads) });
const compiling = target.compile(spec.graph, compileOptions(spec.experiment));
compiling.then(() => phase('threads started, weights drawn and loaded'));
const data = await opening;
phase('data open');
try {
  await trainRun({
    spec,
    folder: new RunFolder(folder),
    model: compiling.then((model) => {
      epochStart = performance.now();
      return model;
    }),
    target: target.name,
    data,
    checkpoint: null,
    pretrained: null,
    observer,
    signal: new AbortController().signal,
    exportModel: async () => new Uint8Array(),
  });
} finally {
  (await compiling).dispose();
  await data.close();
  rmSync(folder, { recursive: true });
}
