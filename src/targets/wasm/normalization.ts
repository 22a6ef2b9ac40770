import type { Norm, ProjectionNode } from '../../ir/graph.ts';
import type { Arrays, Lists, Operand, Product } from './arrays.ts';
import type { Argument, Buffer, Run } from './call.ts';
import { floatArgument } from './floats.ts';
import { doubleProductKernel } from './kernels/doubleProduct.ts';
import type { Listed } from './kernels/events.ts';
import { productKernel, productStatisticsKernel } from './kernels/gather.ts';
import { layernormBackwardKernel, layernormGradientKernel, layernormKernel } from './kernels/layernorm.ts';
import {
  batchnormKernel,
  normBackwardKernel,
  normGradientKernel,
  normSumsKernel,
  rowSumsKernel,
  totalKernel,
} from './kernels/norm.ts';
import { arrayBytes, padded, panelsOf } from './layout.ts';

/** A projection's value after its product, and how a cotangent goes back through it, in place. */
export interface Normalization {
  readonly value: { readonly array: Buffer | null; readonly raw: Operand | Product | null };
  /** `sums` are those of d and d * (x - mean) per chunk, where they are known already. */
  readonly backward: (d: Buffer, sums: Buffer | null) => void;
}

type Batchnorm = Extract<Norm, { kind: 'batchnorm' }>;
type Layernorm = Extract<Norm, { kind: 'layernorm' }>;

/** Computes the product of the listed input of a projection, and normalises it. */
export function normalize(network: Arrays, node: ProjectionNode, lists: Lists): Normalization {
  return network.variant.training ? inTraining(network, node, lists) : inInference(network, node, lists);
}

function inTraining(network: Arrays, node: ProjectionNode, lists: Lists): Normalization {
  const { features, time } = node.type;
  const x = network.array(`product ${node.id}`, features, time);
  const product = {
    weights: network.store.parameter(node.weight),
    x,
    rows: network.rowCount(time),
    spans: lists.spans,
    events: lists.events,
    ...network.rows(time),
  };
  if (node.norm.kind === 'batchnorm') return batchnorm(network, node, node.norm, x, product, lists);
  network.program.call(productKernel(network.k, features, lists), network.items(features), product);
  if (node.norm.kind === 'layernorm') return layernorm(network, node, node.norm, x);
  const { bias } = node;
  if (!bias) return { value: { array: x, raw: null }, backward: () => {} };
  const raw = { array: x, affine: biasOnly(network, bias) };
  return { value: { array: null, raw }, backward: (d) => biasGradient(network, bias, d, features, time) };
}

/** Of a deployed graph, which has no batchnorm. A bias after the product is left to whoever reads it. */
function inInference(network: Arrays, node: ProjectionNode, lists: Lists): Normalization {
  const { features, time } = node.type;
  const weights = network.inRows(network.store.parameter(node.weight), lists.features, features);
  const product = { lists, weights, affine: null };
  const backward = () => {};
  if (node.norm.kind === 'layernorm') {
    return layernorm(network, node, node.norm, network.multiply(product, `product ${node.id}`, features, time));
  }
  const affine = node.bias ? biasOnly(network, node.bias) : null;
  return { value: { array: null, raw: { ...product, affine } }, backward };
}

/** The same where sums are due in float64: of an array. */
export function normalizeInDouble(
  network: Arrays,
  node: ProjectionNode,
  source: Buffer,
  inputs: number,
): { readonly array: Buffer | null; readonly raw: Operand | null } {
  const { k, program, store } = network;
  const { features, time } = node.type;
  const weights = network.inRows(store.parameter(node.weight), inputs, features);
  const x = network.array(`product ${node.id}`, features, time);
  const rows = { rows: network.rowCount(time), ...network.rows(time) };
  program.call(doubleProductKernel(k, inputs, features), network.variant.shape.chunks, { source, weights, x, ...rows });
  if (node.norm.kind === 'layernorm') {
    const { array } = layernorm(network, node, node.norm, x).value;
    return { array, raw: null };
  }
  return { array: null, raw: { array: x, affine: node.bias ? biasOnly(network, node.bias) : null } };
}

function biasOnly({ store }: Arrays, bias: string) {
  const { zeros, ones } = store;
  return { mean: zeros, scale: ones, bias: store.parameter(bias) };
}

function biasGradient(network: Arrays, key: string, d: Buffer, features: number, time: boolean): void {
  const { chunks } = network.variant.shape;
  const parts = network.program.buffer(`parts of ${key}`, arrayBytes(chunks, features));
  network.program.call(rowSumsKernel(network.k, features), chunks * panelsOf(features).count, {
    x: d,
    rows: network.rowCount(time),
    parts,
    lengths: 0,
    ...network.rows(time),
  });
  network.program.call(totalKernel(network.k, features), 1, {
    parts,
    chunks,
    total: network.store.gradient(key),
    f_factor: floatArgument(1),
  });
}

