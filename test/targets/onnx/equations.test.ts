import { describe, expect, it } from 'vitest';
import { EqnBuilder, lit } from '../../../src/ir/builder.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import type { Atom, Prim, Step, Surrogate, Var } from '../../../src/ir/step.ts';
import { initialParameters } from '../../../src/targets/draws.ts';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import { expectClose } from '../../golden/golden.ts';
import { graphOf, randomBatch } from '../../support/graphs.ts';
import { randomNeuron } from '../../support/randomNeuron.ts';
import { exported, temporaryFolder } from './support.ts';

const folder = temporaryFolder();
const size = 4;
const batch = randomBatch({ size: 3, steps: 5, features: size });

async function expectAgreement(graph: Graph): Promise<Float32Array> {
  const parameters = initialParameters(graph, 1);
  const optimizer = { kind: 'sgd', momentum: 0, weightDecay: 0 } as const;
  const reference = await referenceTarget().compile(graph, { seed: 1, optimizer, clipNorm: null });
  reference.load(parameters);
  const expected = await reference.evaluate(batch, { wantOutput: true });
  for (const fold of [true, false]) {
    const model = await exported(folder, graph, parameters, fold);
    const actual = await model.evaluate(batch);
    expectClose('output', actual.output as Float32Array, expected.output as Float32Array, 1e-5);
    await model.dispose();
  }
  return expected.output as Float32Array;
}

interface Operands {
  /** Depends on the input only, in [-1, 2]. */
  readonly x: Atom;
  /** A state, in [0, 1] at first. */
  readonly u: Var;
  /** A parameter per neuron, in [0.5, 1.5]. */
  readonly p: Var;
  readonly M: Var;
}

const real = (name: string, extent: 'rows' | 'features' | 'matrix', b: EqnBuilder) =>
  b.fresh(name, { extent, set: 'real' });
const uniform = (low: number, high: number) => ({ kind: 'uniform', low, high }) as const;

/** A neuron that computes one expression, once from its input, parameters and state together. */
function stepOf(expression: (b: EqnBuilder, operands: Operands) => Atom): Step {
  const b = new EqnBuilder();
  const [x, u] = [real('x', 'rows', b), real('u', 'rows', b)];
  const [p, M] = [real('p', 'features', b), real('M', 'matrix', b)];
  b.emit('matvec', [b.emit('zeroDiagonal', [M]), x]);
  const [zeroDiagonal, product] = b.eqns.splice(0);
  const value = expression(b, { x, u, p, M: zeroDiagonal.out });
  const next = b.emit('add', [b.emit('mul', [lit(0.5), u]), b.emit('mul', [lit(0.1), product.out])]);
  return {
    name: 'Expression',
    inputs: [{ name: 'x', variable: x }],
    parameters: [
      { name: 'p', variable: p, initializer: uniform(0.5, 1.5), trainable: true },
      { name: 'M', variable: M, initializer: uniform(-1, 1), trainable: true },
    ],
    states: [{ name: 'u', before: u, after: next, initializer: uniform(0, 1) }],
    prelude: [zeroDiagonal],
    body: [product, ...b.eqns],
    output: value,
    outputSet: 'real',
  };
}

function expressionGraph(step: Step): Graph {
  const type = { features: size, time: true, set: 'real', scale: 1 } as const;
  const parameter = (key: string, shape: number[], k: number) =>
    ({ key, shape, layer: 'h', role: 'neuron', initializer: step.parameters[k].initializer, trainable: true }) as const;
  return {
    name: 'expression',
    nodes: [
      { kind: 'source', id: 'input', type },
      {
        kind: 'population',
        id: 'h',
        layer: 'h',
        type,
        inputs: ['input'],
        step,
        size,
        bidirectional: false,
        parameters: { p: 'p', M: 'M' },
        initialStates: { u: 'u' },
      },
      { kind: 'readout', id: 'pool', layer: 'pool', type: { ...type, time: false }, input: 'h', step: lastStep() },
    ],
    parameters: [
      parameter('p', [size], 0),
      parameter('M', [size, size], 1),
      { ...parameter('u', [1, size], 0), role: 'initialState', initializer: uniform(0, 1), trainable: false },
    ],
    output: 'h',
    prediction: 'pool',
    loss: { kind: 'cross_entropy', scores: 'pool', regularizer: null },
    layers: [{ layer: 'h', output: 'h', features: size, spiking: false }],
    classes: size,
  };
}

