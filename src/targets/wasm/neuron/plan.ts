import type { AdjointStep, Atom, Eqn, Step, Var } from '../../../ir/step.ts';
import { differentiate } from '../../../passes/differentiate.ts';
import { accumulate } from './accumulate.ts';
import { type Decay, withoutDecays } from './decay.ts';
import { isElementwise } from './emit.ts';
import { type Gates, gatesOf } from './gate.ts';
import { withoutDrives } from './leak.ts';
import { crossing, type Levels, levelsOf } from './levels.ts';
import { recalled } from './recall.ts';
import { isPlaced, passingStates, planResiduals, type Residuals, stateOf } from './residuals.ts';

/** What is known of a neuron before its code is written. */
export interface ForwardPlan {
  readonly step: Step;
  readonly features: number;
  /** Whether each input is normalised on reading. */
  readonly affine: readonly boolean[];
  readonly forward: Levels;
  /** Body variables with one row per sample, where nothing is kept: they cross a level and are forgotten after the step. */
  readonly inferenceScratch: readonly Var[];
  /** Operands of row operations that lie nowhere as they are (a normalised input). */
  readonly copies: readonly Atom[];
  /** Recurrent products of the forward pass. */
  readonly products: readonly { readonly matrix: Var; readonly vector: Var; readonly out: Var }[];
  /** Parameters and prelude variables that the kernels read, by id. */
  readonly once: readonly Var[];
}

/** The same in training: which of its values are kept, and where. */
export interface NeuronPlan extends ForwardPlan, Residuals {
  readonly adjoint: AdjointStep;
  readonly backward: Levels;
  readonly gates: Gates;
  /** Products `matvecTransposed` that are added to what is carried to a state, by id: the state. */
  readonly accumulated: ReadonlyMap<number, number>;
  /** States that are not kept: each step writes them in the place of those before. */
  readonly passing: readonly number[];
  /** That of them which is the output: its spikes are kept as bits; -1 where they are kept as numbers. */
  readonly spikes: number;
  /** States that decay, of which the adjoint is told only what they start from. */
  readonly decays: readonly Decay[];
  /** States before a step that the backward pass computes from others, at all steps but the first. */
  readonly recalled: readonly Eqn[];
  /** Body variables with one row per sample: they cross a level and are forgotten after the step. */
  readonly forwardScratch: readonly Var[];
  readonly backwardScratch: readonly Var[];
  /** Operands of recurrent products, each once, whose events are kept for the matrix gradients; whether they hold real numbers after the first step. */
  readonly operands: readonly { readonly vector: Var; readonly real: boolean }[];
  /** By state, whether what is carried to the step before can take the place of what was carried from the step after. */
  readonly carriedInPlace: readonly boolean[];
  /** Whether the cotangent of the first input can take the place of that of the output, which is read before it is written. */
  readonly inPlace: boolean;
  /** For each outer product of the adjoint: its operand, and the sequence that its left operand lies in. */
  readonly outers: readonly { readonly operand: number; readonly left: string }[];
}

export function planForward(step: Step, features: number, affine: readonly boolean[]): ForwardPlan {
  const forward = levelsOf(step.body, true);
  const stored = [step.output, ...step.states.map((s) => s.after)].map((a) => [a, forward.levelOf(a)] as const);
  const copies = step.body
    .filter((e) => !isElementwise(e.prim))
    .flatMap((e) => e.args)
    .filter((a) => a.kind === 'var' && step.inputs.some((i, n) => i.variable === a && affine[n]));
  return {
    step,
    features,
    affine,
    forward,
    inferenceScratch: outputsOf(step.body, crossing(step.body, forward, stored)).filter((v) => !isPlaced(step, v)),
    copies: [...new Set(copies)],
    products: step.body
      .filter((e) => e.prim === 'matvec')
      .map((e) => ({ matrix: e.args[0] as Var, vector: e.args[1] as Var, out: e.out })),
    once: onceVars(step, []),
  };
}

