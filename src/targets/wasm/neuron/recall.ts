import type { Atom, Eqn, Step, Var } from '../../../ir/step.ts';
import { cheap } from './emit.ts';

/**
 * Equations for states before a step that are spikes of what other states were set to by the step before: so they need not
 * be read. They hold at every step but the first, for states start anywhere.
 */
export function recalled(step: Step): Eqn[] {
  return step.states.flatMap((s) => {
    const eqn = step.body.find((e) => e.out === s.after);
    return eqn?.prim === 'spike' ? (equationsBefore(step, s.before, eqn) ?? []) : [];
  });
}

/** The same for one state, in terms of what was known before the step; null where that does not say all. */
function equationsBefore({ body, states, inputs }: Step, state: Var, spike: Eqn): Eqn[] | null {
  const eqns: Eqn[] = [];
  const unknown = new Set<Atom>([...states.map((s) => s.before), ...inputs.map((i) => i.variable)]);
  const before = (atom: Atom): Atom | null => {
    const source = states.find((s) => s.after === atom);
    if (source) return source.before === state ? null : source.before;
    const eqn = body.find((e) => e.out === atom);
    if (!eqn) return unknown.has(atom) ? null : atom;
    // No other variable has a negative number.
    return cheap.includes(eqn.prim) ? write(eqn, { ...eqn.out, id: -1 - eqn.out.id }) : null;
  };
  const write = (eqn: Eqn, out: Var): Var | null => {
    const args = eqn.args.map(before);
    if (args.includes(null)) return null;
    eqns.push({ ...eqn, args: args as Atom[], out });
    return out;
  };
  return write(spike, state) && eqns;
}
