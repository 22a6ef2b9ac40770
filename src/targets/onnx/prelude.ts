import type { PopulationNode } from '../../ir/graph.ts';
import type { Prim, Step, Var } from '../../ir/step.ts';
import { type CombinedStep, evaluateScaled, type ScaledMatrix } from '../../passes/combineSums.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { evaluatePrelude } from './combine.ts';
import { emitEquations, Scope } from './equations.ts';
import { type ModelParameters, transposed } from './parameters.ts';
import { dataTypes } from './proto.ts';

/**
 * Binds what the body of a population's combined step reads besides inputs and states: parameters, the prelude's results
 * and matrices, computed here with `fold`, otherwise by operators outside the time loop.
 */
export function emitPrelude(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: PopulationNode,
  combined: CombinedStep,
  fold: boolean,
): Scope {
  return fold ? foldPrelude(builder, parameters, node, combined) : emitOperators(builder, parameters, node, combined);
}

function emitOperators(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: PopulationNode,
  { step, matrices }: CombinedStep,
): Scope {
  const scope = new Scope(builder);
  for (const { name, variable } of step.parameters) scope.bind(variable, parameters.tensor(node.parameters[name]));
  emitEquations(scope, step.prelude);
  for (const matrix of matrices) scope.bind(matrix.out, emitScaled(scope, matrix));
  for (const matrix of constantsOf(step, matrices).filter((v) => isOperand(step, 'matvec', v))) {
    const name = `${node.layer}.${matrix.name}.T`;
    scope.bindTranspose(matrix, builder.op('Transpose', [scope.value(matrix)], name, { perm: [1, 0] }), node.size);
  }
  return scope;
}

/** Scales the rows, one per neuron, and adds the diagonal. */
function emitScaled(scope: Scope, { out, matrix, scale, diagonal }: ScaledMatrix): Value {
  const { builder } = scope;
  const column = builder.op('Reshape', [scope.value(scale), builder.ints([-1, 1])], `${out.name}_column`);
  const scaled = builder.op('Mul', [scope.value(matrix), column], `${out.name}_rows`);
  const identity = builder.op('EyeLike', [scaled], `${out.name}_eye`, { dtype: dataTypes.float32 });
  return builder.op(
    'Add',
    [scaled, builder.op('Mul', [identity, scope.value(diagonal)], `${out.name}_diagonal`)],
    out.name,
  );
}

function foldPrelude(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: PopulationNode,
  { step, matrices }: CombinedStep,
): Scope {
  const { size } = node;
  const env = evaluatePrelude(parameters, node, step);
  for (const matrix of matrices) env.set(matrix.out.id, evaluateScaled(matrix, env, size));
  const scope = new Scope(builder);
  for (const variable of constantsOf(step, matrices)) {
    const values = env.get(variable.id) as Float64Array;
    const name = `${node.layer}.${variable.name}`;
    if (isOperand(step, 'matvec', variable)) {
      scope.bindTranspose(variable, builder.tensor(`${name}.T`, [size, size], transposed(values, size, size)), size);
    }
    if (values.every((v) => Math.abs(v) <= 1)) scope.contractions.add(variable.id);
    if (variable.type.extent !== 'matrix' || isOperand(step, 'matvecTransposed', variable)) {
      scope.bind(variable, builder.tensor(name, shapeOf(variable, size), Float32Array.from(values)));
    }
  }
  return scope;
}

function isOperand(step: Step, prim: Prim, variable: Var): boolean {
  return step.body.some((eqn) => eqn.prim === prim && eqn.args[0] === variable);
}

function shapeOf({ type }: Var, size: number): number[] {
  return type.extent === 'scalar' ? [] : type.extent === 'features' ? [size] : [size, size];
}

/** What a step's body, next states and output read from its parameters, prelude and matrices. */
function constantsOf(step: Step, matrices: readonly ScaledMatrix[]): Var[] {
  const parameters = step.parameters.map(({ variable }) => variable);
  const available = new Set(
    [...parameters, ...[...step.prelude, ...matrices].map(({ out }) => out)].map(({ id }) => id),
  );
  const read = [...step.body.flatMap((eqn) => eqn.args), ...step.states.map((state) => state.after), step.output];
  const constants = new Map<number, Var>();
  for (const atom of read) if (atom.kind === 'var' && available.has(atom.id)) constants.set(atom.id, atom);
  return [...constants.values()];
}
