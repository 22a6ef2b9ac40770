import type { Graph, NodeId } from '../../ir/graph.ts';
import type { CompileOptions, OptimizerConfig } from '../target.ts';
import type { Buffer, Run } from './call.ts';
import { floatArgument } from './floats.ts';
import { listSumsKernel } from './kernels/events.ts';
import type { Kernels } from './kernels/kernel.ts';
import { crossEntropyKernel, regularizerKernel } from './kernels/loss.ts';
import { rowSumsKernel, totalKernel } from './kernels/norm.ts';
import { chunksOf, clipFactorKernel, optimizerKernel, squaresKernel } from './kernels/optimizer.ts';
import { arrayBytes, padded, panelsOf } from './layout.ts';
import type { Network } from './network.ts';
import type { ProgramBuilder } from './program.ts';

/** Addresses of the flat vectors that the optimiser works on, each of `size` numbers. */
export interface Vectors {
  readonly parameters: Buffer;
  readonly gradients: Buffer;
  readonly first: Buffer;
  readonly second: Buffer;
  readonly size: number;
  /** Stretches of them with a learning rate of their own. */
  readonly runs: readonly { readonly offset: number; readonly size: number; readonly scale: number }[];
}

/** What a pass leaves for the host. */
export interface Results {
  /** Cross-entropy per sample, or per sample and step, times its weight. */
  readonly losses: Buffer;
  readonly scores: Buffer;
  /** Mean over batch and valid time, by layer. */
  readonly rates: ReadonlyMap<string, Buffer>;
}

/** Rates of all layers, and the loss with its cotangent where `training`. */
export function finishForward(network: Network, graph: Graph, weighted: boolean): Results {
  const { program, variant } = network;
  const rates = new Map(graph.layers.map((l) => [l.layer, firingRates(network, l.output, l.features)]));
  const losses = crossEntropy(network, graph, variant.training && !weighted);
  return { losses, scores: program.output(network.arrayOf(graph.prediction)), rates };
}

function firingRates(network: Network, output: NodeId, features: number): Buffer {
  const { program, k, variant } = network;
  const { chunks } = variant.shape;
  const parts = program.buffer(`rates of ${output}`, arrayBytes(chunks, features));
  const total = program.output(program.buffer(`rates of ${output}`, padded(features) * 4));
  const rows = { parts, lengths: network.lengths, ...network.rows(true) };
  const lists = network.knownLists(output);
  if (lists) program.call(listSumsKernel(k, lists), chunks, { events: lists.events, spans: lists.spans, ...rows });
  else {
    const x = network.arrayOf(output);
    const items = chunks * panelsOf(features).count;
    program.call(rowSumsKernel(k, features), items, { x, rows: network.rowCount(true), ...rows });
  }
  program.call(totalKernel(k, features), 1, {
    parts,
    chunks,
    total,
    f_factor: ({ validSteps }: Run) => floatArgument(1 / validSteps),
  });
  return total;
}

function crossEntropy(network: Network, graph: Graph, differentiated: boolean): Buffer {
  const { program, k, variant } = network;
  const { scores } = graph.loss;
  const time = network.timeOf(scores);
  const { B, T, chunks } = variant.shape;
  const losses = program.output(program.buffer('losses', B * (time ? T : 1) * 4));
  const labels = program.input('labels', B * 4);
  program.call(crossEntropyKernel(k, network.featuresOf(scores)), chunks, {
    scores: network.arrayOf(scores),
    rows: network.rowCount(time),
    labels,
    losses,
    d: differentiated ? network.freshCotangent(scores) : 0,
    lengths: network.lengthsFor(time),
    f_weight: ({ validSteps, samples }: Run) => floatArgument(1 / (time ? validSteps : samples)),
    ...network.rows(time),
  });
  return losses;
}

/** The way back, to the gradients of all parameters. */
export function addBackward(network: Network, graph: Graph, results: Results, weighted: boolean): void {
  const { program, variant } = network;
  if (weighted) {
    const { features, time } = { features: network.featuresOf(graph.output), time: network.timeOf(graph.output) };
    const host = program.input('outputWeights', variant.shape.B * (time ? variant.shape.T : 1) * features * 4);
    network.unpack(host, network.freshCotangent(graph.output), features, time);
  }
  network.backward((id) => {
    if (!weighted) regularize(network, graph, id, results);
  });
}

function regularize(network: Network, graph: Graph, id: NodeId, { rates }: Results): void {
  const { regularizer } = graph.loss;
  const layer = graph.layers.find((l) => l.output === id && l.spiking);
  if (!regularizer || !layer) return;
  network.program.call(regularizerKernel(network.k, layer.features), network.items(layer.features), {
    d: network.cotangentOf(id),
    rows: network.rowCount(true),
    rates: rates.get(layer.layer) as Buffer,
    lengths: network.lengths,
    f_min: floatArgument(regularizer.min),
    f_max: floatArgument(regularizer.max),
    f_slope: ({ validSteps }: Run) => floatArgument(regularizer.factor / validSteps),
    ...network.rows(true),
  });
}

/** One step of the optimiser with the gradients in memory. */
export function addUpdate(
  program: ProgramBuilder,
  k: Kernels,
  { clipNorm, optimizer }: CompileOptions,
  vectors: Vectors,
): void {
  const { parameters, gradients, first, second, size } = vectors;
  if (size === 0) return;
  let clip: Buffer | number = 0;
  if (clipNorm !== null) {
    const parts = program.buffer('squares', chunksOf(size) * 4);
    clip = program.buffer('clip factor', 16);
    program.call(squaresKernel(k), chunksOf(size), { gradients, count: size, parts });
    program.call(clipFactorKernel(k), 1, {
      parts,
      chunks: chunksOf(size),
      factor: clip,
      f_maximum: floatArgument(clipNorm),
    });
  }
  for (const run of vectors.runs) {
    const part = ({ name, address }: Buffer) => ({
      name,
      bytes: run.size * 4,
      address: (address as number) + run.offset * 4,
    });
    program.call(optimizerKernel(k, optimizer), chunksOf(run.size), {
      parameters: part(parameters),
      gradients: part(gradients),
      first: part(first),
      second: part(second),
      count: run.size,
      clip,
      ...rates(optimizer, run.scale),
    });
  }
}

/** Step sizes with Adam's corrections of its moments' bias. */
function rates(config: OptimizerConfig, scale: number) {
  const corrected = config.kind !== 'sgd';
  return {
    f_rate: ({ learningRate, step }: Run) =>
      floatArgument((scale * learningRate) / (corrected ? 1 - config.beta1 ** step : 1)),
    f_deviation: ({ step }: Run) => floatArgument(corrected ? 1 / Math.sqrt(1 - config.beta2 ** step) : 1),
    f_decay: ({ learningRate }: Run) => floatArgument(1 - scale * learningRate * config.weightDecay),
  };
}
