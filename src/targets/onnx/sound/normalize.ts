import { EPSILON } from '../../../data/transforms/normalize.ts';
import { Reporter } from '../../../diagnostics/diagnostic.ts';
import type { Step } from '../../../ir/step.ts';
import { standardLibrary } from '../../../passes/library.ts';
import { lowerNeuron } from '../../../passes/lowerNeuron.ts';
import type { NeuronDefinition } from '../../../syntax/ast.ts';
import { parseDefinitions } from '../../../syntax/parse.ts';
import { wholeSource } from '../../../syntax/text.ts';
import type { GraphBuilder, Value } from '../builder.ts';
import { emitEquations, Scope } from '../equations.ts';
import { dataTypes } from '../proto.ts';
import { emitSequence } from '../sequence.ts';
import type { TimeAxis } from '../timeAxis.ts';
import type { Normalization } from './frontEnd.ts';

/** Welford's running mean and sum of squares, as `normalize(over=past)` has them. */
const running = (scale: string) => `
pool running_norm {
  input  x
  state  n = 0, average = 0, squares = 0
  n'       = n + 1
  let before = x - average
  average' = average + before / n'
  squares' = squares + before * (x - average')
  output (x - average') * ${scale}
}`;

/** Whose states are those of the running normalization; no name in the language has a hyphen. */
export const runningNorm = 'running-norm';

/** The states of the running normalization, each [rows, features] and 0 at the start. */
export function runningStates(): string[] {
  return runningStep(true).states.map(({ name }) => name);
}

/**
 * Normalizes features [time, batch, features] as the trainer's pipeline does. `initialStates` of the running
 * normalization are [batch, features]; `finalStates` are in the same order.
 */
export function emitNormalize(
  builder: GraphBuilder,
  { over, variance }: Normalization,
  time: TimeAxis,
  features: number,
  values: Value,
  initialStates: readonly Value[],
): { readonly values: Value; readonly finalStates: readonly Value[] } {
  if (over === 'utterance') return { values: emitWhole(builder, time, values, variance), finalStates: [] };
  const step = runningStep(variance);
  const scope = new Scope(builder);
  emitEquations(scope, step.prelude);
  const { restart } = time;
  const { output, finalStates } = emitSequence(scope, {
    step,
    features,
    inputs: [values],
    initialStates,
    valid: time.valid,
    alone: time.alone,
    isStep: time.isStep,
    integers: false,
    restart: restart === null ? null : { mask: restart, states: step.states.map(() => builder.scalar(0)) },
    firstProducts: null,
  });
  return { values: output, finalStates };
}

/** Over the valid steps of each sample, in float64 like the trainer. */
function emitWhole(builder: GraphBuilder, time: TimeAxis, values: Value, variance: boolean): Value {
  const double = (value: Value, wish: string) => builder.op('Cast', [value], wish, { to: dataTypes.float64 });
  const exact = double(values, 'norm.exact');
  const ones = double(time.valid, 'norm.ones');
  const count = builder.op('ReduceSum', [ones, builder.ints([0])], 'norm.count', { keepdims: 1 });
  const mean = (of: Value, wish: string) => {
    const masked = builder.op('Mul', [of, ones], `${wish}_masked`);
    const sum = builder.op('ReduceSum', [masked, builder.ints([0])], `${wish}_sum`, { keepdims: 1 });
    return builder.op('Div', [sum, count], wish);
  };
  const centred = builder.op('Sub', [exact, mean(exact, 'norm.mean')], 'norm.centred');
  const scaled = variance ? emitScaled(builder, centred, mean) : centred;
  return builder.op('Cast', [scaled], 'norm.values', { to: dataTypes.float32 });
}

function emitScaled(builder: GraphBuilder, centred: Value, mean: (of: Value, wish: string) => Value): Value {
  const squares = mean(builder.op('Mul', [centred, centred], 'norm.squares'), 'norm.variance');
  const epsilon = builder.double('norm.epsilon', [], Float64Array.of(EPSILON));
  const deviation = builder.op('Sqrt', [builder.op('Add', [squares, epsilon], 'norm.positive')], 'norm.deviation');
  return builder.op('Div', [centred, deviation], 'norm.scaled');
}

function runningStep(variance: boolean): Step {
  const text = running(variance ? `1 / sqrt(squares' / n' + ${EPSILON})` : '1');
  const reporter = new Reporter();
  const definitions = parseDefinitions(wholeSource({ name: runningNorm, text }), reporter);
  const settings = { consts: new Map(), surrogate: null, stepDuration: null };
  const step = definitions && lowerNeuron(definitions[0] as NeuronDefinition, settings, standardLibrary(), reporter);
  if (!step) throw new Error(reporter.diagnostics.map(({ message }) => message).join('; '));
  return step;
}