function lastStep(): Step {
  const x = real('x', 'rows', new EqnBuilder());
  const inputs = [{ name: 'x', variable: x }];
  return { name: 'last', inputs, parameters: [], states: [], prelude: [], body: [], output: x, outputSet: 'real' };
}

const fn = { parameter: real('x', 'rows', new EqnBuilder(1000)), eqns: [], result: lit(1) };
const surrogate: Surrogate = { name: 'any', args: [], derivative: fn, antiderivative: fn, support: null };

type Expression = (b: EqnBuilder, operands: Operands) => Atom;
const unary =
  (prim: Prim): Expression =>
  (b, { x, u }) =>
    b.emit(prim, [b.emit('add', [x, u])]);
const ofPositive =
  (prim: Prim): Expression =>
  (b, { x, p }) =>
    b.emit(prim, [b.emit('add', [b.emit('abs', [x]), p])]);
const binary =
  (prim: Prim): Expression =>
  (b, { x, u, p }) =>
    b.emit(prim, [b.emit('add', [x, u]), p]);
const same =
  (prim: Prim): Expression =>
  (b, { x, u }) =>
    b.emit(prim, [b.emit('relu', [x]), b.emit('max', [x, b.emit('mul', [u, lit(0.01)])])]);

/** Every primitive once; leaving one out does not compile. */
const expressions: Record<Prim, Expression> = {
  add: binary('add'),
  sub: binary('sub'),
  mul: binary('mul'),
  div: binary('div'),
  neg: unary('neg'),
  min: binary('min'),
  max: binary('max'),
  exp: unary('exp'),
  log: ofPositive('log'),
  sqrt: ofPositive('sqrt'),
  abs: unary('abs'),
  tanh: unary('tanh'),
  atan: unary('atan'),
  sigmoid: unary('sigmoid'),
  relu: unary('relu'),
  clamp: (b, { x, p }) => b.emit('clamp', [x, lit(-0.3), p]),
  greater: binary('greater'),
  greaterEqual: same('greaterEqual'),
  equal: same('equal'),
  select: (b, { x, u, p }) => b.emit('select', [b.emit('relu', [x]), u, p]),
  spike: (b, { x, u }) => b.emit('spike', [b.emit('sub', [x, u])], { surrogate }),
  detach: unary('detach'),
  matvec: (b, { M, x, u }) => b.emit('matvec', [M, b.emit('add', [x, u])]),
  matvecTransposed: (b, { M, u }) => b.emit('matvecTransposed', [M, u]),
  zeroDiagonal: (b, { M, x }) => b.emit('matvec', [M, x]),
  softmax: unary('softmax'),
  softmaxAdjoint: (b, { x, u }) => b.emit('softmaxAdjoint', [b.emit('softmax', [x]), u]),
  sumFeatures: (b, { p }) => b.emit('sumFeatures', [p]),
};

describe('every primitive means in ONNX what it means in the interpreter', () => {
  it.each(Object.entries(expressions))('%s', async (_, expression) => {
    const output = await expectAgreement(expressionGraph(stepOf(expression)));
    expect(output.some((v) => v !== 0)).toBe(true);
  });
});

it.each(Array.from({ length: 25 }, (_, seed) => seed))('random neuron %i', async (seed) => {
  const define = randomNeuron(seed);
  const layers = [{ name: 'h', type: 'Random', from: ['input'], size, bidirectional: seed % 2 === 0 }];
  await expectAgreement(graphOf(layers, { features: size, classes: seed % 2 === 0 ? 2 * size : size, define }));
});
