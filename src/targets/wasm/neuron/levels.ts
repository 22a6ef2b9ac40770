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

export function levelsOf(body: readonly Eqn[]): Levels {
  const known = new Map<number, number>();
  const levelOf = (atom: Atom) => (atom.kind === 'var' ? (known.get(atom.id) ?? 0) : 0);
  const levels: { elementwise: Eqn[]; rowOperations: Eqn[] }[] = [{ elementwise: [], rowOperations: [] }];
  for (const eqn of body) {
    const level = Math.max(0, ...eqn.args.map(levelOf));
    const isRowOperation = !isElementwise(eqn.prim);
    known.set(eqn.out.id, isRowOperation ? level + 1 : level);
    while (levels.length <= level + (isRowOperation ? 1 : 0)) levels.push({ elementwise: [], rowOperations: [] });
    levels[level][isRowOperation ? 'rowOperations' : 'elementwise'].push(eqn);
  }
  return { levels, levelOf };
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
    const level = Math.max(0, ...eqn.args.map(levelOf));
    for (const arg of eqn.args) {
      if (isElementwise(eqn.prim)) read(arg, level);
      else if (arg.kind === 'var' && inBody.has(arg.id)) crossing.add(arg.id);
    }
  }
  for (const [atom, level] of results) read(atom, level);
  return crossing;
}
