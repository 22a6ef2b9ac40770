import type { PopulationNode, ProjectionNode } from '../ir/graph.ts';
import type { Var } from '../ir/step.ts';
import {
  type Affine,
  type DeployContext,
  inputSet,
  madeParameter,
  type NamedValues,
  namedValues,
  type Part,
  projectionValues,
} from './deployProjection.ts';
import { type DeployedStep, deployStep } from './deployStep.ts';
import { toExactSums } from './exactSums.ts';
import { foldBatchnorm, scaleRows } from './foldBatchnorm.ts';

export interface DeployedPopulation {
  /**
   * Products of a matrix with a state, by the id of the product: the key of its value [directions, size] for the fixed
   * initial states, which are no spikes.
   */
  readonly firstProducts: ReadonlyMap<number, FirstProduct>;
}

export interface FirstProduct {
  readonly key: string;
  /** The state's name. */
  readonly state: string;
  /** Key of the matrix [size, size]. */
  readonly matrix: string;
}

interface Options {
  /** By the position of the input that each drives; null where that is read by others, too, or is no projection. */
  readonly drives: readonly (ProjectionNode | null)[];
  /** See deployStep. */
  readonly diagonals: boolean;
}

/** A population and the values of the projections that drive it. */
export function deployPopulation(
  context: DeployContext,
  node: PopulationNode,
  { drives, diagonals }: Options,
): Part & { readonly population: DeployedPopulation } {
  const { layer, size, id } = node;
  const deployed = deployStep(node.step, diagonals, (i) => drives[i] !== null);
  const { step, products } = deployed;
  const keys = Object.fromEntries(step.parameters.map(({ name }) => [name, `${id}.${name}`]));
  const keyOf = (variable: Var) => `${id}.${step.parameters.find((p) => p.variable === variable)?.name}`;
  const firstProducts = new Map(
    products.map(({ eqn, state }): [number, FirstProduct] => [
      eqn.out.id,
      { key: `${id}.${eqn.out.name}.${eqn.out.id}.initial`, state, matrix: keyOf(eqn.args[0] as Var) },
    ]),
  );
  const directions = node.bidirectional ? 2 : 1;
  return {
    node: { ...node, step, parameters: keys },
    parameters: [
      ...step.parameters.map(({ variable }) => {
        const { extent } = variable.type;
        const shape = { scalar: [], features: [size], matrix: [size, size], rows: [] }[extent];
        return madeParameter(layer, keyOf(variable), shape, extent === 'matrix' ? 'recurrent' : 'neuron');
      }),
      ...[...firstProducts.values()].map(({ key }) => madeParameter(layer, key, [directions, size], 'initialState')),
    ],
    population: { firstProducts },
    values: (parameters) => {
      const original = (key: string) => parameters.get(key) as Float32Array;
      const given = new Map(Object.entries(node.parameters).map(([name, key]) => [name, original(key)]));
      const computed = deployed.values(given, size);
      const values = new Map<string, Float32Array>();
      drives.forEach((drive, i) => {
        if (!drive) return;
        const affine = multiplied(foldBatchnorm(drive, original), computed.inputFactors.get(step.inputs[i].name));
        const recurrent = context.isExact && inputSet(context, drive) === 'spike' ? matrixBeside(deployed, i) : null;
        const driven = recurrent
          ? exactTogether(drive, affine, {
              key: keys[recurrent],
              value: computed.parameters.get(recurrent) as Float64Array,
            })
          : projectionValues(context, drive, affine, size);
        for (const [key, value] of driven) values.set(key, value);
      });
      for (const { name, variable } of step.parameters) {
        if (values.has(keys[name])) continue;
        const value = computed.parameters.get(name) as Float64Array;
        const isFactor = context.isExact && deployed.spikeMatrices.has(variable);
        values.set(keys[name], isFactor ? toExactSums(value, null, size, 1).matrix : new Float32Array(value));
      }
      for (const { key, state, matrix } of firstProducts.values()) {
        const initial = original(node.initialStates[state]);
        values.set(key, productOf(values.get(matrix) as Float32Array, initial, size));
      }
      return values;
    },
  };
}

/** The name of the matrix whose product with spikes is added to an input at once; null where there is none. */
function matrixBeside({ step, products }: DeployedStep, input: number): string | null {
  const { variable } = step.inputs[input];
  const beside = products.find(({ eqn: { out } }) =>
    step.body.some(({ prim, args }) => prim === 'add' && args.includes(out) && args.includes(variable)),
  );
  return step.parameters.find((parameter) => parameter.variable === beside?.eqn.args[0])?.name ?? null;
}

/** The values of a projection and of a matrix beside it, such that sums over the spikes of both are exact. */
function exactTogether(
  drive: ProjectionNode,
  { weight, bias }: Affine,
  { key, value }: { readonly key: string; readonly value: Float64Array },
): NamedValues {
  const rows = Math.sqrt(value.length);
  const width = weight.length / rows;
  const all = new Float64Array(weight.length + value.length);
  for (let row = 0; row < rows; row++) {
    const start = row * (width + rows);
    all.set(weight.subarray(row * width, (row + 1) * width), start);
    all.set(value.subarray(row * rows, (row + 1) * rows), start + width);
  }
  const exact = toExactSums(all, bias, rows, 1);
  const columns = (from: number, to: number) => {
    const part = new Float32Array(rows * (to - from));
    for (let row = 0; row < rows; row++) {
      const start = row * (width + rows);
      part.set(exact.matrix.subarray(start + from, start + to), row * (to - from));
    }
    return part;
  };
  return [...namedValues(drive, columns(0, width), exact.bias), [key, columns(width, width + rows)]];
}

/** Multiplies the weight, in place, and the bias by `factor`: [out] or one number; absent for 1. */
function multiplied({ weight, bias }: Affine, factor: Float64Array | undefined): Affine {
  if (!factor) return { weight, bias };
  scaleRows(weight, factor);
  return { weight, bias: bias?.map((b, row) => b * factor[factor.length === 1 ? 0 : row]) ?? null };
}

/** The products of a matrix [size, size] with vectors [rows, size], added up in float64. */
export function productOf(matrix: Float32Array, vectors: Float32Array, size: number): Float32Array {
  return Float32Array.from(vectors, (_, at) => {
    const i = at % size;
    let sum = 0;
    for (let j = 0; j < size; j++) sum += matrix[i * size + j] * vectors[at - i + j];
    return sum;
  });
}
