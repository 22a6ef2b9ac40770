import type { Atom, Eqn, Var } from '../../../ir/step.ts';
import {
  add,
  type Expr,
  i32,
  type Local,
  loadSplat,
  loadV,
  lt,
  mul,
  or,
  shl,
  shrU,
  splat,
  storeI32,
  storeV,
  sub,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { chunkRow, onPanel, type RowArgs, samplesOf } from '../kernels/kernel.ts';
import { maskBits } from '../kernels/lists.ts';
import { maskWord } from '../kernels/masks.ts';
import { existing } from '../kernels/norm.ts';
import { panelBytes, panelsOf } from '../layout.ts';
import { emit } from './emit.ts';
import type { Levels } from './levels.ts';

/**
 * Where the values of a variable lie: in a sequence [rows] at the current row or the one of the step before, in an array
 * with one row per sample, or once for all rows (per neuron or as one number).
 */
export interface Place {
  readonly base: Expr;
  readonly at: 'row' | 'previous' | 'sample' | 'features' | 'scalar';
  /** Normalisation that is applied on reading: (x - mean) * scale + bias. */
  readonly affine?: { readonly mean: Expr; readonly scale: Expr; readonly bias: Expr };
}

/** In an array with one row per sample. */
export const sampled = (base: Expr): Place => ({ base, at: 'sample' });

/**
 * Offsets of a few neurons of a sample, in bytes, and the four of them at hand: they are `shift` bytes further. Addresses
 * that were computed for the first four serve the others.
 */
export interface Offsets {
  readonly row: Local;
  readonly previous: Local;
  readonly sample: Local;
  readonly features: Local;
  readonly shift: number;
  /** Whether none of the neurons is padding. */
  readonly whole: boolean;
  readonly addresses: Map<string, Local>;
}

export interface LoopArgs extends RowArgs {
  /** Rows set aside for sequences, and for arrays of one row per sample. */
  readonly rows: Local;
  readonly sampleRows: Local;
}

/** Vectors of four neurons that share the computation of addresses; divides the 8 of a full panel. */
const unrolled = 4;

/** The samples of a chunk at one time step, and the panels of their neurons at hand. */
export interface StepContext {
  readonly t: Local;
  readonly firstSample: Local;
  readonly samples: Local;
  /** Row of the first sample; the others' follow. */
  readonly firstRow: Local;
  readonly firstPanel: Expr;
  readonly endPanel: Expr;
  /** Whether time runs backwards: then rows are visited in descending order, for the processor foresees such a stream. */
  readonly reversed: boolean;
}

/** Panels of neurons, `end` not included. */
export interface PanelRange {
  readonly first: Expr;
  readonly end: Expr;
  /** Whether all of them are needed at each step before the next. */
  readonly together: boolean;
}

/** All panels of a body. */
export const allPanels = (features: number, { levels }: Levels): PanelRange => ({
  first: i32(0),
  end: i32(panelsOf(features).count),
  together: levels.some((l) => l.rowOperations.length > 0),
});

/** Equations that are evaluated where their variables are read. */
export interface Computed {
  /** Of variables that lie nowhere. */
  readonly recomputed: readonly Eqn[];
  /** That hold at every step but the first, which then has code of its own. */
  readonly recalled: readonly Eqn[];
}

/** Writes the code of a body that runs over time. */
export class BodyWriter {
  readonly f: Func;
  readonly features: number;
  private readonly args: LoopArgs;
  private readonly places: ReadonlyMap<number, Place>;
  readonly rows: Local;
  private readonly computed: Computed;
  /** Whether the code at hand is that of the first step. */
  private isFirst = false;

  constructor(
    f: Func,
    features: number,
    args: LoopArgs,
    places: ReadonlyMap<number, Place>,
    computed: Computed = { recomputed: [], recalled: [] },
  ) {
    this.computed = computed;
    this.f = f;
    this.features = features;
    this.args = args;
    this.places = places;
    this.rows = args.rows;
  }

  /**
   * Every time step of a chunk of samples, in or against the order of time. Where nothing needs more than a panel at a time,
   * one panel goes through all of time before the next: its states stay in the first-level cache.
   */
  overTime(
    chunk: Expr,
    panels: PanelRange,
    reversed: boolean,
    around: { readonly begin?: (c: StepContext) => void; readonly end?: (c: StepContext) => void },
    body: (c: StepContext) => void,
  ): void {
    const { f, args } = this;
    const samples = samplesOf(f, args, chunk);
    const firstSample = f.let('firstSample', mul(chunk, args.group));
    const [k, t, firstRow] = ['k', 't', 'firstRow'].map((name) => f.local('i32', name));
    const throughTime = (firstPanel: Expr, endPanel: Expr) => {
      const c = { t, firstSample, samples, firstRow, firstPanel, endPanel, reversed };
      f.set(firstRow, chunkRow(args, chunk, i32(0)));
      around.begin?.(c);
      const step = (time: Expr, isFirst: boolean) => {
        f.set(t, time);
        f.set(firstRow, chunkRow(args, chunk, t));
        this.isFirst = isFirst;
        body(c);
      };
      const apart = this.computed.recalled.length > 0 ? 1 : 0;
      if (apart && !reversed) step(i32(0), true);
      f.for(k, apart, args.T, 1, () => step(reversed ? sub(add(args.T, apart - 1), k) : k, false));
      if (apart && reversed) step(i32(0), true);
      around.end?.(c);
    };
    if (panels.together) throughTime(panels.first, panels.end);
    else {
      const panel = f.local('i32', 'panel');
      f.for(panel, panels.first, panels.end, 1, () => throughTime(panel, add(panel, 1)));
    }
  }

  /**
   * All neurons of the step's samples, panel by panel and row by row, four at a time. Where arrays of `bits` are given, of
   * a word per row and panel as dropout masks have, the body says for each which lanes are set (all bits of a lane, or none).
   */
  overNeurons(c: StepContext, body: (offsets: Offsets) => readonly Expr[], bits: readonly Expr[] = []): void {
    const { f, features } = this;
    const panel = f.let('panel', c.firstPanel);
    f.while(lt(panel, c.endPanel), () => {
      onPanel(f, features, panel, (vectors, width) => {
        const first = this.offsetsOf(panel, width, c.firstSample, c.firstRow);
        const rows = [first.row, first.previous, first.sample];
        const move = (bytes: Expr) => rows.forEach((o) => void f.set(o, add(o, bytes)));
        if (c.reversed) move(mul(sub(c.samples, 1), width));
        const left = f.let('left', c.samples);
        const count = width === panelBytes ? unrolled : 1;
        const words = bits.map((base) => ({
          at: f.let('wordAt', maskWord(base, panel, this.rows, c.firstRow)),
          value: f.local('i32', 'word'),
        }));
        f.while(left, () => {
          for (const word of words) f.set(word.value, i32(0));
          const offsets = Object.entries(first).map(([name, o]) => [name, f.let(name, o)] as const);
          const here = Object.fromEntries(offsets) as typeof first;
          const forward = (bytes: number) => Object.values(here).forEach((o) => void f.set(o, add(o, bytes)));
          if (c.reversed) forward(width - 16 * count);
          const group = f.let('group', vectors / count);
          f.while(group, () => {
            const addresses = new Map<string, Local>();
            const shifts = Array.from({ length: count }, (_, i) => 16 * i);
            const lanes = (c.reversed ? shifts.reverse() : shifts).map((shift) =>
              body({ ...here, shift, whole: this.isWhole(width), addresses }),
            );
            // The first lanes end up lowest when all vectors of the row have been shifted in from above.
            words.forEach(({ value }, i) => {
              const set = maskBits(lanes.map((l) => l[i]));
              f.set(value, or(shrU(value, 4 * count), shl(set, 32 - 4 * count)));
            });
            forward((c.reversed ? -16 : 16) * count);
            f.set(group, sub(group, 1));
          });
          for (const { at, value } of words) {
            f.do(storeI32(at, vectors < 8 ? shrU(value, 32 - 4 * vectors) : value));
            f.set(at, add(at, 4));
          }
          move(i32(c.reversed ? -width : width));
          f.set(left, sub(left, 1));
        });
      });
      f.set(panel, add(panel, 1));
    });
  }

  private isWhole(width: number): boolean {
    const { features } = this;
    return features % 4 === 0 || (width === panelBytes && panelsOf(features).tail > 0);
  }

  private offsetsOf(panel: Expr, width: number, sample: Expr, row: Expr) {
    const { f, args, rows } = this;
    const at = f.let('oRow', add(mul(mul(panel, rows), panelBytes), mul(row, width)));
    return {
      row: at,
      previous: f.let('oBefore', sub(at, mul(args.group, width))),
      sample: f.let('oSample', add(mul(mul(panel, args.sampleRows), panelBytes), mul(sample, width))),
      features: f.let('oFeatures', mul(panel, panelBytes)),
    };
  }

  /** Reads of four neurons, each variable loaded once. */
  reader(offsets: Offsets): Reader {
    const known = new Map<number, Expr>();
    const read = (atom: Atom): Expr => {
      if (atom.kind === 'lit') return splat(atom.value);
      const value = known.get(atom.id) ?? this.compute(atom, read, offsets);
      known.set(atom.id, value);
      return value;
    };
    return { read, define: (id, value) => void known.set(id, value) };
  }

  private compute(v: Var, read: (atom: Atom) => Expr, offsets: Offsets): Expr {
    const { recomputed, recalled } = this.computed;
    const eqn = [...recomputed, ...(this.isFirst ? [] : recalled)].find((e) => e.out === v);
    if (eqn) return emit(this.f, eqn, read);
    return this.f.let(v.name.replaceAll("'", '_'), this.load(v.id, v.name, offsets));
  }

  store(place: Place, value: Expr, offsets: Offsets): void {
    this.f.do(storeV(this.address(place, offsets), this.existing(value, offsets), offsets.shift));
  }

  /** A value, 0 of padding neurons: they must not hand on infinities or NaN. */
  existing(value: Expr, { whole, features, shift }: Offsets): Expr {
    return whole ? value : v.and(value, existing(this.features, add(features, shift)));
  }

  /** Adds to numbers per feature, `distance` bytes after a base. */
  accumulate(base: Expr, distance: number, value: Expr, offsets: Offsets): void {
    const at = this.address({ base, at: 'features' }, offsets);
    const offset = distance + offsets.shift;
    this.f.do(storeV(at, v.add(loadV(at, offset), this.existing(value, offsets)), offset));
  }

  /** Where a place's part for the neurons at hand starts. */
  private address({ base, at }: Pick<Place, 'base' | 'at'>, offsets: Offsets): Local {
    const key = `${base.text} ${at}`;
    const known = offsets.addresses.get(key) ?? this.f.let('at', add(base, offsetOf(at, offsets)));
    offsets.addresses.set(key, known);
    return known;
  }

  placeOf(atom: Atom): Place | undefined {
    return atom.kind === 'var' ? this.places.get(atom.id) : undefined;
  }

  private load(id: number, name: string, offsets: Offsets): Expr {
    const place = this.places.get(id);
    if (!place) throw new Error(`the variable "${name}" (${id}) is read but not kept`);
    if (place.at === 'scalar') return loadSplat(place.base);
    if (!place.affine) return this.raw(place, offsets);
    const { scale, bias } = place.affine;
    return v.add(v.mul(this.centered(place, offsets), this.perFeature(scale, offsets)), this.perFeature(bias, offsets));
  }

  raw(place: Place, offsets: Offsets): Expr {
    return loadV(this.address(place, offsets), offsets.shift);
  }

  private perFeature(base: Expr, offsets: Offsets): Expr {
    return this.raw({ base, at: 'features' }, offsets);
  }

  /** A normalised input before its scale and bias, x - mean. */
  centered(place: Place, offsets: Offsets): Expr {
    return v.sub(this.raw(place, offsets), this.perFeature(place.affine!.mean, offsets));
  }

  /** Row of a place for the first sample, of an array of so many rows. */
  rowsOf(place: Place, c: StepContext): { row: Expr; rows: Expr } {
    if (place.at === 'sample') return { row: c.firstSample, rows: this.args.sampleRows };
    return { row: place.at === 'previous' ? this.rowBefore(c) : c.firstRow, rows: this.rows };
  }

  /** Row of the first sample at the step before. */
  rowBefore(c: StepContext): Expr {
    return sub(c.firstRow, this.args.group);
  }
}

export interface Reader {
  readonly read: (atom: Atom) => Expr;
  readonly define: (id: number, value: Expr) => void;
}

function offsetOf(at: Place['at'], offsets: Offsets): Expr {
  return at === 'scalar' ? i32(0) : offsets[at];
}