/** `asBits`: bits will do for whoever reads the output, if it is spikes. */
export function planNeuron(step: Step, features: number, affine: readonly boolean[], asBits: boolean): NeuronPlan {
  const inference = planForward(step, features, affine);
  const { forward, inferenceScratch, products } = inference;
  const { adjoint: derived, decays } = withoutDecays(withoutDrives(differentiate(step)), forward);
  const { adjoint, accumulated } = accumulate(derived);
  const backward = levelsOf(adjoint.body);
  const { kept, recomputed } = planResiduals(adjoint);
  const passing = passingStates(adjoint, forward, asBits);
  const output = stateOf(step, step.output);
  const keptIds = new Set(kept.map((v) => v.id));
  const forwardScratch = inferenceScratch.filter((v) => !keptIds.has(v.id));

  const operands = [...new Set(products.map((p) => p.vector))].map((vector) => ({
    vector,
    real: isReal(step, vector),
  }));
  const outers = adjoint.outers.map((o, n) => ({
    operand: operands.findIndex(({ vector }) => vector === o.right),
    left: leftName(adjoint, n),
  }));
  const results = [
    ...adjoint.states.map((s) => s.before),
    ...adjoint.inputs.map((i) => i.cotangent),
    ...adjoint.sums.map((s) => s.value),
    ...adjoint.outers.map((o) => o.left),
  ].map((a) => [a, backward.levelOf(a)] as const);
  const lefts = new Set(adjoint.outers.map((o) => o.left));
  const backwardScratch = outputsOf(adjoint.body, crossing(adjoint.body, backward, results)).filter(
    (v) => !lefts.has(v) && !accumulated.has(v.id),
  );

  return {
    ...inference,
    adjoint,
    backward,
    gates: gatesOf(derived),
    accumulated,
    kept,
    recomputed,
    passing,
    spikes: passing.includes(output) ? output : -1,
    decays,
    recalled: recalled(step),
    forwardScratch,
    backwardScratch,
    carriedInPlace: adjoint.states.map(({ after, before }) => isReadBefore(adjoint, backward, after, before)),
    inPlace: isInPlace(adjoint, backward),
    operands,
    outers,
    once: onceVars(step, adjointAtoms(adjoint)),
  };
}

function isInPlace({ inputs, body, outputCotangent, sums, outers, states }: AdjointStep, { levelOf }: Levels): boolean {
  const cotangent = inputs[0]?.cotangent;
  const eqn = body.find((e) => e.out === cotangent);
  if (!eqn) return false;
  const results = [
    ...inputs.slice(1).map((i) => i.cotangent),
    ...sums.map((s) => s.value),
    ...outers.flatMap((o) => [o.left, o.right]),
    ...states.map((s) => s.before),
  ];
  if (results.includes(outputCotangent)) return false;
  const readers = body.filter((e) => e.args.includes(outputCotangent));
  const level = levelOf(eqn.out);
  // In the same level it is read before only where the cotangent needs it.
  const needed = new Set<Atom>([eqn.out]);
  for (const e of body.toReversed()) if (needed.has(e.out)) for (const a of e.args) needed.add(a);
  return readers.every(
    (e) => isElementwise(e.prim) && (levelOf(e.out) < level || (levelOf(e.out) === level && needed.has(e.out))),
  );
}

/** Whether nothing reads a state's cotangent after the step once that before the step is known. */
function isReadBefore({ body }: AdjointStep, { levelOf }: Levels, after: Var, before: Atom): boolean {
  return body.every((e) => !e.args.includes(after) || levelOf(e.out) <= levelOf(before));
}

/** Whether a vector holds more than spikes or counts; states start anywhere, but go on as what they are set to. */
function isReal({ states }: Step, vector: Var): boolean {
  const state = states.find((s) => s.before === vector);
  const value = state ? state.after : vector;
  return value.kind === 'var' && value.type.set === 'real';
}

/** An outer product's left operand shares the sequence of the input cotangent that it is, where it is one. */
function leftName(adjoint: AdjointStep, n: number): string {
  const { left } = adjoint.outers[n];
  const input = adjoint.inputs.findIndex((i) => i.cotangent === left);
  return input >= 0 ? `dInput${input}` : `left${adjoint.outers.findIndex((o) => o.left === left)}`;
}

function outputsOf(body: readonly Eqn[], ids: ReadonlySet<number>): Var[] {
  return body.filter((e) => ids.has(e.out.id) || !isElementwise(e.prim)).map((e) => e.out);
}

function adjointAtoms({ body, states, inputs, sums, outers }: AdjointStep): Atom[] {
  return [
    ...body.flatMap((e) => e.args),
    ...states.map((s) => s.before),
    ...inputs.map((i) => i.cotangent),
    ...sums.map((s) => s.value),
    ...outers.flatMap((o) => [o.left, o.right]),
  ];
}

/** `others`: what is read besides the step itself. */
function onceVars(step: Step, others: readonly Atom[]): Var[] {
  const all = [...step.parameters.map((p) => p.variable), ...step.prelude.map((e) => e.out)];
  const atoms = [...step.body.flatMap((e) => e.args), step.output, ...step.states.map((s) => s.after), ...others];
  const read = new Set(atoms.flatMap((a) => (a.kind === 'var' ? [a.id] : [])));
  return all.filter((v) => read.has(v.id));
}
