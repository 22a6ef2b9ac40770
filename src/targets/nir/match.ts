import type { PopulationNode } from '../../ir/graph.ts';
import type { Tensors } from '../target.ts';
import { type Interpretation, inputId, interpret } from './interpret.ts';
import type { Polynomial } from './polynomial.ts';
import { leakOf, type Potential, readPotential } from './potential.ts';

/** A layer as a neuron of NIR. */
export interface NirNeuron {
  readonly type: string;
  /** Of the node, each [size]. */
  readonly parameters: Readonly<Record<string, Float64Array>>;
  /** [size, size], from its spikes one time step before. */
  readonly recurrent: Float64Array | null;
}

/** What NIR cannot say, and what comes nearest. */
export interface Deviation {
  readonly reason: string;
  readonly instead: string;
}

export type Match = { readonly neuron: NirNeuron; readonly deviations: readonly Deviation[] };

/**
 * The neuron of NIR that does what a layer's equations say, in forward Euler steps of `dt` seconds, or the nearest one
 * with where it deviates, or one sentence about why none is near. The equations decide, not their name.
 */
export function matchNeuron(node: PopulationNode, values: Tensors, dt: number): Match | string {
  if (node.bidirectional) return 'NIR has no neurons that also read a sequence backwards';
  if (node.step.inputs.length !== 1) return `its neurons have ${node.step.inputs.length} inputs, and those of NIR one`;
  let refusal: string | null = null;
  for (const leftOut of subsets(freeStates(node))) {
    const found = matchEquations(interpret(node, values, new Set(leftOut)), dt);
    if (typeof found === 'string') {
      refusal ??= found;
      continue;
    }
    if (found.neuron.type === 'Threshold' && leftOut.length > 0) continue;
    const dropped = leftOut.map((name) => ({
      reason: `NIR has no counterpart for its state "${name}"`,
      instead: 'it is left out',
    }));
    return { ...found, deviations: [...dropped, ...found.deviations, ...initialDeviations(node, values, leftOut)] };
  }
  return refusal as string;
}

/** States that do more than hold the last spikes. */
function freeStates({ step }: PopulationNode): string[] {
  const spikes = step.body.filter(({ prim }) => prim === 'spike').map(({ out }) => out);
  return step.states.filter(({ after }) => after.kind === 'lit' || !spikes.includes(after)).map(({ name }) => name);
}

/** All of them, the small ones first; of many states, only those with one or with none. */
function subsets(names: readonly string[]): string[][] {
  if (names.length > 6) return [[], ...names.map((name) => [name])];
  const all: string[][] = [[]];
  for (const name of names) all.push(...all.map((set) => [...set, name]));
  return all.toSorted((a, b) => a.length - b.length);
}

function initialDeviations(node: PopulationNode, values: Tensors, leftOut: readonly string[]): Deviation[] {
  const moved = node.step.states
    .map(({ name }) => name)
    .filter((name) => !leftOut.includes(name) && values.get(node.initialStates[name])?.some((v) => v !== 0));
  if (moved.length === 0) return [];
  const reason = `it starts from initial values of its own (${moved.join(', ')}), and a neuron of NIR from 0`;
  return [{ reason, instead: 'it starts from 0' }];
}

function matchEquations(x: Interpretation, dt: number): Match | string {
  const spike = x.output.single;
  if (!spike || !x.spikes.has(spike.id)) return matchLeaky(x, dt);
  if (x.spikes.size > 1) return 'its neurons have several kinds of spikes';
  return matchSpiking(x, spike.id, dt);
}

// Without spikes

function matchLeaky(x: Interpretation, dt: number): Match | string {
  const state = [...x.after].find(([, after]) => after.minus(x.output).monomials.length === 0)?.[0];
  if (state === undefined || x.spikes.size > 0) return 'its output is neither spikes nor the new potential';
  const potential = readPotential(x, state, x.output, null);
  if (typeof potential === 'string') return potential;
  const leak = leakOf(potential, dt);
  if (typeof leak === 'string') return leak;
  const type = { none: 'I', membrane: 'LI', synapse: 'CubaLI' }[leak.kind];
  return { neuron: { type, parameters: leak.parameters, recurrent: null }, deviations: [] };
}

