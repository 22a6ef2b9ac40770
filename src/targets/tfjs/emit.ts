import type { Atom, Eqn, Prim } from '../../ir/step.ts';
import type { Ops, Tensor } from './ops.ts';

type Emitter = (ops: Ops, ...args: Tensor[]) => Tensor;

/**
 * The tfjs-core operations of each primitive. A variable of extent `rows` is [rows, features] inside the time loop and
 * [time, rows, features] outside of it; broadcasting from the right makes both the same code.
 */
const emitters: Record<Prim, Emitter> = {
  add: ({ tf }, a, b) => tf.add(a, b),
  sub: ({ tf }, a, b) => tf.sub(a, b),
  mul: ({ tf }, a, b) => tf.mul(a, b),
  div: ({ tf }, a, b) => tf.div(a, b),
  neg: ({ tf }, x) => tf.neg(x),
  min: ({ tf }, a, b) => tf.minimum(a, b),
  max: ({ tf }, a, b) => tf.maximum(a, b),
  exp: ({ tf }, x) => tf.exp(x),
  log: ({ tf }, x) => tf.log(x),
  sqrt: ({ tf }, x) => tf.sqrt(x),
  abs: ({ tf }, x) => tf.abs(x),
  tanh: ({ tf }, x) => tf.tanh(x),
  atan: ({ tf }, x) => tf.atan(x),
  sigmoid: ({ tf }, x) => tf.sigmoid(x),
  relu: ({ tf }, x) => tf.relu(x),
  clamp: ({ tf }, x, low, high) => tf.minimum(tf.maximum(x, low), high),
  greater: ({ tf }, a, b) => tf.cast(tf.greater(a, b), 'float32'),
  greaterEqual: ({ tf }, a, b) => tf.cast(tf.greaterEqual(a, b), 'float32'),
  equal: ({ tf }, a, b) => tf.cast(tf.equal(a, b), 'float32'),
  select: (ops, condition, a, b) => ops.select(condition, a, b),
  spike: (ops, x) => ops.positive(x),
  detach: (_, x) => x,
  matvec: (ops, m, x) => ops.productTransposed(x, m),
  matvecTransposed: (ops, m, x) => ops.product(x, m),
  zeroDiagonal: (ops, m) => ops.tf.mul(m, ops.offDiagonal(m.shape[0])),
  softmax: ({ tf }, x) => tf.softmax(x),
  softmaxAdjoint: ({ tf }, y, g) => tf.mul(y, tf.sub(g, tf.sum(tf.mul(g, y), -1, true))),
  sumFeatures: ({ tf }, x) => tf.sum(x, -1),
};

/** Values of variables by id. */
export type Env = Map<number, Tensor>;

export function read(ops: Ops, env: Env, atom: Atom): Tensor {
  if (atom.kind === 'lit') return ops.constant(atom.value);
  const value = env.get(atom.id);
  if (!value) throw new Error(`variable "${atom.name}" (${atom.id}) is read before it is computed`);
  return value;
}

/** Runs equations in order, adding what they define to `env`. */
export function run(ops: Ops, eqns: readonly Eqn[], env: Env): void {
  for (const { out, prim, args } of eqns) {
    env.set(out.id, emitters[prim](ops, ...args.map((a) => read(ops, env, a))));
  }
}
