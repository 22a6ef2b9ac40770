import type { Atom, Eqn } from '../../../ir/step.ts';
import { isElementwise } from './emit.ts';

/**
 * A body cut where a primitive needs whole rows (a recurrent product, a softmax): every level computes what is
 * elementwise neuron by neuron, then its row operations. LIF has one level, GRU three.
 */
export interface Level {
  readonly elementwise: readonly Eqn[];
  readonly rowOperations: readonly Eqn[];
}

export interface Levels {
  readonly levels: readonly Level[];
  /** The level from which on a value is known; 0 for what is not computed in the body. */
  readonly levelOf: (atom: Atom) => number;
}

/** `late`: an elementwise equation is put off to the first level that needs it, the last one if none does. */
export function levelsOf(body: readonly Eqn[], late = false): Levels {
  const known = earliest(body);
  const levelOf = (atom: Atom) => (atom.kind === 'var' ? (known.get(atom.id) ?? 0) : 0);
  const levelOfEqn = (eqn: Eqn) => (isElementwise(eqn.prim) ? levelOf(eqn.out) : Math.max(0, ...eqn.args.map(levelOf)));
  const count = Math.max(0, ...body.map((e) => levelOf(e.out))) + 1;
  if (late) {
    for (const eqn of body.filter((e) => isElementwise(e.prim)).toReversed()) {
      const users = body.filter((e) => e.args.includes(eqn.out));
      known.set(eqn.out.id, Math.min(count - 1, ...users.map((e) => levelOf(e.out) - (isElementwise(e.prim) ? 0 : 1))));
    }
  }
  const levels = Array.from({ length: count }, (_, level) => {
    const here = body.filter((e) => levelOfEqn(e) === level);
    return {
      elementwise: here.filter((e) => isElementwise(e.prim)),
      rowOperations: here.filter((e) => !isElementwise(e.prim)),
    };
  });
  return { levels, levelOf };
}

function earliest(body: readonly Eqn[]): Map<number, number> {
  const known = new Map<number, number>();
  for (const eqn of body) {
    const level = Math.max(0, ...eqn.args.map((a) => (a.kind === 'var' ? (known.get(a.id) ?? 0) : 0)));
    known.set(eqn.out.id, isElementwise(eqn.prim) ? level : level + 1);
  }
  return known;
}

/** Variables that a level reads although an earlier one computed them, or that a row operation reads. */
export function crossing(
  body: readonly Eqn[],
  { levelOf }: Levels,
  results: readonly (readonly [Atom, number])[],
): Set<number> {
  const inBody = new Map(body.map((e) => [e.out.id, e]));
  const crossing = new Set<number>();
  const read = (atom: Atom, level: number) => {
    if (atom.kind === 'var' && inBody.has(atom.id) && definedAt(atom) < level) crossing.add(atom.id);
  };
  // A row operation's result is in memory even for the level right after it.
  const definedAt = (atom: Atom) =>
    levelOf(atom) - (atom.kind === 'var' && !isElementwise(inBody.get(atom.id)!.prim) ? 0.5 : 0);
  for (const eqn of body) {
    for (const arg of eqn.args) {
      if (isElementwise(eqn.prim)) read(arg, levelOf(eqn.out));
      else if (arg.kind === 'var' && inBody.has(arg.id)) crossing.add(arg.id);
    }
  }
  for (const [atom, level] of results) read(atom, level);
  return crossing;
}
