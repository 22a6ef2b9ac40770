import { type Interpretation, inputId } from './interpret.ts';
import type { Polynomial } from './polynomial.ts';

/** A neuron's potential before its reset as a linear function, each number [size]. */
export interface Potential {
  /** Of the potential before. */
  readonly decay: Float64Array;
  /** Of the spike before; null where it has no part in it. */
  readonly lastSpike: Float64Array | null;
  /** Of the potential before times the spike before. */
  readonly resetDecay: Float64Array | null;
  readonly constant: Float64Array | null;
  /** Of the input, or of the synaptic current where there is one. */
  readonly gain: Float64Array;
  readonly synapse: Synapse | null;
  readonly recurrent: Float64Array | null;
}

/** A current that decays by itself: i' = decay * i + gain * input. */
interface Synapse {
  readonly decay: Float64Array;
  readonly gain: Float64Array;
}

/**
 * Reads `potential`, the new value of `state`, as NIR's equations have it; `held` is the id of the last spikes. One
 * sentence where it is another function.
 */
export function readPotential(
  x: Interpretation,
  state: string,
  potential: Polynomial,
  held: string | null,
): Potential | string {
  const own = x.before.get(state) as string;
  const taken = new Reading(potential);
  const decay = taken.of(own) ?? new Float64Array(x.size);
  const lastSpike = held === null ? null : taken.of(held);
  const resetDecay = held === null ? null : taken.of(own, held);
  const constant = taken.of();
  const others = [...x.before].filter(([name]) => name !== state && x.before.get(name) !== held);
  const current = others.find(([, id]) => potential.coefficients(id));
  const direct = { input: taken.of(inputId), products: taken.products(x) };
  if (current) taken.of(current[1]);
  const rest = taken.rest(x);
  if (rest) return `its potential depends on ${rest}`;

  const synapse = current ? readSynapse(x, current[0], potential) : null;
  if (typeof synapse === 'string') return synapse;
  const drive = synapse ?? { ...direct, gain: direct.input };
  if (!drive.gain || !direct.input) return 'its input does not reach its potential in the same step';
  const recurrent = recurrentMatrix(x, synapse ? synapse.products : direct.products, drive.gain, held);
  if (typeof recurrent === 'string') return recurrent;
  const gain = synapse ? direct.input.map((v, i) => v / synapse.gain[i]) : direct.input;
  return { decay, lastSpike, resetDecay, constant, gain, synapse, recurrent };
}

type Products = ReadonlyMap<string, Float64Array>;

/** The state is a synaptic current if the potential reads its new value and nothing else of what drives it. */
function readSynapse(
  x: Interpretation,
  state: string,
  potential: Polynomial,
): (Synapse & { readonly products: Products }) | string {
  const id = x.before.get(state) as string;
  const after = x.after.get(state) as Polynomial;
  const taken = new Reading(after);
  const decay = taken.of(id) ?? new Float64Array(x.size);
  const gain = taken.of(inputId);
  const products = taken.products(x);
  const input = potential.coefficients(inputId);
  if (taken.rest(x) || taken.of() || !gain?.every((v) => v !== 0)) return `its state "${state}" is no synaptic current`;
  if (!input) return `its potential reads the old value of the current "${state}", and that of NIR here the new one`;
  const scaled = after.scaledBy(input.map((v, i) => v / gain[i]));
  const ids = [id, inputId, ...x.products.keys()];
  const agrees = ids.every((key) => nearlyEqual(potential.coefficients(key), scaled.coefficients(key), x.size));
  return agrees ? { decay, gain, products } : `its potential mixes the current "${state}" with what drives it`;
}

