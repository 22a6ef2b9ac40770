/** The networks that are measured, and what they are measured on. */
import { resolve } from 'node:path';
import { compileSource } from '../dist/compile.js';
import { openPipeline } from '../dist/data/pipeline.js';

/** The graph of `layers` - 1 hidden layers with a readout, and the full batches of the training split of FOLDER `h5`. */
export async function openNetwork({ neuron, hidden, layers, batch, steps, h5 }) {
  const readout =
    neuron === 'GRU' ? 'softmax_sum |> dense(classes, norm=batchnorm)' : 'LI(classes, norm=batchnorm) |> softmax_sum';
  const text = `
sparchc: 1
name: bench
data:
  source: shd(folder="${resolve(h5)}") |> bin(steps=${steps}, window=1.4s)
  validation: test
model: |
  input |> ${layers - 1} * ${neuron}(${hidden}, norm=batchnorm, dropout=0.1) |> ${readout}
train: { epochs: 1, batch: ${batch} }
`;
  const { experiment, graph } = compileSource({ name: 'bench', text, folder: process.cwd() });
  const pipeline = await openPipeline(experiment.data, { batch, seed: 0 });
  const batches = [];
  for await (const b of pipeline.batches('train')) if (b.size === batch) batches.push(b);
  await pipeline.close();
  return { graph, batches };
}

export const adam = { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 };
