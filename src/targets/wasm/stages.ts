import type { Buffer, Call } from './call.ts';

/** A call in the stage that it belongs to; after the last call of a stage all threads wait for each other. */
export interface StagedCall extends Call {
  readonly stage: number;
  readonly barrier: boolean;
}

export interface Stages {
  /** Stage by stage. */
  readonly calls: readonly StagedCall[];
  readonly count: number;
  /** The last stage with calls before the boundary, the first with calls from it on. */
  readonly lastBefore: number;
  readonly firstFrom: number;
}

/** How many stages a call may be moved: what it gives needs memory from then on. */
const lookahead = 6;

/**
 * Cuts calls into stages: a call is in a later stage than one before it that used one of its buffers, unless both only read
 * it. Calls move into an earlier stage where an uneven call would leave threads without work. The first `fixed` calls stay
 * the first, and calls from `boundary` on come in no earlier stage than those before it.
 */
export function cutIntoStages(given: readonly Call[], fixed: number, boundary: number): Stages {
  const moved = fillGaps(given, naturalStages(given), fixed, boundary);
  const rank = (i: number) => (i < fixed ? 0 : given[i].uneven ? 1 : 2);
  const order = given.map((_, i) => i).sort((a, b) => moved[a] - moved[b] || rank(a) - rank(b) || a - b);
  // Stages whose calls moved away may have become one with the next.
  const stages = naturalStages(order.map((i) => given[i]));
  const calls = order.map((i, n): StagedCall => {
    return { ...given[i], stage: stages[n], barrier: stages[n + 1] !== stages[n] };
  });
  const stagesOf = (isWanted: (i: number) => boolean) => stages.filter((_, n) => isWanted(order[n]));
  return {
    calls,
    count: Math.max(-1, ...stages) + 1,
    lastBefore: Math.max(...stagesOf((i) => i < boundary)),
    firstFrom: Math.min(...stagesOf((i) => i >= boundary)),
  };
}

function naturalStages(calls: readonly Call[]): number[] {
  let inUse: Use[] = [];
  let stage = 0;
  return calls.map((call) => {
    const uses = usesOf(call);
    if (conflict(uses, inUse)) {
      inUse = [];
      stage++;
    }
    inUse.push(...uses);
    return stage;
  });
}

/**
 * Moves calls into an earlier stage that has nothing that they depend on, in it or behind it: the latest of those with an
 * uneven call; a single item, which fills no gap but may hold up calls that do, into the first.
 */
function fillGaps(
  calls: readonly Call[],
  natural: readonly number[],
  fixed: number,
  boundary: number,
): readonly number[] {
  const members: number[][] = [];
  const uneven = new Set(natural.filter((_, i) => calls[i].uneven));
  const firstBehind = natural[boundary] ?? 0;
  const lastFixed = natural[fixed - 1] ?? 0;
  return calls.map((call, i) => {
    const uses = usesOf(call);
    const first = Math.max(lastFixed, natural[i] - lookahead, i >= boundary ? firstBehind : 0);
    let target = natural[i];
    for (let stage = natural[i] - 1; stage >= first && !call.uneven; stage--) {
      if ((members[stage] ?? []).some((other) => conflict(uses, usesOf(calls[other])))) break;
      if (call.items === 1) target = stage;
      else if (uneven.has(stage)) {
        target = stage;
        break;
      }
    }
    members[target] = [...(members[target] ?? []), i];
    return target;
  });
}

interface Use {
  readonly buffer: Buffer;
  readonly writes: boolean;
}

function usesOf({ kernel, args }: Call): Use[] {
  return Object.entries(args).flatMap(([name, buffer]) =>
    typeof buffer === 'object' ? [{ buffer, writes: !kernel.reads.includes(name) }] : [],
  );
}

export const buffersOf = (call: Call): Buffer[] => usesOf(call).map(({ buffer }) => buffer);

const conflict = (some: readonly Use[], others: readonly Use[]): boolean =>
  some.some((a) => others.some((b) => (a.writes || b.writes) && overlap(a.buffer, b.buffer)));

function overlap(a: Buffer, b: Buffer): boolean {
  if (a.address === null || b.address === null) return a === b;
  return a.address < b.address + b.bytes && b.address < a.address + a.bytes;
}
