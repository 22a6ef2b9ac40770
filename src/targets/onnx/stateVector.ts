import type { GraphBuilder, Value } from './builder.ts';

/** The input and the output that hold all states of a stream: each tensor that goes in or out of a call takes time of its own. */
export const stateVector = 'state';
export const nextStateVector = 'next_state';

/** A part of the state vector. */
export interface CarriedState {
  readonly name: string;
  /** Of one row. */
  readonly shape: readonly number[];
  readonly initial: Float32Array;
}

export const sizeOf = ({ shape }: Pick<CarriedState, 'shape'>): number => shape.reduce((a, b) => a * b, 1);

export function initialVector(states: readonly CarriedState[]): Float32Array {
  return Float32Array.from(states.flatMap(({ initial }) => [...initial]));
}

/** The state vector before a chunk, [batch or 1, size]: the initial one in rows that start afresh. */
export function emitVector(builder: GraphBuilder, states: readonly CarriedState[]): Value {
  const values = initialVector(states);
  const initial = builder.tensor('initial_state', [1, values.length], values);
  const reset = builder.op('Unsqueeze', ['reset', builder.ints([1])], 'reset_column');
  return builder.op('Where', [reset, initial, stateVector], 'state_rows');
}

/** The states in a vector by name, each [rows, ...shape]. */
export function emitParts(
  builder: GraphBuilder,
  states: readonly CarriedState[],
  vector: Value,
): ReadonlyMap<string, Value> {
  const parts = states.map(({ name }) => builder.name(name));
  builder.node('Split', [vector, builder.ints(states.map(sizeOf))], parts, { axis: -1 });
  return new Map(
    states.map(({ name, shape }, i) => {
      if (shape.length === 1) return [name, parts[i]];
      return [name, builder.op('Reshape', [parts[i], builder.ints([-1, ...shape])], `${name}.parts`)];
    }),
  );
}

/** The state vector after a chunk. */
export function emitNextVector(
  builder: GraphBuilder,
  states: readonly CarriedState[],
  finalStates: ReadonlyMap<string, Value>,
): Value {
  const rows = states.map(({ name, shape }) => {
    const value = finalStates.get(name) as Value;
    return shape.length === 1 ? value : builder.op('Flatten', [value], `${name}.row`);
  });
  return builder.op('Concat', rows, nextStateVector, { axis: -1 });
}
