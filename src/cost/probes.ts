import type { Graph, GraphNode, NodeId, PopulationNode } from '../ir/graph.ts';
import { typeOf } from '../ir/primitives.ts';
import type { Atom, Step, StepState, Var } from '../ir/step.ts';

/** A product of a recurrent matrix with a vector, once per time step and direction. */
export interface RecurrentProduct {
  readonly population: PopulationNode;
  /** The matrix, a variable of the step's prelude or one of its parameters. */
  readonly matrix: Var;
  /** Holds what it is multiplied with; where `before` is a state, that state after each step: it is read before it. */
  readonly trace: string;
  readonly before: StepState | null;
}

/** The membrane potentials of a population. */
export interface Membrane {
  readonly population: PopulationNode;
  /** The potential after each step. */
  readonly trace: string;
}

/** A network with everything that costs are counted from in its traces. */
export interface ProbedGraph {
  readonly network: Graph;
  /** The same network, parameters and scores, with further populations that nothing reads. */
  readonly graph: Graph;
  readonly products: readonly RecurrentProduct[];
  readonly membranes: readonly Membrane[];
}

/**
 * Targets record the outputs of populations. Another variable of a population (its potential, what a recurrent matrix
 * is multiplied by) becomes the output of a copy of it: the same equations on the same inputs, so any target can do it.
 */
export function addProbes(network: Graph): ProbedGraph {
  const nodes: GraphNode[] = [...network.nodes];
  const probe = (population: PopulationNode, atom: Atom): string => {
    if (same(atom, population.step.output)) return population.layer;
    const layer = `${population.layer}.probe${atom.kind === 'var' ? atom.id : ''}`;
    if (nodes.some(({ id }) => id === layer)) return layer;
    nodes.push(copyWithOutput(population, atom, layer));
    return layer;
  };
  const populations = network.nodes.filter((node) => node.kind === 'population');
  const products = populations.flatMap((population) => recurrentProducts(population, probe));
  const membranes = populations.flatMap((population) => {
    const state = membraneOf(population.step);
    return state ? [{ population, trace: probe(population, state.after) }] : [];
  });
  return { network, graph: { ...network, nodes }, products, membranes };
}

function recurrentProducts(
  population: PopulationNode,
  probe: (population: PopulationNode, atom: Atom) => string,
): RecurrentProduct[] {
  const { step } = population;
  const products = step.body.filter(({ prim }) => prim === 'matvec');
  return products.map(({ args: [matrix, vector] }) => {
    const before = step.states.find((state) => same(state.before, vector)) ?? null;
    return { population, matrix: matrix as Var, trace: probe(population, before?.after ?? vector), before };
  });
}

function copyWithOutput(population: PopulationNode, output: Atom, id: NodeId): PopulationNode {
  const { set } = typeOf(output);
  const { step, type } = population;
  return { ...population, id, layer: id, type: { ...type, set }, step: { ...step, output, outputSet: set } };
}

/**
 * The state that is the membrane potential: what the spike condition is computed from last, or in neurons that do not
 * spike the one called `u`; null in neurons without a potential, such as gated units.
 */
function membraneOf(step: Step): StepState | null {
  const spike = step.body.find(({ prim }) => prim === 'spike');
  if (!spike) return step.states.find(({ name }) => name === 'u') ?? null;
  return stateBehind(spike.args[0], step);
}

/** The nearest state that a value is computed from: one whose new value it reads, else one whose old value. */
function stateBehind(value: Atom, step: Step): StepState | null {
  let frontier: Atom[] = [value];
  while (frontier.length > 0) {
    const isRead = (atom: Atom) => frontier.some((read) => same(read, atom));
    const found = step.states.find(({ before, after }) => isRead(after) || isRead(before));
    if (found) return found;
    frontier = step.body.filter(({ out }) => isRead(out)).flatMap(({ args }) => args);
  }
  return null;
}

function same(a: Atom, b: Atom): boolean {
  return a.kind === 'var' && b.kind === 'var' && a.id === b.id;
}
