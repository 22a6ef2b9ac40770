import { atomValue, type Env, evaluate } from '../ir/evaluate.ts';
import type { Eqn, Step, StepParameter, Var } from '../ir/step.ts';
import { combineSums, evaluateScaled, type ScaledMatrix } from './combineSums.ts';
import { rangesOf } from './ranges.ts';
import { scaleStates } from './scaleStates.ts';

/** A step whose body does the least per time step; what follows from parameters alone is parameters of its own. */
export interface DeployedStep {
  /** Without a prelude. */
  readonly step: Step;
  /** The values of its parameters, from those of the original step's, and the factors of its states; each over `size` neurons. */
  readonly values: (parameters: ReadonlyMap<string, ArrayLike<number>>, size: number) => DeployedValues;
  /** States that the step has multiplied by a factor. */
  readonly scaled: readonly string[];
  /** Products of a matrix with a state that holds spikes after the first step, by the state's name. */
  readonly products: readonly { readonly eqn: Eqn; readonly state: string }[];
}

export interface DeployedValues {
  readonly parameters: ReadonlyMap<string, Float64Array>;
  readonly scales: ReadonlyMap<string, Float64Array>;
}

/** `diagonals`: a multiple of a vector next to its product with a matrix may become a part of the matrix. */
export function deployStep(original: Step, diagonals: boolean): DeployedStep {
  const combined = combineSums(original, diagonals);
  const rangeOf = rangesOf(combined.step.prelude);
  const { step: rescaled, factors } = scaleStates(combined.step, (factor) => {
    const [low, high] = rangeOf(factor);
    return low > 0 || high < 0;
  });
  const { step, matrices: more } = combineSums(rescaled, diagonals);
  const matrices = [...combined.matrices, ...more];
  const parameters = constantsOf(step, matrices).map(
    (variable, i, all): StepParameter => ({
      name: all.findIndex(({ name }) => name === variable.name) < i ? `${variable.name}_${variable.id}` : variable.name,
      variable,
      initializer: { kind: 'constant', value: 0 },
      trainable: false,
    }),
  );
  const values = (given: ReadonlyMap<string, ArrayLike<number>>, size: number): DeployedValues => {
    const env: Env = new Map();
    for (const { name, variable } of original.parameters)
      env.set(variable.id, Float64Array.from(given.get(name) as ArrayLike<number>));
    evaluate(step.prelude, env, { rows: 1, features: size });
    for (const matrix of matrices) env.set(matrix.out.id, evaluateScaled(matrix, env, size));
    const spread = (v: Float64Array) => (v.length === 1 ? new Float64Array(size).fill(v[0]) : v);
    return {
      parameters: new Map(parameters.map(({ name, variable }) => [name, env.get(variable.id) as Float64Array])),
      scales: new Map([...factors].map(([state, factor]) => [state, spread(atomValue(factor, env))])),
    };
  };
  return {
    step: { ...step, parameters, prelude: [] },
    values,
    scaled: [...factors.keys()],
    products: productsOfSpikes(step),
  };
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

function productsOfSpikes({ body, states }: Step): DeployedStep['products'] {
  return body.flatMap((eqn) => {
    const state = states.find(({ before, after }) => eqn.args[1] === before && after.kind === 'var' && after.type.set === 'spike');
    return eqn.prim === 'matvec' && state ? [{ eqn, state: state.name }] : [];
  });
}
