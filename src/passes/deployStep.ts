import { atomValue, type Env, evaluate } from '../ir/evaluate.ts';
import { typeOf } from '../ir/primitives.ts';
import type { Atom, Eqn, Step, StepParameter, Var } from '../ir/step.ts';
import { combineSums, evaluateScaled, type ScaledMatrix } from './combineSums.ts';
import { takeInputFactors } from './inputFactors.ts';

/** A step whose body does the least per time step; what follows from parameters alone is parameters of its own. */
export interface DeployedStep {
  /** Without a prelude. */
  readonly step: Step;
  /** What it reads, from the original step's parameters by name, for so many neurons. */
  readonly values: (parameters: ReadonlyMap<string, Float32Array>, size: number) => DeployedValues;
  /** Products of a matrix with a state that holds spikes after the first step, by the state's name. */
  readonly products: readonly { readonly eqn: Eqn; readonly state: string }[];
  /** The matrices that are multiplied by spikes or counts, be they of the step at hand or of earlier ones. */
  readonly spikeMatrices: ReadonlySet<Var>;
}

export interface DeployedValues {
  /** By the parameter's name. */
  readonly parameters: ReadonlyMap<string, Float64Array>;
  /** What the step's inputs are to be multiplied by, [size] or one number, where that is not 1; by the input's name. */
  readonly inputFactors: ReadonlyMap<string, Float64Array>;
}

/**
 * `diagonals`: a multiple of a vector next to its product with a matrix may become a part of the matrix. `isFree` says which
 * inputs, by position, can be given multiplied by a factor.
 */
export function deployStep(original: Step, diagonals: boolean, isFree: (input: number) => boolean): DeployedStep {
  const { step: combined, matrices } = combineSums(original, diagonals);
  const { step, factors } = takeInputFactors(combined, isFree);
  const parameters = constantsOf(step, matrices).map(
    (variable, i, all): StepParameter => ({
      name: all.findIndex(({ name }) => name === variable.name) < i ? `${variable.name}_${variable.id}` : variable.name,
      variable,
      initializer: { kind: 'constant', value: 0 },
      trainable: false,
    }),
  );
  return {
    step: { ...step, parameters, prelude: [] },
    values: (given, size) => {
      const env: Env = new Map(
        original.parameters.map(({ name, variable }) => [
          variable.id,
          new Float64Array(given.get(name) as Float32Array),
        ]),
      );
      evaluate(step.prelude, env, { rows: 1, features: size });
      for (const matrix of matrices) env.set(matrix.out.id, evaluateScaled(matrix, env, size));
      return {
        parameters: new Map(parameters.map(({ name, variable }) => [name, env.get(variable.id) as Float64Array])),
        inputFactors: new Map([...factors].map(([input, factor]) => [input, atomValue(factor, env)])),
      };
    },
    products: productsOfSpikes(step),
    spikeMatrices: new Set(
      step.body.flatMap(({ prim, args }) => (prim === 'matvec' && holdsEvents(step, args[1]) ? [args[0] as Var] : [])),
    ),
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
    const isOperand = ({ before, after }: Step['states'][number]) =>
      eqn.args[1] === before && after.kind === 'var' && after.type.set === 'spike';
    const state = eqn.prim === 'matvec' ? states.find(isOperand) : undefined;
    return state ? [{ eqn, state: state.name }] : [];
  });
}

/** Whether a variable holds spikes or counts, a state at least after some steps. */
function holdsEvents({ states }: Step, atom: Atom): boolean {
  const followed = new Set<Atom>();
  for (let value: Atom | undefined = atom; value && !followed.has(value); ) {
    if (typeOf(value).set !== 'real') return true;
    followed.add(value);
    const before: Atom = value;
    value = states.find((state) => state.before === before)?.after;
  }
  return false;
}
