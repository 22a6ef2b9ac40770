import type { ReadoutNode } from '../../ir/graph.ts';
import type { Step, Var } from '../../ir/step.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitEquations, Scope } from './equations.ts';
import { stateName } from './population.ts';
import { dataTypes } from './proto.ts';
import { emitSequence } from './sequence.ts';
import type { Segmentation, StreamAxis } from './stream.ts';
import type { TimeAxis } from './timeAxis.ts';

/** Runs a pooling step over [time, batch, features]; its output at each sample's last valid step, [batch, features]. */
export function emitReadout(
  builder: GraphBuilder,
  time: TimeAxis,
  node: ReadoutNode,
  input: Value,
  features: number,
): Value {
  const { output } = emitSequence(preludeScope(builder, node), {
    step: node.step,
    features,
    inputs: [input],
    initialStates: emitStart(builder, time.batch, node, features),
    valid: time.valid,
    alone: time.alone,
    isStep: time.isStep,
    integers: false,
    restart: null,
    firstProducts: null,
  });
  return time.last(output, node.id);
}

/** A state of a pool in a stream, [batch, ...shape]. */
export interface ReadoutState {
  /** No name in the language has a hyphen or a dot, so those that sparchc adds cannot clash. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly initial: number;
}

const lastOutput = 'last-output';
const lastInputs = 'last-inputs';
const filledSteps = 'filled-steps';

/** What a pool carries from chunk to chunk: its own states and its output so far, or a window of its inputs. */
export function readoutStates(node: ReadoutNode, features: number, segmentation: Segmentation): ReadoutState[] {
  if (segmentation.kind === 'window') {
    return [
      { name: lastInputs, shape: [segmentation.steps, features], initial: 0 },
      { name: filledSteps, shape: [1], initial: 0 },
    ];
  }
  return withOutputState(node.step).states.map(({ name }) => ({
    name,
    shape: [features],
    initial: startOf(node, name),
  }));
}

/** The pool's result after a chunk [batch, features], and its states by name. */
export function emitStreamReadout(
  builder: GraphBuilder,
  axis: StreamAxis,
  node: ReadoutNode,
  input: Value,
  features: number,
): { result: Value; finalStates: ReadonlyMap<string, Value> } {
  const { segmentation } = axis;
  if (segmentation.kind === 'window') return emitWindow(builder, axis, node, input, features, segmentation.steps);
  const { time } = axis;
  const step = withOutputState(node.step);
  const { restart } = time;
  const starts = () => step.states.map(({ name }) => builder.scalar(startOf(node, name)));
  const { finalStates } = emitSequence(preludeScope(builder, node), {
    step,
    features,
    inputs: [input],
    initialStates: step.states.map(({ name }) => carriedOf(time, node, name)),
    valid: time.valid,
    alone: time.alone,
    isStep: time.isStep,
    integers: false,
    restart: restart === null ? null : { mask: restart, states: starts() },
    firstProducts: null,
  });
  return {
    result: finalStates[finalStates.length - 1],
    finalStates: new Map(step.states.map(({ name }, i) => [name, finalStates[i]])),
  };
}

/** Runs the pool from its start over the last steps, those of earlier chunks among them. */
function emitWindow(
  builder: GraphBuilder,
  { time, steps: added, arrived }: StreamAxis,
  node: ReadoutNode,
  input: Value,
  features: number,
  steps: number,
): { result: Value; finalStates: ReadonlyMap<string, Value> } {
  const { id } = node;
  const batchMajor = arrived(time.toBatchMajor(input));
  const all = builder.op('Concat', [carriedOf(time, node, lastInputs), batchMajor], `${id}.all`, { axis: 1 });
  const bounds = [[-steps], [Number.MAX_SAFE_INTEGER], [1]].map((v) => builder.ints(v));
  const kept = builder.op('Slice', [all, ...bounds], `${id}.kept`);

  const chunk = builder.op('Cast', [added], `${id}.added`, { to: dataTypes.float32 });
  const more = builder.op('Add', [carriedOf(time, node, filledSteps), chunk], `${id}.filled_more`);
  const filled = builder.op('Min', [more, builder.scalar(steps)], `${id}.filled`);

  const ages = builder.tensor(
    `${id}.ages`,
    [steps, 1, 1],
    Float32Array.from({ length: steps }, (_, i) => steps - 1 - i),
  );
  const window = builder.op('Transpose', [kept], `${id}.window`, { perm: [1, 0, 2] });
  const { output } = emitSequence(preludeScope(builder, node), {
    step: node.step,
    features,
    inputs: [window],
    initialStates: emitStart(builder, time.batch, node, features),
    valid: builder.op('Less', [ages, filled], `${id}.within`),
    alone: null,
    isStep: false,
    integers: false,
    restart: null,
    firstProducts: null,
  });
  return {
    result: builder.op('Gather', [output, builder.index(-1)], id, { axis: 0 }),
    finalStates: new Map([
      [lastInputs, kept],
      [filledSteps, filled],
    ]),
  };
}

function preludeScope(builder: GraphBuilder, node: ReadoutNode): Scope {
  const scope = new Scope(builder);
  emitEquations(scope, node.step.prelude);
  return scope;
}

function carriedOf({ carried }: TimeAxis, { id }: ReadoutNode, state: string): Value {
  return carried?.get(stateName(id, state)) as Value;
}

/** The pool's states before the first step, each [batch, features]. */
function emitStart(builder: GraphBuilder, batch: Value, node: ReadoutNode, features: number): Value[] {
  const shape = builder.op('Concat', [batch, builder.ints([features])], `${node.id}.shape`, { axis: 0 });
  return node.step.states.map(({ name }) =>
    builder.op('Expand', [builder.scalar(startOf(node, name)), shape], `${node.id}.${name}`),
  );
}

function startOf(node: ReadoutNode, state: string): number {
  if (state === lastOutput) return 0;
  const initializer = node.step.states.find(({ name }) => name === state)?.initializer;
  if (initializer?.kind !== 'constant') throw new Error(`state "${state}" of a pooling step must start at a constant`);
  return initializer.value;
}

/** The step with its output as its last state: so it is held, like the others, where a step does not count. */
function withOutputState(step: Step): Step {
  const ids = [...step.inputs.map((i) => i.variable), ...step.states.map((s) => s.before), ...equationVars(step)];
  const id = 1 + Math.max(...ids.map((v) => v.id));
  const before: Var = { kind: 'var', id, name: 'output', type: { extent: 'rows', set: 'real' } };
  const state = { name: lastOutput, before, after: step.output, initializer: { kind: 'constant', value: 0 } } as const;
  return { ...step, states: [...step.states, state] };
}

function equationVars(step: Step): Var[] {
  return [...step.prelude, ...step.body].map((eqn) => eqn.out);
}
