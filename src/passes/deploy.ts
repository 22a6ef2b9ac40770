import type {
  Graph,
  GraphNode,
  NodeId,
  Parameter,
  ParameterRole,
  PopulationNode,
  ProjectionNode,
} from '../ir/graph.ts';
import type { Step, Var } from '../ir/step.ts';
import { deployStep } from './deployStep.ts';
import { toExactSums } from './exactSums.ts';
import { foldBatchnorm } from './foldBatchnorm.ts';

type Values = ReadonlyMap<string, Float32Array>;

/**
 * A network for evaluation alone: batchnorm is part of the weights, neurons compute what changes over time and nothing else.
 * Where spikes are ahead, no sum depends on the order of its terms: weights that meet spikes or counts are rounded so that
 * float32 holds all their sums, other products are added up in float64. So every target that computes the deployed
 * graph's equations in float32, one by one, finds the same spikes to the bit.
 */
export interface Deployment {
  readonly graph: Graph;
  readonly populations: ReadonlyMap<NodeId, DeployedPopulation>;
  /** The values of the graph's parameters and buffers, from those of the network that it was made from. */
  readonly values: (parameters: Values) => Map<string, Float32Array>;
}

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

/** `diagonals`: see deployStep. */
export function deploy(graph: Graph, diagonals = true): Deployment {
  const exact = nodesBeforeSpikes(graph);
  const parts = graph.nodes.map((node) => deployNode(graph, node, exact.has(node.id), diagonals));
  const nodes = parts.map(({ node }) => node);
  const used = new Set(nodes.flatMap(keysOf));
  const own = parts.flatMap(({ parameters }) => parameters);
  const made = new Set(own.map(({ key }) => key));
  return {
    graph: {
      ...graph,
      nodes,
      parameters: [...graph.parameters.filter((p) => used.has(p.key) && !made.has(p.key)), ...own],
    },
    populations: new Map(parts.flatMap(({ node, population }) => (population ? [[node.id, population]] : []))),
    values: (parameters) => {
      const values = new Map([...parameters].filter(([key]) => used.has(key) && !made.has(key)));
      for (const part of parts) for (const [key, value] of part.values(parameters)) values.set(key, value);
      return values;
    },
  };
}

/** A node of the deployed graph with the parameters that are made for it. */
interface Part {
  readonly node: GraphNode;
  readonly parameters: readonly Parameter[];
  readonly values: (parameters: Values) => Iterable<readonly [string, Float32Array]>;
  readonly population?: DeployedPopulation;
}

function deployNode(graph: Graph, node: GraphNode, isExact: boolean, diagonals: boolean): Part {
  if (node.kind === 'projection') return deployProjection(graph, node, isExact);
  if (node.kind === 'population') return deployPopulation(node, isExact, diagonals);
  return { node, parameters: [], values: () => [] };
}

function deployProjection(graph: Graph, node: ProjectionNode, isExact: boolean): Part {
  const isFolded = node.norm.kind === 'batchnorm';
  const weight = graph.parameters.find(({ key }) => key === node.weight) as Parameter;
  const [outputs] = weight.shape;
  const biasKey = node.bias || isFolded ? `${node.id}.bias` : null;
  const set = graph.nodes.find(({ id }) => id === node.input)?.type.set;
  const parameter = (key: string, shape: readonly number[], role: ParameterRole) =>
    madeParameter(weight.layer, key, shape, role);
  return {
    node: {
      ...node,
      bias: biasKey,
      norm: isFolded ? { kind: 'none' } : node.norm,
      inDouble: isExact && set === 'real',
    },
    parameters: [
      parameter(node.weight, weight.shape, 'weight'),
      ...(biasKey ? [parameter(biasKey, [outputs], 'bias')] : []),
    ],
    values: (parameters) => {
      const folded = foldBatchnorm(node, (key) => parameters.get(key) as Float32Array);
      const { matrix, bias } =
        isExact && set !== 'real'
          ? toExactSums(folded.weight, folded.bias, outputs, set === 'count' ? 4 : 1)
          : { matrix: Float32Array.from(folded.weight), bias: folded.bias && Float32Array.from(folded.bias) };
      return [[node.weight, matrix], ...(biasKey && bias ? [[biasKey, bias] as const] : [])];
    },
  };
}

function deployPopulation(node: PopulationNode, isExact: boolean, diagonals: boolean): Part {
  const { layer, size, id } = node;
  const { step, values: valuesOf, products } = deployStep(node.step, diagonals);
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
      const computed = valuesOf(given, size);
      const values = new Map(
        step.parameters.map(({ name, variable }) => {
          const value = computed.get(name) as Float64Array;
          const isOfSpikes = isExact && products.some(({ eqn }) => eqn.args[0] === variable);
          return [keys[name], isOfSpikes ? toExactSums(value, null, size, 1).matrix : Float32Array.from(value)];
        }),
      );
      for (const { key, state, matrix } of firstProducts.values()) {
        const initial = original(node.initialStates[state]);
        values.set(key, productOf(values.get(matrix) as Float32Array, initial, size));
      }
      return values;
    },
  };
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

function madeParameter(layer: string, key: string, shape: readonly number[], role: ParameterRole): Parameter {
  return { key, layer, role, shape, initializer: { kind: 'constant', value: 0 }, trainable: false };
}

/** Nodes from which spiking neurons are reached, these included. */
function nodesBeforeSpikes({ nodes }: Graph): ReadonlySet<NodeId> {
  const before = new Set<NodeId>();
  for (const node of nodes.toReversed()) {
    if (node.kind === 'population' && hasSpikes(node.step)) before.add(node.id);
    if (before.has(node.id)) for (const input of inputsOf(node)) before.add(input);
  }
  return before;
}

const hasSpikes = ({ body }: Step): boolean => body.some(({ prim }) => prim === 'spike');

function inputsOf(node: GraphNode): readonly NodeId[] {
  if (node.kind === 'source') return [];
  return 'inputs' in node ? node.inputs : [node.input];
}

function keysOf(node: GraphNode): string[] {
  if (node.kind === 'projection') {
    const norm = node.norm.kind === 'layernorm' ? [node.norm.weight, node.norm.bias] : [];
    return [node.weight, ...(node.bias ? [node.bias] : []), ...norm];
  }
  return node.kind === 'population' ? [...Object.values(node.parameters), ...Object.values(node.initialStates)] : [];
}
