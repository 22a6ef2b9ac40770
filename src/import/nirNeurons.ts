import type { NirPrimitive } from '../targets/nir/graph.ts';

/** A NIR node as a neuron of the standard library (grammar/neurons/nir.snn) with its parameters. */
export interface ImportedNeuron {
  /** With and without recurrence; null where the library has no such neuron. */
  readonly type: string;
  readonly recurrentType: string | null;
  readonly size: number;
  /** By parameter of the neuron, [size]. */
  readonly parameters: Readonly<Record<string, Float64Array>>;
}

type Arrays = (name: string) => Float64Array;

interface Rule {
  readonly type: string;
  readonly recurrentType: string | null;
  /** Arrays of the NIR node, all of one shape; those with a value may be absent. */
  readonly arrays: Readonly<Record<string, number | null>>;
  readonly parameters: (array: Arrays, dt: number) => Record<string, Float64Array>;
}

/** Forward Euler: dv/dt = (... - v) / tau leaves v * (1 - dt / tau) of the potential. */
const decay = (tau: Float64Array, dt: number) => tau.map((t) => Math.max(0, 1 - dt / t));
const kept = (array: Arrays, ...names: string[]) => Object.fromEntries(names.map((name) => [name, array(name)]));
const gain = (array: Arrays, dt: number) => array('r').map((r) => r * dt);

const firing = { v_threshold: null, v_reset: 0 };
const leaking = { r: null, v_leak: null };

const rules: Readonly<Record<string, Rule>> = {
  LIF: {
    type: 'NirLIF',
    recurrentType: 'NirRLIF',
    arrays: { tau: null, ...leaking, ...firing },
    parameters: (array, dt) => ({
      alpha: decay(array('tau'), dt),
      ...kept(array, 'r', 'v_leak', 'v_threshold', 'v_reset'),
    }),
  },
  LI: {
    type: 'NirLI',
    recurrentType: null,
    arrays: { tau: null, ...leaking },
    parameters: (array, dt) => ({ alpha: decay(array('tau'), dt), ...kept(array, 'r', 'v_leak') }),
  },
  CubaLIF: {
    type: 'NirCubaLIF',
    recurrentType: 'NirRCubaLIF',
    arrays: { tau_mem: null, tau_syn: null, w_in: 1, ...leaking, ...firing },
    parameters: (array, dt) => ({
      alpha: decay(array('tau_mem'), dt),
      beta: decay(array('tau_syn'), dt),
      ...kept(array, 'w_in', 'r', 'v_leak', 'v_threshold', 'v_reset'),
    }),
  },
  CubaLI: {
    type: 'NirCubaLI',
    recurrentType: null,
    arrays: { tau_mem: null, tau_syn: null, w_in: 1, ...leaking },
    parameters: (array, dt) => ({
      alpha: decay(array('tau_mem'), dt),
      beta: decay(array('tau_syn'), dt),
      ...kept(array, 'w_in', 'r', 'v_leak'),
    }),
  },
  IF: {
    type: 'NirIF',
    recurrentType: 'NirRIF',
    arrays: { r: null, ...firing },
    parameters: (array, dt) => ({ gain: gain(array, dt), ...kept(array, 'v_threshold', 'v_reset') }),
  },
  I: {
    type: 'NirI',
    recurrentType: null,
    arrays: { r: null },
    parameters: (array, dt) => ({ gain: gain(array, dt) }),
  },
  Threshold: {
    type: 'NirThreshold',
    recurrentType: null,
    arrays: { threshold: null },
    parameters: (array) => kept(array, 'threshold'),
  },
};

export const neuronTypes = Object.keys(rules);

/** The neuron that a node is, stepped by `dt` seconds, or one sentence about why it is none. */
export function importNeuron(node: NirPrimitive, title: string, dt: number): ImportedNeuron | string {
  const { type, recurrentType, arrays, parameters } = rules[node.type];
  const required = Object.keys(arrays).filter((name) => arrays[name] === null);
  const missing = required.find((name) => !node.arrays[name]);
  if (missing) return `"${title}" is a ${node.type} without "${missing}"`;
  const { shape } = node.arrays[required[0]];
  for (const name of Object.keys(arrays)) {
    const other = node.arrays[name]?.shape ?? shape;
    const single = other.length === 0 && arrays[name] !== null;
    if (single || other.join() === shape.join()) continue;
    return `"${name}" of "${title}" has the shape [${other.join(', ')}], but "${required[0]}" [${shape.join(', ')}]`;
  }
  const size = shape.reduce((a, b) => a * b, 1);
  const array = (name: string) => spread(node.arrays[name]?.values ?? [arrays[name] as number], size);
  for (const name of required.filter((key) => key.startsWith('tau'))) {
    const shortest = array(name).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    if (shortest <= 0) return `"${name}" of "${title}" is ${shortest} and must be greater than 0`;
    if (array(name).some((tau) => 1 - dt / tau > slowestDecay)) {
      return `"${name}" of "${title}" is more than a million time steps of ${dt}s; give a larger --dt`;
    }
    if (shortest < dt * (1 - rounding)) {
      return `"${name}" of "${title}" is ${shortest}s, shorter than the time step of ${dt}s; give a smaller --dt`;
    }
  }
  return { type, recurrentType, size, parameters: parameters(array, dt) };
}

/** Of imported layers, whose decays may be any but none at all: that is another node of NIR. */
export const slowestDecay = 0.999999;

/** Of a time constant in float32, relative. */
const rounding = 1e-6;

function spread(values: ArrayLike<number | bigint>, size: number): Float64Array {
  return Float64Array.from({ length: size }, (_, i) => Number(values[values.length === 1 ? 0 : i]));
}