/** Batchnorm's parameters, where its coefficients go, and the affine part that they are. */
function batchnormParts(network: Arrays, node: ProjectionNode, norm: Batchnorm) {
  const { program, store } = network;
  const vector = (name: string) => program.buffer(`${name} of ${node.id}`, padded(node.type.features) * 4);
  const coefficients = { scale: vector('scale'), mean: vector('mean'), inverse: vector('inverse') };
  const own = {
    weight: store.parameter(norm.weight),
    bias: store.parameter(norm.bias),
    ownBias: node.bias ? store.parameter(node.bias) : 0,
    runningMean: store.parameter(norm.runningMean),
    runningVar: store.parameter(norm.runningVar),
    f_eps: floatArgument(norm.eps),
  };
  const { mean, scale } = coefficients;
  return { vector, coefficients, own, affine: { mean, scale, bias: own.bias } };
}

function batchnorm(
  network: Arrays,
  node: ProjectionNode,
  norm: Batchnorm,
  x: Buffer,
  product: Readonly<Record<string, Argument>>,
  listed: Listed,
): Normalization {
  const { k, program, store, variant } = network;
  const { features, time } = node.type;
  const { chunks, B } = variant.shape;
  const { vector, coefficients, own, affine } = batchnormParts(network, node, norm);
  const rows = { rows: network.rowCount(time), ...network.rows(time) };
  const lengths = network.lengthsFor(time);
  const parts = program.buffer(`statistics of ${node.id}`, 2 * arrayBytes(chunks, features));
  const counts = time ? network.stepCounts : network.sampleCounts;
  const items = chunks * panelsOf(features).count;
  program.call(productStatisticsKernel(k, features, listed), items, { ...product, parts, lengths, counts });
  const total = (run: Run) => (time ? run.validSteps : B);
  // Of one row, the variance is 0 whatever it is divided by.
  const unbiased = (run: Run) => (norm.rowFactor * total(run)) / Math.max(1, norm.rowFactor * total(run) - 1);
  program.call(batchnormKernel(k, features), 1, {
    ...own,
    ...coefficients,
    parts,
    counts,
    chunks,
    f_momentum: floatArgument(norm.momentum),
    f_unbiased: (run: Run) => floatArgument(unbiased(run)),
  });
  return {
    value: { array: null, raw: { array: x, affine } },
    backward: (d, known) => {
      const sums = known ?? program.buffer(`sums of d ${node.id}`, 2 * arrayBytes(chunks, features));
      const offset = vector('offset');
      const slope = vector('slope');
      if (!known) program.call(normSumsKernel(k, features), items, { ...coefficients, d, x, parts: sums, ...rows });
      program.call(normGradientKernel(k, features), 1, {
        ...coefficients,
        parts: sums,
        chunks,
        gWeight: store.gradient(norm.weight),
        gBias: store.gradient(norm.bias),
        offset,
        slope,
        f_count: (run: Run) => floatArgument(total(run)),
      });
      program.call(normBackwardKernel(k, features), items, { ...coefficients, d, x, offset, slope, lengths, ...rows });
    },
  };
}

function layernorm(network: Arrays, node: ProjectionNode, norm: Layernorm, x: Buffer): Normalization {
  const { k, program, store, variant } = network;
  const { features, time } = node.type;
  const { chunks } = variant.shape;
  const rows = { rows: network.rowCount(time), ...network.rows(time) };
  const y = network.array(`normalised ${node.id}`, features, time);
  const statistics = program.buffer(`statistics of ${node.id}`, network.rowCount(time) * 8);
  program.call(layernormKernel(k, features), chunks, {
    x,
    y,
    ownBias: node.bias ? store.parameter(node.bias) : 0,
    weight: store.parameter(norm.weight),
    bias: store.parameter(norm.bias),
    statistics,
    f_eps: floatArgument(norm.eps),
    ...rows,
  });
  return {
    value: { array: y, raw: null },
    backward: (d) => {
      const parts = program.buffer(`sums of d ${node.id}`, 3 * arrayBytes(chunks, features));
      const weight = store.parameter(norm.weight);
      program.call(layernormBackwardKernel(k, features), chunks, { d, x, weight, statistics, parts, ...rows });
      program.call(layernormGradientKernel(k, features), 1, {
        parts,
        chunks,
        gWeight: store.gradient(norm.weight),
        gBias: store.gradient(norm.bias),
        gOwnBias: node.bias ? store.gradient(node.bias) : 0,
      });
    },
  };
}
