import { type Graph, type GraphNode, inputsOf, type NodeId, type ProjectionNode } from '../ir/graph.ts';
import type { Step } from '../ir/step.ts';
import { type DeployedPopulation, deployPopulation } from './deployPopulation.ts';
import { deployProjection, type Part, type Values } from './deployProjection.ts';

/**
 * A network for evaluation alone: batchnorm is part of the weights, neurons compute what changes over time and nothing else.
 * Where spikes are ahead, no sum depends on the order of its terms: weights that meet spikes or counts are rounded so that
 * float32 holds all their sums, projections of real numbers are added up in float64. So every target that computes the deployed
 * graph's equations in float32, one by one, finds the same spikes to the bit.
 */
export interface Deployment {
  readonly graph: Graph;
  readonly populations: ReadonlyMap<NodeId, DeployedPopulation>;
  /** The values of the graph's parameters and buffers, from those of the network that it was made from. */
  readonly values: (parameters: Values) => Map<string, Float32Array>;
}

/** `diagonals`: see deployStep. */
export function deploy(graph: Graph, diagonals = true): Deployment {
  const exact = nodesBeforeSpikes(graph);
  const drives = drivesOf(graph);
  const parts = graph.nodes.map((node): Part & { readonly population?: DeployedPopulation } => {
    const context = { graph, isExact: exact.has(node.id) };
    if (node.kind === 'population') {
      return deployPopulation(context, node, { drives: node.inputs.map((id) => drives.get(id) ?? null), diagonals });
    }
    // Those that drive a population get their values with it.
    if (node.kind === 'projection') return deployProjection(context, node, !drives.has(node.id));
    return { node, parameters: [], values: () => [] };
  });
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

/** Projections that nothing but one input of one population reads, and without a norm that stays: factors can go into them. */
function drivesOf({ nodes }: Graph): ReadonlyMap<NodeId, ProjectionNode> {
  const reads = nodes.flatMap(inputsOf);
  const driving = new Set(nodes.flatMap((node) => (node.kind === 'population' ? node.inputs : [])));
  const drives = nodes.filter(
    (node): node is ProjectionNode =>
      node.kind === 'projection' &&
      node.norm.kind !== 'layernorm' &&
      driving.has(node.id) &&
      reads.filter((id) => id === node.id).length === 1,
  );
  return new Map(drives.map((node) => [node.id, node]));
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

function keysOf(node: GraphNode): string[] {
  if (node.kind === 'projection') {
    const norm = node.norm.kind === 'layernorm' ? [node.norm.weight, node.norm.bias] : [];
    return [node.weight, ...(node.bias ? [node.bias] : []), ...norm];
  }
  return node.kind === 'population' ? [...Object.values(node.parameters), ...Object.values(node.initialStates)] : [];
}
