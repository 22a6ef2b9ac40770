import type { Norm, ProjectionNode } from '../../ir/graph.ts';
import type { ValueSet } from '../../ir/step.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitEventProduct, isWorthEvents } from './events.ts';
import { emitIntegerProduct } from './integers.ts';
import type { ModelParameters } from './parameters.ts';
import { dataTypes } from './proto.ts';

/** What a projection reads: [time, batch, in] or [batch, in]. */
export interface Operand {
  readonly value: Value;
  /** It is one step of one sample, [1, in]. */
  readonly isStep: boolean;
  /** Spikes, and counts of them, are mostly 0. */
  readonly set: ValueSet;
  /** Products are best computed in integers: all values are 0 or 1, and matrices are stored in int8. */
  readonly integers: boolean;
}

/** y = norm(x W^T + bias) in evaluation mode. */
export function emitProjection(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: ProjectionNode,
  x: Operand,
): Value {
  const weight = parameters.transposed(node.weight);
  const product = node.inDouble
    ? emitDoubleProduct(builder, x.value, weight, parameters.shape(node.weight)[0], node.id)
    : emitProduct(builder, parameters, node, x, weight);
  // onnxruntime makes one operator of MatMul and Add of single rows, which adds up in another order.
  const add = x.isStep ? 'Sum' : 'Add';
  const biased = node.bias ? builder.op(add, [product, parameters.tensor(node.bias)], `${node.id}.biased`) : product;
  return emitNorm(builder, parameters, node, node.norm, biased);
}

/**
 * x W, added up in float64 and rounded once. Rows are flattened: optimising a Cast of a Transpose before a MatMul makes
 * onnxruntime 1.30 crash.
 */
function emitDoubleProduct(builder: GraphBuilder, x: Value, matrix: Value, outputs: number, id: string): Value {
  const flat = builder.op('Flatten', [x], `${id}.flat`, { axis: -1 });
  const [left, right] = [flat, matrix].map((v) => builder.op('Cast', [v], `${id}.double`, { to: dataTypes.float64 }));
  const product = builder.op('MatMul', [left, right], `${id}.double_product`);
  const rounded = builder.op('Cast', [product], `${id}.rounded`, { to: dataTypes.float32 });
  const rows = builder.op('Shape', [x], `${id}.rows`, { end: -1 });
  const shape = builder.op('Concat', [rows, builder.ints([outputs])], `${id}.shape`, { axis: 0 });
  return builder.op('Reshape', [rounded, shape], `${id}.product`);
}

/** x W, W [in, out]; of one row of events only the rows of W that count. */
function emitProduct(
  builder: GraphBuilder,
  parameters: ModelParameters,
  { id, weight }: ProjectionNode,
  { value, isStep, set, integers }: Operand,
  matrix: Value,
): Value {
  const [outputs, inputs] = parameters.shape(weight);
  const wish = `${id}.product`;
  if (isWorthEvents(inputs, outputs)) {
    if (integers) return emitIntegerProduct(builder, value, matrix, wish);
    if (isStep && set !== 'real') return emitEventProduct(builder, value, set, parameters.rowMatrix(weight), wish);
  }
  return builder.op('MatMul', [value, matrix], wish);
}

function emitNorm(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: ProjectionNode,
  norm: Norm,
  x: Value,
): Value {
  switch (norm.kind) {
    case 'none':
      return x;
    case 'layernorm': {
      const inputs = [x, parameters.tensor(norm.weight), parameters.tensor(norm.bias)];
      return builder.op('LayerNormalization', inputs, `${node.id}.norm`, { axis: -1, epsilon: { float: norm.eps } });
    }
    case 'batchnorm': {
      // BatchNormalization wants channels second: [time, batch, features] is seen as [time * batch, features].
      const flat = builder.op('Flatten', [x], `${node.id}.flat`, { axis: -1 });
      const statistics = [norm.weight, norm.bias, norm.runningMean, norm.runningVar];
      const inputs = [flat, ...statistics.map((key) => parameters.tensor(key))];
      const normed = builder.op('BatchNormalization', inputs, `${node.id}.normed`, { epsilon: { float: norm.eps } });
      return builder.op('Reshape', [normed, builder.op('Shape', [x], `${node.id}.shape`)], `${node.id}.norm`);
    }
  }
}
