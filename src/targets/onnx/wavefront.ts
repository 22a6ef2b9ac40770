import type { PopulationNode } from '../../ir/graph.ts';
import { computeProductsAhead } from '../../passes/productsAhead.ts';
import { type Schedule, scheduleForward } from '../../passes/schedule.ts';
import { recurrenceOf, type SpikeRecurrence, type Wavefront } from '../../passes/wavefront.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitEquations, Scope } from './equations.ts';
import { emitRowMatrix, isWorthEvents } from './events.ts';
import { emitFirstProducts } from './firstProducts.ts';
import type { ModelParameters } from './parameters.ts';
import { type EmittedLayer, type EmittedPopulation, emitSurroundings } from './population.ts';
import { emitProjection, type Operand } from './projection.ts';
import { type Subgraph, valueInfo } from './proto.ts';
import { distinct, emitScan, emitSequence, type Sequence } from './sequence.ts';
import type { TimeAxis } from './timeAxis.ts';

/** One matrix for two layers holds four, one of them of zeros: where matrices are large, reading them takes more than operators do. */
export const isWorthWavefront = (neurons: number): boolean => !isWorthEvents(neurons, neurons);

/** The loop needs a step of each layer before and after it. */
const leastSteps = 3;

interface Layer {
  readonly node: PopulationNode;
  readonly scope: Scope;
  readonly sequence: Omit<Sequence, 'inputs'>;
}

interface Pair {
  readonly first: Layer;
  readonly second: Layer;
  /** [time, rows, size] */
  readonly input: Value;
  /** From the first layer to the second, [size, size], and the bias, [1, size]. */
  readonly between: { readonly matrix: Value; readonly bias: Value };
  readonly schedule: Schedule;
  readonly recurrence: SpikeRecurrence;
}

/**
 * Runs two layers over the input of the first, [time, batch, size]: of one sample whose steps all count in one loop, where the
 * second layer is a step behind the first; otherwise one after the other.
 */
export function emitWavefront(
  builder: GraphBuilder,
  parameters: ModelParameters,
  time: TimeAxis,
  { projection }: Wavefront,
  layers: readonly [EmittedLayer, EmittedLayer],
  input: Value,
): readonly [EmittedPopulation, EmittedPopulation] {
  const [first, second] = layers.map((layer): Layer => {
    const { scope, sequence } = emitSurroundings(builder, parameters, time, layer);
    // One sample alone has the other branch, unless it is very short.
    return { node: layer.node, scope, sequence: { ...sequence, valid: time.valid, alone: null } };
  });
  const { step, size } = first.node;
  const recurrence = recurrenceOf(step);
  if (!recurrence) throw new Error(`layers "${first.node.id}" and "${second.node.id}" make no wavefront`);
  const zeros = builder.zeros([1, size]);
  const bias = projection.bias && builder.tensor(`${projection.id}.row`, [1, size], parameters.values(projection.bias));
  const between = { matrix: parameters.transposed(projection.weight), bias: bias ?? zeros };
  const pair: Pair = { first, second, input, between, schedule: scheduleForward(step), recurrence };
  const wide = emitWideScope(builder, parameters, pair);

  const length = builder.op('Shape', [input], `${projection.id}.steps`, { start: 0, end: 1 });
  const isLong = builder.op('GreaterOrEqual', [length, builder.ints([leastSteps])], `${projection.id}.is_long`);
  const condition = builder.op('And', [time.alone, isLong], `${projection.id}.in_one_loop`);
  const results = [first, second].flatMap(({ node }) =>
    [...step.states.map(({ name }) => `${name}_final`), 'output'].map((v) => builder.name(`${node.id}.${v}`)),
  );
  builder.node('If', [condition], results, {
    then_branch: emitBranch(builder, pair, (inner) => emitOneLoop(inner, pair, wide)),
    else_branch: emitBranch(builder, pair, (inner) => {
      const a = emitSequence(new Scope(inner, first.scope), { ...first.sequence, inputs: [input] });
      const operand: Operand = { value: a.output, isStep: false, set: 'spike', integers: false };
      const current = emitProjection(inner, parameters, projection, operand);
      const b = emitSequence(new Scope(inner, second.scope), { ...second.sequence, inputs: [current] });
      return [...a.finalStates, a.output, ...b.finalStates, b.output];
    }),
  });
  const half = results.length / 2;
  const population = (values: readonly Value[]) => ({ finalStates: values.slice(0, -1), output: values[half - 1] });
  return [population(results.slice(0, half)), population(results.slice(half))];
}

/** Of each layer the final states, then the output. */
function emitBranch(
  builder: GraphBuilder,
  { first: { node } }: Pair,
  emit: (inner: GraphBuilder) => readonly Value[],
): Subgraph {
  const inner = builder.subgraph();
  const results = distinct(inner, emit(inner), []);
  const name = inner.name(`${node.id}_branch`);
  const isSequence = (i: number) => (i + 1) % (node.step.states.length + 1) === 0;
  const output = results.map((value, i) => {
    const shape = (isSequence(i) ? ['time', 'rows'] : ['rows']).map((d) => `${name}.${d}`);
    return valueInfo(value, 'float32', [...shape, node.size]);
  });
  return { name, node: inner.nodes, initializer: [], input: [], output };
}

