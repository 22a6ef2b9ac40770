import { atomValue, type Env, evaluate } from '../../ir/evaluate.ts';
import type { PopulationNode } from '../../ir/graph.ts';
import type { Step } from '../../ir/step.ts';
import { type CombinedStep, combineSums } from '../../passes/combineSums.ts';
import { scaleStates } from '../../passes/scaleStates.ts';
import type { WeightType } from './compress.ts';
import type { ModelParameters } from './parameters.ts';

/** A population's step as it is exported. */
export interface ExportedStep extends CombinedStep {
  /** The states that the step has multiplied by factors, [size], by name. */
  readonly factors: ReadonlyMap<string, Float32Array>;
}

/** The step in fewer operations; with `fold`, the parameters' values are made use of. */
export function combineStep(
  parameters: ModelParameters,
  node: PopulationNode,
  fold: boolean,
  weights: WeightType,
): ExportedStep {
  // A large diagonal would leave the rest of its channel few of the integers.
  const diagonals = weights !== 'int8';
  const combined = combineSums(node.step, diagonals);
  if (!fold) return { ...combined, factors: new Map() };
  const env = evaluatePrelude(parameters, node, combined.step);
  const { step, factors } = scaleStates(combined.step, (factor) => atomValue(factor, env).every((v) => v !== 0));
  const scaled = combineSums(step, diagonals);
  const valuesOf = (values: Float64Array) =>
    Float32Array.from({ length: node.size }, (_, i) => values[values.length === 1 ? 0 : i]);
  return {
    step: scaled.step,
    matrices: [...combined.matrices, ...scaled.matrices],
    factors: new Map([...factors].map(([state, factor]) => [state, valuesOf(atomValue(factor, env))])),
  };
}

/** The values of a population's parameters and of what `step`, made from its step, computes from them alone. */
export function evaluatePrelude(
  parameters: ModelParameters,
  { parameters: keys, size }: PopulationNode,
  step: Step,
): Env {
  const env: Env = new Map();
  for (const { name, variable } of step.parameters) {
    env.set(variable.id, Float64Array.from(parameters.values(keys[name])));
  }
  evaluate(step.prelude, env, { rows: 1, features: size });
  return env;
}
