import { typeOf } from '../../ir/primitives.ts';
import type { Atom, Eqn, Prim, Var } from '../../ir/step.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitEventProduct, type RowMatrix } from './events.ts';
import { emitIntegerProduct } from './integers.ts';
import { dataTypes } from './proto.ts';

/** How products of a matrix and a vector are computed, where not by reading the whole matrix. */
export interface ProductOptions {
  /** Variables of one row that is mostly zeros, by id: products with them read only the rows of a matrix that count. */
  readonly events?: ReadonlySet<number>;
  /** Products with spikes are computed in integers, with the matrices that `compressWeights` stores in int8. */
  readonly integers?: boolean;
}

/**
 * Which ONNX tensor holds each variable of a Step. Extents become shapes: `scalar` [], `features` [F], `matrix` [F, F],
 * `rows` [rows, F] inside the time loop and [time, rows, F] outside; ONNX's broadcasting does the rest.
 */
export class Scope {
  readonly builder: GraphBuilder;
  private readonly values: Map<number, Value>;
  /** Matrices for products from the right, by variable. */
  private readonly transposes: Map<number, Value>;
  /** The same matrices for event-driven products, made where they are first asked for. */
  private readonly rowMatrices: Map<number, () => RowMatrix>;
  readonly products: ProductOptions;
  /** Products with spikes: exact, if nothing else is added up along with them. */
  readonly exactProducts = new Set<Value>();
  /** Variables that are known to lie between -1 and 1, by id. */
  readonly contractions: Set<number>;

  constructor(builder: GraphBuilder, outer?: Scope, products: ProductOptions = {}) {
    this.builder = builder;
    this.contractions = new Set(outer?.contractions);
    this.products = products;
    this.values = new Map(outer?.values);
    this.transposes = new Map(outer?.transposes);
    this.rowMatrices = new Map(outer?.rowMatrices);
  }

  bind(variable: Var, value: Value): void {
    this.values.set(variable.id, value);
  }

  /** `rows` makes the matrix for event-driven products. */
  bindTranspose(matrix: Var, value: Value, rows: () => RowMatrix): void {
    this.transposes.set(matrix.id, value);
    this.rowMatrices.set(matrix.id, rows);
  }

  value(atom: Atom): Value {
    if (atom.kind === 'lit') return this.builder.scalar(atom.value);
    return bound(this.values, atom);
  }

  transpose(matrix: Atom): Value {
    if (matrix.kind === 'lit') throw new Error('a literal is no matrix');
    return bound(this.transposes, matrix);
  }

  rowMatrix(matrix: Atom): RowMatrix {
    return bound(this.rowMatrices, matrix as Var)();
  }
}

function bound<T>(map: ReadonlyMap<number, T>, variable: Var): T {
  const value = map.get(variable.id);
  if (value === undefined) throw new Error(`no ONNX value for variable "${variable.name}"`);
  return value;
}

/** Emits equations in order and binds their variables in the scope. */
export function emitEquations(scope: Scope, eqns: readonly Eqn[]): void {
  for (const eqn of eqns) scope.bind(eqn.out, emitters[eqn.prim](scope, eqn.args, eqn.out.name));
}

type Emitter = (scope: Scope, args: readonly Atom[], wish: string) => Value;