/** The step's parameters over the neurons of both layers; its matrix is [[V1, W], [0, V2]], transposed as a factor from the right. */
function emitWideScope(builder: GraphBuilder, parameters: ModelParameters, pair: Pair): Scope {
  const { first, second, between, recurrence } = pair;
  const { step, size, id } = first.node;
  const scope = new Scope(builder);
  const [v1, v2] = [first, second].map((layer) => layer.scope.transpose(recurrence.matrix));
  const above = builder.op('Concat', [v1, between.matrix], `${id}.first_rows`, { axis: 1 });
  const zeros = builder.op('ConstantOfShape', [builder.ints([size, size])], `${id}.no_rows`);
  const below = builder.op('Concat', [zeros, v2], `${id}.second_rows`, { axis: 1 });
  const block = builder.op('Concat', [above, below], `${id}.both_rows`, { axis: 0 });
  scope.bindTranspose(recurrence.matrix, block, () => emitRowMatrix(builder, block, 2 * size, 2 * size));
  for (const { name, variable } of step.parameters) {
    if (variable.id === recurrence.matrix.id) continue;
    const values = new Float32Array(2 * size);
    [first, second].forEach(({ node }, i) => {
      const own = parameters.values(node.parameters[name]);
      values.set(own.length === 1 ? new Float32Array(size).fill(own[0]) : own, i * size);
    });
    scope.bind(variable, builder.tensor(`${id}.both.${name}`, [2 * size], values));
  }
  return scope;
}

/**
 * The first layer takes step t where the second takes step t - 1; the first step of the one and the last of the other are
 * outside of the loop. The loop's product is that of the next step for both, with the way from the one to the other in it;
 * the bias of that comes as input. All terms are multiples of one number, so that their sums are the same in any order, but
 * for the product with the second layer's initial state: that is summed up as it always is, before the loop.
 */
function emitOneLoop(builder: GraphBuilder, pair: Pair, wide: Scope): Value[] {
  const { first, second, input, between, schedule, recurrence } = pair;
  const { step, size } = first.node;
  const { state } = recurrence;
  const start = builder.ints([0]);
  const ahead = computeProductsAhead(schedule);
  const [product1, product2] = [first, second].map(
    ({ scope, sequence }) => emitFirstProducts(new Scope(builder, scope), sequence, ahead.ahead)[0],
  );

  const input1 = builder.op('Gather', [input, builder.index(0)], `${first.node.id}.first_input`, { axis: 0 });
  const states1 = emitOneStep(builder, pair, first, first.sequence.initialStates, product1, input1);
  const ownProduct = builder.op('MatMul', [states1[state], first.scope.transpose(recurrence.matrix)], 'own_product');
  const current = builder.op('MatMul', [states1[state], between.matrix], 'first_current');
  const biased = builder.op('Add', [current, between.bias], 'first_biased');
  const product2AndInput = builder.op('Add', [product2, biased], 'first_driven');

  const beside = (a: Value, b: Value, wish: string) => builder.op('Concat', [a, b], wish, { axis: -1 });
  const initialStates = states1.map((v, i) =>
    beside(v, second.sequence.initialStates[i], `${step.states[i].name}_both`),
  );
  const products = beside(ownProduct, product2AndInput, 'products_both');
  const loopScope = new Scope(builder, wide);
  loopScope.bind(step.inputs[0].variable, emitInputs(builder, pair));
  const states = [...step.states, { ...step.states[0], name: recurrence.product.out.name }];
  const sequence = {
    ...first.sequence,
    step: { ...step, states },
    features: 2 * size,
    inputs: [],
    initialStates: [...initialStates, products],
  };
  const output = step.states[state].after as Schedule['sliced'][number];
  const results = emitScan(loopScope, { sequence, schedule: ahead.schedule, stacked: [output] }, 'one');

  const halves = results.map((value) => {
    const parts = ['first', 'second'].map((which) => builder.name(`${value}_${which}`));
    builder.node('Split', [value], parts, { axis: -1 });
    return parts;
  });
  const count = step.states.length;
  const [final1, before2] = [0, 1].map((layer) => halves.slice(0, count).map((parts) => parts[layer]));
  const final2 = emitOneStep(builder, pair, second, before2, halves[count][1], between.bias);
  const [output1, output2] = halves[count + 1];
  const atTime = (v: Value) => builder.op('Unsqueeze', [v, start], `${v}_step`);
  const all1 = builder.op('Concat', [atTime(states1[state]), output1], `${first.node.id}.all`, { axis: 0 });
  const all2 = builder.op('Concat', [output2, atTime(final2[state])], `${second.node.id}.all`, { axis: 0 });
  return [...final1, all1, ...final2, all2];
}

/** For all steps of the loop: the first layer's input, and the bias of the second's, which its first step already has. */
function emitInputs(builder: GraphBuilder, { input, between, first: { node } }: Pair): Value {
  const [start, one, two] = [0, 1, 2].map((v) => builder.ints([v]));
  const end = builder.ints([Number.MAX_SAFE_INTEGER]);
  const own = builder.op('Slice', [input, one, end, start], 'input_first');
  const rest = builder.op('Shape', [builder.op('Slice', [input, two, end, start], 'input_rest')], 'input_rest_shape');
  const biases = builder.op('Expand', [between.bias, rest], 'biases');
  const other = builder.op('Concat', [builder.zeros([1, 1, node.size]), biases], 'input_second', { axis: 0 });
  return builder.op('Concat', [own, other], 'inputs_both', { axis: -1 });
}

/** One step of one layer; its next states, [1, size]. */
function emitOneStep(
  builder: GraphBuilder,
  { schedule, recurrence: { product } }: Pair,
  { node, scope }: Layer,
  states: readonly Value[],
  ownProduct: Value,
  input: Value,
): Value[] {
  const { step } = node;
  const inner = new Scope(builder, scope);
  step.states.forEach(({ before }, i) => {
    inner.bind(before, states[i]);
  });
  inner.bind(step.inputs[0].variable, input);
  inner.bind(product.out, ownProduct);
  emitEquations(
    inner,
    schedule.loop.filter((eqn) => eqn !== product),
  );
  return step.states.map(({ after }) => inner.value(after));
}