// With spikes

interface Firing {
  /** The potential before it is reset. */
  readonly potential: Polynomial;
  readonly state: string;
  readonly threshold: Float64Array;
  /** What a spike of this step adds to the potential. */
  readonly jump: Polynomial;
}

function matchSpiking(x: Interpretation, spike: string, dt: number): Match | string {
  const firing = findPotential(x, spike);
  if (!firing) return threshold(x, spike) ?? 'its spikes do not follow from one potential';
  const held = [...x.after].find(([, after]) => after.single?.id === spike)?.[0];
  const potential = readPotential(x, firing.state, firing.potential, held === undefined ? null : x.before.get(held)!);
  if (typeof potential === 'string') return potential;
  const leak = leakOf(potential, dt);
  if (typeof leak === 'string') return leak;
  const delayed = potential.lastSpike !== null || potential.resetDecay !== null;
  if (delayed && firing.jump.monomials.length > 0) return 'a spike changes its potential twice';
  const reset = delayed ? delayedReset(potential, firing.threshold) : promptReset(firing);
  if (typeof reset === 'string') return reset;
  const type = { none: 'IF', membrane: 'LIF', synapse: 'CubaLIF' }[leak.kind];
  const parameters = { ...leak.parameters, v_threshold: firing.threshold, v_reset: reset.value };
  return { neuron: { type, parameters, recurrent: potential.recurrent }, deviations: reset.deviations };
}

/** The state that is compared with the threshold. */
function findPotential(x: Interpretation, spike: string): Firing | null {
  const argument = x.spikes.get(spike) as Polynomial;
  for (const [state, after] of x.after) {
    const { without: potential, of: jump } = after.split(spike);
    const difference = potential.minus(argument);
    if (potential.constant || !difference.constant) continue;
    const zero = new Float64Array(x.size);
    return { potential, state, jump, threshold: difference.coefficients() ?? zero };
  }
  return null;
}

/** Without memory, only `input > threshold` has a counterpart. */
function threshold(x: Interpretation, spike: string): Match | null {
  const argument = x.spikes.get(spike) as Polynomial;
  const weights = argument.coefficients(inputId);
  if (
    !weights?.every((w) => w === 1) ||
    argument.monomials.some((ids) => ids.join() !== '' && ids.join() !== inputId)
  ) {
    return null;
  }
  const threshold = (argument.coefficients() ?? new Float64Array(x.size)).map((v) => 0 - v);
  return { neuron: { type: 'Threshold', parameters: { threshold }, recurrent: null }, deviations: [] };
}

interface Reset {
  readonly value: Float64Array;
  readonly deviations: readonly Deviation[];
}

/** The spike of a step resets the potential in it. */
function promptReset({ potential, jump, threshold }: Firing): Reset | string {
  const after = potential.plus(jump);
  if (after.constant) return { value: after.coefficients() ?? threshold.map(() => 0), deviations: [] };
  if (!jump.constant) return 'its reset depends on more than the spike';
  const drop = jump.coefficients();
  return nearestReset(drop ? threshold.map((v, i) => v + drop[i]) : threshold, drop !== null);
}

/** The spike of the step before resets it: u' = alpha * (u - s * (u - v_reset)) + ... */
function delayedReset({ decay, lastSpike, resetDecay }: Potential, threshold: Float64Array): Reset {
  const value = threshold.map((v, i) => {
    const kept = (decay[i] + (resetDecay?.[i] ?? 0)) * v + (lastSpike?.[i] ?? 0);
    return decay[i] === 0 ? 0 : kept / decay[i];
  });
  if (resetDecay && decay.every((a, i) => resetDecay[i] === -a)) return { value, deviations: [] };
  return nearestReset(value, true);
}

function nearestReset(value: Float64Array, falls: boolean): Reset {
  const shown = value.every((v) => v === value[0]) ? `${Number(value[0].toPrecision(4))}` : 'a value for each neuron';
  const reason = falls
    ? 'a spike lowers its potential, and that of a neuron of NIR is reset to a value'
    : 'its potential is not reset by a spike, and that of a neuron of NIR is';
  return { value, deviations: [{ reason, instead: `it is reset to ${shown}, where one at the threshold falls to` }] };
}
