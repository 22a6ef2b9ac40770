import { type Env, evaluate } from '../../ir/evaluate.ts';
import type { PopulationNode } from '../../ir/graph.ts';
import type { Prim, Step, Var } from '../../ir/step.ts';
import type { GraphBuilder } from './builder.ts';
import { emitEquations, Scope } from './equations.ts';
import { type ModelParameters, transposed } from './parameters.ts';

/**
 * Binds what the body of a population's step reads besides inputs and states: parameters and the prelude's results,
 * computed here with `fold`, otherwise by operators outside the time loop.
 */
export function emitPrelude(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: PopulationNode,
  fold: boolean,
): Scope {
  return fold ? foldPrelude(builder, parameters, node) : emitOperators(builder, parameters, node);
}

function emitOperators(builder: GraphBuilder, parameters: ModelParameters, node: PopulationNode): Scope {
  const { step } = node;
  const scope = new Scope(builder);
  for (const { name, variable } of step.parameters) scope.bind(variable, parameters.tensor(node.parameters[name]));
  emitEquations(scope, step.prelude);
  for (const matrix of constantsOf(step).filter((v) => isOperand(step, 'matvec', v))) {
    const name = `${node.layer}.${matrix.name}.T`;
    scope.bindTranspose(matrix, builder.op('Transpose', [scope.value(matrix)], name, { perm: [1, 0] }));
  }
  return scope;
}

function foldPrelude(builder: GraphBuilder, parameters: ModelParameters, node: PopulationNode): Scope {
  const { step, size } = node;
  const env: Env = new Map();
  for (const { name, variable } of step.parameters) {
    env.set(variable.id, Float64Array.from(parameters.values(node.parameters[name])));
  }
  evaluate(step.prelude, env, { rows: 1, features: size });
  const scope = new Scope(builder);
  for (const variable of constantsOf(step)) {
    const values = env.get(variable.id) as Float64Array;
    const name = `${node.layer}.${variable.name}`;
    if (isOperand(step, 'matvec', variable)) {
      scope.bindTranspose(variable, builder.tensor(`${name}.T`, [size, size], transposed(values, size, size)));
    }
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

/** What a step's body, next states and output read from its parameters and prelude. */
function constantsOf(step: Step): Var[] {
  const available = new Set([...step.parameters.map((p) => p.variable.id), ...step.prelude.map((eqn) => eqn.out.id)]);
  const read = [...step.body.flatMap((eqn) => eqn.args), ...step.states.map((state) => state.after), step.output];
  const constants = new Map<number, Var>();
  for (const atom of read) if (atom.kind === 'var' && available.has(atom.id)) constants.set(atom.id, atom);
  return [...constants.values()];
}