/** The sum of the recurrent matrices in units of the input, as NIR adds both before they drive a neuron. */
function recurrentMatrix(
  x: Interpretation,
  products: Products,
  gain: Float64Array,
  held: string | null,
): Float64Array | null | string {
  if (products.size === 0) return null;
  const n = x.size;
  const sum = new Float64Array(n * n);
  for (const [id, weights] of products) {
    const { matrix, operand } = x.products.get(id)!;
    if (held === null || operand.single?.id !== held) return 'its recurrence carries more than its last spikes';
    if (gain.some((g, i) => g === 0 && weights[i] !== 0))
      return 'its recurrence reaches its potential but its input does not';
    const scale = weights.map((w, i) => (w === 0 ? 0 : w / gain[i]));
    for (let k = 0; k < n * n; k++) sum[k] += scale[Math.floor(k / n)] * matrix[k];
  }
  return sum;
}

/** What a potential leaks, as parameters of NIR. */
export interface Leak {
  /** Whether nothing leaks, the potential, or the potential and a synaptic current. */
  readonly kind: 'none' | 'membrane' | 'synapse';
  readonly parameters: Readonly<Record<string, Float64Array>>;
}

/**
 * tau dv/dt = (v_leak - v) + r * I in forward Euler steps is v' = v + dt / tau * (v_leak - v + r * I): the time constant
 * of a decay is dt / (1 - decay).
 */
export function leakOf({ decay, constant, gain, synapse }: Potential, dt: number): Leak | string {
  const none = new Float64Array(decay.length);
  if (!synapse && decay.every((a) => a === 1)) {
    if (constant) return 'its potential grows by itself, without a leak';
    return { kind: 'none', parameters: { r: gain.map((g) => g / dt) } };
  }
  const odd = [...decay, ...(synapse?.decay ?? [])].find((a) => !(a >= 0 && a < 1));
  if (odd !== undefined) return `its potential is multiplied by ${odd} in a step, and that of NIR decays`;
  const leak = decay.map((a) => 1 - a);
  const tau = leak.map((l) => dt / l);
  const common = {
    r: gain.map((g, i) => g / leak[i]),
    v_leak: constant ? constant.map((c, i) => c / leak[i]) : none,
  };
  if (!synapse) return { kind: 'membrane', parameters: { tau, ...common } };
  const tauSyn = synapse.decay.map((a) => dt / (1 - a));
  const weights = synapse.gain.map((g, i) => g / (1 - synapse.decay[i]));
  return { kind: 'synapse', parameters: { tau_mem: tau, tau_syn: tauSyn, w_in: weights, ...common } };
}

/** Takes terms out of a polynomial, and says what is left. */
class Reading {
  private readonly polynomial: Polynomial;
  private readonly taken = new Set<string>();

  constructor(polynomial: Polynomial) {
    this.polynomial = polynomial;
  }

  of(...ids: readonly string[]): Float64Array | null {
    this.taken.add(ids.toSorted().join(' '));
    return this.polynomial.coefficients(...ids);
  }

  products(x: Interpretation): Products {
    const found = [...x.products.keys()].map((id) => [id, this.of(id)] as const);
    return new Map(found.filter((entry): entry is readonly [string, Float64Array] => entry[1] !== null));
  }

  /** What has not been taken, for people; null where nothing is left. */
  rest(x: Interpretation): string | null {
    const left = this.polynomial.monomials.find((ids) => !this.taken.has(ids.toSorted().join(' ')));
    return left ? left.map((id) => describe(id, x)).join(' times ') : null;
  }
}

function describe(id: string, x: Interpretation): string {
  const prim = x.opaque.get(id);
  if (prim) return `a function ("${prim}") of its states`;
  if (id === inputId) return 'its input';
  if (x.products.has(id)) return 'a recurrent product';
  const state = [...x.before].find(([, known]) => known === id)?.[0];
  return state ? `its state "${state}"` : 'its spikes';
}

function nearlyEqual(a: Float64Array | null, b: Float64Array | null, size: number): boolean {
  const [left, right] = [a ?? new Float64Array(size), b ?? new Float64Array(size)];
  return left.every((v, i) => Math.abs(v - right[i]) <= 1e-9 * Math.max(Math.abs(v), Math.abs(right[i])));
}
