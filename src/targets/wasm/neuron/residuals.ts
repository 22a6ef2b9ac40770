import type { AdjointStep, Atom, Eqn, Step, Var } from '../../../ir/step.ts';
import { cheap, isElementwise } from './emit.ts';
import type { Levels } from './levels.ts';
import { recalled } from './recall.ts';

/** The states whose value after the step is this very variable; its sequence is the first one's. */
export const stateOf = (step: Step, v: Atom): number => step.states.findIndex((s) => s.after === v);

/** Whether a variable has a place of its own, as a state or the output. */
export const isPlaced = (step: Step, v: Atom): boolean => stateOf(step, v) >= 0 || v === step.output;

/** How the backward pass comes by the body variables of the forward pass that it reads and that have no place of their own. */
export interface Residuals {
  /** They have a sequence of their own. */
  readonly kept: readonly Var[];
  /** Computed again from what is kept, because that is cheaper than memory. */
  readonly recomputed: readonly Eqn[];
}

export function planResiduals({ step, residuals, body }: AdjointStep): Residuals {
  const inBody = new Set<Atom>(step.body.map((e) => e.out));
  const wanted = residuals.filter((v) => inBody.has(v) && !isPlaced(step, v));
  const inRowOperations = new Set(body.filter((e) => !isElementwise(e.prim)).flatMap((e) => e.args));
  // Inputs, states before and after the step, other residuals.
  const atHand = (a: Atom) => !inBody.has(a) || isPlaced(step, a) || wanted.includes(a as Var);
  const recomputed = step.body.filter(
    (e) => wanted.includes(e.out) && cheap.includes(e.prim) && e.args.every(atHand) && !inRowOperations.has(e.out),
  );
  return { kept: wanted.filter((v) => !recomputed.some((e) => e.out === v)), recomputed };
}

/**
 * States of which only the latest value is needed, and each step can write it in the place of that before: nothing else reads
 * it, and the backward pass does not, or recalls it from others. `asBits`: bits will do for whoever reads spikes that are the
 * output.
 */
export function passingStates(adjoint: AdjointStep, { levelOf }: Levels, asBits: boolean): number[] {
  const { step } = adjoint;
  const recalls = recalled(step);
  const read = new Set<Atom>([
    ...adjoint.residuals,
    ...[...planResiduals(adjoint).recomputed, ...recalls].flatMap((e) => e.args),
  ]);
  return [...step.states.keys()].filter((i) => {
    const { before, after } = step.states[i];
    const isRecalled = recalls.some((e) => e.out === before);
    const isReadInTime = step.body.every((e) => !e.args.includes(before) || levelOf(e.out) <= levelOf(after));
    const isNeeded = read.has(after) || (read.has(before) && !isRecalled);
    return isReadInTime && !isNeeded && (after !== step.output || (asBits && isRecalled));
  });
}
