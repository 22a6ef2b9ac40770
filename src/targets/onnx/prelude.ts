import type { PopulationNode } from '../../ir/graph.ts';
import type { Prim, Step, Var } from '../../ir/step.ts';
import { combineSums, type ScaledMatrix } from '../../passes/combineSums.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitEquations, Scope } from './equations.ts';
import { emitRowMatrix } from './events.ts';
import { once } from './once.ts';
import type { ModelParameters } from './parameters.ts';
import { dataTypes } from './proto.ts';

/** Binds the parameters of a deployed population, which its step reads as they are. */
export function bindParameters(builder: GraphBuilder, parameters: ModelParameters, node: PopulationNode): Scope {
  const { step } = node;
  const scope = new Scope(builder);
  for (const { name, variable } of step.parameters) {
    const key = node.parameters[name];
    const values = parameters.values(key);
    if (isOperand(step, 'matvec', variable)) {
      scope.bindTranspose(variable, parameters.transposed(key), () => parameters.rowMatrix(key));
    }
    if (values.every((v) => Math.abs(v) <= 1)) scope.contractions.add(variable.id);
    if (variable.type.extent !== 'matrix' || isOperand(step, 'matvecTransposed', variable)) {
      scope.bind(variable, parameters.tensor(key));
    }
  }
  return scope;
}

/** A population's step in fewer operations, and what it reads besides inputs and states, computed outside the time loop. */
export function emitPrelude(
  builder: GraphBuilder,
  parameters: ModelParameters,
  node: PopulationNode,
): { readonly scope: Scope; readonly step: Step } {
  const { step, matrices } = combineSums(node.step, true);
  const scope = new Scope(builder);
  for (const { name, variable } of step.parameters) scope.bind(variable, parameters.tensor(node.parameters[name]));
  emitEquations(scope, step.prelude);
  for (const matrix of matrices) scope.bind(matrix.out, emitScaled(scope, matrix));
  const factors = step.body.flatMap(({ prim, args }) => (prim === 'matvec' ? [args[0] as Var] : []));
  for (const matrix of new Set(factors)) {
    const name = `${node.layer}.${matrix.name}.T`;
    const transpose = builder.op('Transpose', [scope.value(matrix)], name, { perm: [1, 0] });
    scope.bindTranspose(
      matrix,
      transpose,
      once(() => emitRowMatrix(builder, transpose, node.size, node.size)),
    );
  }
  return { scope, step };
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

function isOperand(step: Step, prim: Prim, variable: Var): boolean {
  return step.body.some((eqn) => eqn.prim === prim && eqn.args[0] === variable);
}
