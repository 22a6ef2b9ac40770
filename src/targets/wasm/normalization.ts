import type { Norm, ProjectionNode } from '../../ir/graph.ts';
import type { Arrays, Lists, Operand } from './arrays.ts';
import { floatArgument } from './floats.ts';
import { productKernel, productStatisticsKernel } from './kernels/gather.ts';
import { layernormBackwardKernel, layernormGradientKernel, layernormKernel } from './kernels/layernorm.ts';
import type { Listed } from './kernels/lists.ts';
import {
  batchnormKernel,
  normBackwardKernel,
  normGradientKernel,
  normSumsKernel,
  rowSumsKernel,
  runningKernel,
  totalKernel,
} from './kernels/norm.ts';
import { blocksOf, rowProductKernel } from './kernels/rows.ts';
import { arrayBytes, padded, panelsOf } from './layout.ts';
import type { Argument, Buffer, Run } from './program.ts';

/** A projection's value after its product, and how a cotangent goes back through it, in place. */
export interface Normalization {
  readonly value: { readonly array: Buffer | null; readonly raw: Operand | null };
  /** `sums` are those of d and d * (x - mean) per chunk, where they are known already. */
  readonly backward: (d: Buffer, sums: Buffer | null) => void;
}

type Batchnorm = Extract<Norm, { kind: 'batchnorm' }>;
type Layernorm = Extract<Norm, { kind: 'layernorm' }>;

/** The arguments of a kernel that computes a product. */
type Product = Readonly<Record<string, Argument>>;

/** Computes the product `x` of the listed input of a projection, and normalises it. */
export function normalize(network: Arrays, node: ProjectionNode, x: Buffer, lists: Lists): Normalization {
  const { features, time } = node.type;
  const { spans, events } = lists;
  const product = { x, rows: network.rowCount(time), spans, events, ...network.rows(time) };
  const weights = network.store.parameter(node.weight);
  const { training, shape } = network.variant;
  if (training) {
    const inPanels = { ...product, weights };
    if (node.norm.kind === 'batchnorm') return batchnorm(network, node, node.norm, x, inPanels, lists);
    network.program.call(productKernel(network.k, features, lists), network.items(features), inPanels);
  } else {
    const byRow = { ...product, weights: network.inRows(weights, lists.features, features) };
    network.program.call(rowProductKernel(network.k, features), shape.chunks * blocksOf(features), byRow);
  }
  switch (node.norm.kind) {
    case 'none':
      return biasOnly(network, node, x);
    case 'batchnorm':
      return withRunningStatistics(network, node, node.norm, x);
    case 'layernorm':
      return layernorm(network, node, node.norm, x);
  }
}

function biasOnly(network: Arrays, node: ProjectionNode, product: Buffer): Normalization {
  const { features, time } = node.type;
  const { bias } = node;
  if (!bias) return { value: { array: product, raw: null }, backward: () => {} };
  const { zeros, ones } = network.store;
  const affine = { mean: zeros, scale: ones, bias: network.store.parameter(bias) };
  const raw = { array: product, affine };
  return { value: { array: null, raw }, backward: (d) => biasGradient(network, bias, d, features, time) };
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

/** Batchnorm's parameters, where its coefficients go, and the value that is read through them. */
function batchnormParts(network: Arrays, node: ProjectionNode, norm: Batchnorm, x: Buffer) {
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
  const value = { array: null, raw: { array: x, affine: { mean, scale, bias: own.bias } } };
  return { vector, coefficients, own, value };
}

function withRunningStatistics(network: Arrays, node: ProjectionNode, norm: Batchnorm, x: Buffer): Normalization {
  const { coefficients, own, value } = batchnormParts(network, node, norm, x);
  network.program.constant(runningKernel(network.k, node.type.features), 1, { ...own, ...coefficients });
  return { value, backward: () => {} };
}

function batchnorm(
  network: Arrays,
  node: ProjectionNode,
  norm: Batchnorm,
  x: Buffer,
  product: Product,
  listed: Listed,
): Normalization {
  const { k, program, store, variant } = network;
  const { features, time } = node.type;
  const { chunks, B } = variant.shape;
  const { vector, coefficients, own, value } = batchnormParts(network, node, norm, x);
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
    value,
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
