import type { Atom, Eqn } from '../../../ir/step.ts';
import type { Expr } from '../assembler/expr.ts';
import { emit } from './emit.ts';
import type { Levels } from './levels.ts';
import type { BodyWriter, Offsets, Place, Reader, StepContext } from './timeLoop.ts';

/** What a level stores for every neuron. */
export interface Store {
  readonly level: number;
  readonly value: Atom;
  readonly place: Place;
}

/** A bit per neuron and row that a level computes. */
export interface Bits {
  readonly level: number;
  readonly base: Expr;
  /** Lanes that are set, all bits of them. */
  readonly lanes: (reader: Reader) => Expr;
}

/** The code of one time step: level by level, elementwise equations with their stores, then row operations. */
export function writeStep(
  writer: BodyWriter,
  { levels }: Levels,
  c: StepContext,
  stores: readonly Store[],
  kept: ReadonlySet<number>,
  options: {
    readonly rowOperation: (eqn: Eqn, c: StepContext) => void;
    /** More to do with the neurons at a level, at those levels. */
    readonly also?: (level: number, offsets: Offsets, reader: Reader) => void;
    readonly alsoAt?: ReadonlySet<number>;
    readonly bits?: readonly Bits[];
  },
): void {
  levels.forEach((level, l) => {
    const here = stores.filter((s) => s.level === l);
    const bits = (options.bits ?? []).filter((b) => b.level === l);
    const isWork = level.elementwise.length > 0 || here.length > 0 || bits.length > 0 || options.alsoAt?.has(l);
    if (isWork) {
      const neurons = (offsets: Offsets) => {
        const reader = writer.reader(offsets);
        for (const eqn of level.elementwise) {
          const value = emit(writer.f, eqn, reader.read);
          reader.define(eqn.out.id, value);
          if (kept.has(eqn.out.id)) writer.store(writer.placeOf(eqn.out) as Place, value, offsets);
        }
        options.also?.(l, offsets, reader);
        const lanes = bits.map((b) => writer.existing(b.lanes(reader), offsets));
        // What is stored may take the place of what was read.
        const values = here.map(({ value }) => reader.read(value));
        here.forEach(({ place }, i) => void writer.store(place, values[i], offsets));
        return lanes;
      };
      writer.overNeurons(
        c,
        neurons,
        bits.map(({ base }) => base),
      );
    }
    for (const eqn of level.rowOperations) options.rowOperation(eqn, c);
  });
}