const emitters: Readonly<Record<Prim, Emitter>> = {
  add(scope, args, wish) {
    const operands = args.map((a) => scope.value(a));
    // onnxruntime makes one operator of MatMul and Add, which starts with what is added: a sum in another order.
    const opType = operands.some((v) => scope.exactProducts.has(v)) ? 'Sum' : 'Add';
    return scope.builder.op(opType, operands, wish);
  },
  sub: elementwise('Sub'),
  mul: elementwise('Mul'),
  div: elementwise('Div'),
  neg: elementwise('Neg'),
  min: elementwise('Min'),
  max: elementwise('Max'),
  exp: elementwise('Exp'),
  log: elementwise('Log'),
  sqrt: elementwise('Sqrt'),
  abs: elementwise('Abs'),
  atan: elementwise('Atan'),
  tanh: elementwise('Tanh'),
  sigmoid: elementwise('Sigmoid'),
  relu: elementwise('Relu'),
  detach: elementwise('Identity'),
  greater(scope, [a, b], wish) {
    const slope = b.kind === 'lit' ? stepSlope(b.value) : null;
    if (b.kind !== 'lit' || slope === null) return comparison('Greater')(scope, [a, b], wish);
    const beta = -slope * Math.fround(b.value);
    return scope.builder.op('HardSigmoid', [scope.value(a)], wish, { alpha: { float: slope }, beta: { float: beta } });
  },
  greaterEqual: comparison('GreaterOrEqual'),
  equal: comparison('Equal'),

  clamp(scope, [x, low, high], wish) {
    const atLeast = scope.builder.op('Max', [scope.value(x), scope.value(low)], `${wish}_max`);
    return scope.builder.op('Min', [atLeast, scope.value(high)], wish);
  },

  select(scope, [condition, a, b], wish) {
    const chosen = scope.builder.op('Cast', [scope.value(condition)], `${wish}_if`, { to: dataTypes.bool });
    return scope.builder.op('Where', [chosen, scope.value(a), scope.value(b)], wish);
  },

  spike(scope, [x], wish) {
    const { builder } = scope;
    return toFloat(builder, builder.op('Greater', [scope.value(x), builder.scalar(0)], `${wish}_if`), wish);
  },

  matvec(scope, [matrix, x], wish) {
    const { builder, products } = scope;
    const vector = scope.value(x);
    const { set } = typeOf(x);
    if (products.integers && set === 'spike') {
      return emitIntegerProduct(builder, vector, scope.transpose(matrix), wish);
    }
    const product =
      x.kind === 'var' && products.events?.has(x.id)
        ? emitEventProduct(builder, vector, set, scope.rowMatrix(matrix), wish)
        : builder.op('MatMul', [vector, scope.transpose(matrix)], wish);
    if (set !== 'real') scope.exactProducts.add(product);
    return product;
  },

  matvecTransposed(scope, [matrix, x], wish) {
    return scope.builder.op('MatMul', [scope.value(x), scope.value(matrix)], wish);
  },

  zeroDiagonal(scope, [matrix], wish) {
    const { builder } = scope;
    const identity = builder.op('EyeLike', [scope.value(matrix)], `${wish}_eye`, { dtype: dataTypes.float32 });
    const diagonal = builder.op('Cast', [identity], `${wish}_diagonal`, { to: dataTypes.bool });
    return builder.op('Where', [diagonal, builder.scalar(0), scope.value(matrix)], wish);
  },

  softmax(scope, [x], wish) {
    return scope.builder.op('Softmax', [scope.value(x)], wish, { axis: -1 });
  },

  softmaxAdjoint(scope, [y, g], wish) {
    const { builder } = scope;
    const weighted = builder.op('Mul', [scope.value(g), scope.value(y)], `${wish}_weighted`);
    const sum = builder.op('ReduceSum', [weighted, builder.ints([-1])], `${wish}_sum`, { keepdims: 1 });
    return builder.op('Mul', [scope.value(y), builder.op('Sub', [scope.value(g), sum], `${wish}_centred`)], wish);
  },

  sumFeatures(scope, [x], wish) {
    return scope.builder.op('ReduceSum', [scope.value(x), scope.builder.ints([-1])], wish, { keepdims: 0 });
  },
};

/**
 * The slope at which the hard sigmoid clip(slope * (x - threshold), 0, 1) is the step function for every float32 x, in one
 * operator: a power of two, so that products are exact, that makes the smallest difference there is next to the threshold
 * at least 1. Null where there is none, for a threshold of (almost) 0.
 */
function stepSlope(threshold: number): number | null {
  const magnitude = Math.abs(Math.fround(threshold));
  return magnitude > 2 ** -100 ? 2 ** (25 - Math.floor(Math.log2(magnitude))) : null;
}

function elementwise(opType: string): Emitter {
  return (scope, args, wish) => {
    const operands = args.map((a) => scope.value(a));
    return scope.builder.op(opType, operands, wish);
  };
}

function comparison(opType: string): Emitter {
  return (scope, args, wish) => {
    const operands = args.map((a) => scope.value(a));
    return toFloat(scope.builder, scope.builder.op(opType, operands, `${wish}_if`), wish);
  };
}

function toFloat(builder: GraphBuilder, condition: Value, wish: string): Value {
  return builder.op('Cast', [condition], wish, { to: dataTypes.float32 });
}
