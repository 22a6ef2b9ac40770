import type { Graph, GraphNode, NodeId, Parameter, ParameterRole, PopulationNode, ProjectionNode } from '../ir/graph.ts';
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
  /** Keys of the factors [size] that states have here compared with the original network, by the state's name. */
  readonly scales: ReadonlyMap<string, string>;
  /**
   * Products of a matrix with a state, by the id of the product: the key of its value [directions, size] for the initial
   * states, which are no spikes.
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
    graph: { ...graph, nodes, parameters: [...graph.parameters.filter((p) => used.has(p.key) && !made.has(p.key)), ...own] },
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
  const ofSpikes = graph.nodes.find(({ id }) => id === node.input)?.type.set !== 'real';
  const parameter = (key: string, shape: readonly number[], role: ParameterRole) =>
    madeParameter(weight.layer, key, shape, role);
  return {
    node: {
      ...node,
      bias: biasKey,
      norm: isFolded ? { kind: 'none' } : node.norm,
      inDouble: isExact && !ofSpikes,
    },
    parameters: [
      parameter(node.weight, weight.shape, 'weight'),
      ...(biasKey ? [parameter(biasKey, [outputs], 'bias')] : []),
    ],
    values: (parameters) => {
      const folded = foldBatchnorm(node, (key) => parameters.get(key) as Float32Array);
      const { matrix, bias } =
        isExact && ofSpikes
          ? toExactSums(folded.weight, folded.bias, outputs)
          : { matrix: Float32Array.from(folded.weight), bias: folded.bias && Float32Array.from(folded.bias) };
      return [[node.weight, matrix], ...(biasKey && bias ? [[biasKey, bias] as const] : [])];
    },
  };
}

function deployPopulation(node: PopulationNode, isExact: boolean, diagonals: boolean): Part {
  const { layer, size, id, bidirectional } = node;
  const deployed = deployStep(node.step, diagonals);
  const { step } = deployed;
  const directions = bidirectional ? 2 : 1;
  const key = (what: string) => `${id}.${what}`;
  const keys = new Map(step.parameters.map(({ name, variable }) => [variable.id, key(name)]));
  const scaledKeys = deployed.scaled.map((state) => [state, key(`${state}.initial`)] as const);
  const scales = new Map(deployed.scaled.map((state) => [state, key(`${state}.scale`)]));
  const firstProducts = new Map(
    deployed.products.map(({ eqn, state }): [number, FirstProduct] => [
      eqn.out.id,
      { key: key(`${eqn.out.name}.${eqn.out.id}.initial`), state, matrix: keys.get((eqn.args[0] as Var).id) as string },
    ]),
  );
  const initialStates = { ...node.initialStates, ...Object.fromEntries(scaledKeys) };
  const parameter = (key: string, shape: readonly number[], role: ParameterRole) =>
    madeParameter(layer, key, shape, role);
  return {
    node: {
      ...node,
      step,
      parameters: Object.fromEntries(step.parameters.map(({ name, variable }) => [name, keys.get(variable.id) as string])),
      initialStates,
    },
    parameters: [
      ...step.parameters.map(({ variable }) => {
        const { extent } = variable.type;
        const shape = { scalar: [], features: [size], matrix: [size, size], rows: [] }[extent];
        return parameter(keys.get(variable.id) as string, shape, extent === 'matrix' ? 'recurrent' : 'neuron');
      }),
      ...[...scaledKeys.map(([, key]) => key), ...[...firstProducts.values()].map(({ key }) => key)].map((key) =>
        parameter(key, [directions, size], 'initialState'),
      ),
    ],
    population: { scales, firstProducts },
    values: (parameters) => {
      const given = new Map(Object.entries(node.parameters).map(([name, key]) => [name, parameters.get(key) as Float32Array]));
      const computed = deployed.values(given, size);
      const values = new Map<string, Float32Array>();
      for (const { name, variable } of step.parameters) {
        const value = computed.parameters.get(name) as Float64Array;
        const isOfSpikes = isExact && deployed.products.some(({ eqn }) => eqn.args[0] === variable);
        values.set(key(name), isOfSpikes ? toExactSums(value, null, size).matrix : Float32Array.from(value));
      }
      for (const [state, scale] of computed.scales) values.set(key(`${state}.scale`), Float32Array.from(scale));
      const initial = (state: string) => {
        const states = parameters.get(node.initialStates[state]) as Float32Array;
        const scale = scales.get(state);
        return scale ? scaled(states, values.get(scale) as Float32Array) : states;
      };
      for (const [state, key] of scaledKeys) values.set(key, initial(state));
      for (const { key, state, matrix } of firstProducts.values()) {
        values.set(key, productOf(values.get(matrix) as Float32Array, initial(state), size));
      }
      return values;
    },
  };
}

/** States [rows, size] times a factor for each neuron, rounded to float32. */
export function scaled(states: Float32Array, scale: Float32Array): Float32Array {
  return states.map((v, i) => v * scale[i % scale.length]);
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
