/**
 * Where the time of a run goes: from the start of the process to the first step, phase by phase, and what share of each
 * epoch (reading, training, validation, saving) passes in kernels. The first epoch, for which all samples are read, is given
 * twice: with the opening of the data before its first step, and from that step on.
 *
 *   npm run build && node bench/run.js --h5 FOLDER [--neuron RadLIF] [--hidden 128] [--batch 128] [--epochs 20] [--threads 2]
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
  batch: { type: 'string', default: '128' },
  epochs: { type: 'string', default: '20' },
  threads: { type: 'string', default: '2' },
});

let lap = 0;
function phase(name) {
  const now = performance.now();
  console.log(`${now.toFixed(0).padStart(6)} ms  ${name} (${(now - lap).toFixed(0)} ms)`);
  lap = now;
}

let inKernels = 0;
/** When the first step began. */
let firstStep = null;
let [epochStart, kernelsBefore] = [0, 0];
const shares = [];
const { start } = Machine;
Machine.start = (...args) => {
  phase('kernels generated');
  return start.apply(Machine, args);
};
const runProgram = Machine.prototype.run;
Machine.prototype.run = function (...args) {
  const isFirst = firstStep === null;
  if (isFirst) phase('first batch there, memory planned: the first step begins');
  const before = performance.now();
  firstStep ??= before;
  runProgram.apply(this, args);
  inKernels += performance.now() - before;
  if (isFirst) phase('first step done');
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
    const kernels = inKernels - kernelsBefore;
    const of = (wall) => `${wall.toFixed(0)} ms, ${kernels.toFixed(0)} of them in kernels (${percent(kernels / wall)})`;
    const fromFirstStep = epoch === 1 ? `; from its first step on ${of(now - firstStep)}` : '';
    console.log(`epoch ${epoch}: ${of(now - epochStart)}${fromFirstStep}`);
    if (epoch > 2) shares.push(kernels / (now - epochStart));
    [epochStart, kernelsBefore] = [now, inKernels];
  },
};
const percent = (share) => `${(100 * share).toFixed(1)}%`;
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
if (shares.length > 0) {
  shares.sort((a, b) => a - b);
  const [least, middle, most] = [0, 0.5, 1].map((q) => percent(shares[Math.round(q * (shares.length - 1))]));
  console.log(`in kernels from the third epoch on: ${middle} (median; ${least} to ${most})`);
}
