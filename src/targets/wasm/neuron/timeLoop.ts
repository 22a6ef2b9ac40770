import type { Atom, Eqn, Var } from '../../../ir/step.ts';
import {
  add,
  choose,
  type Expr,
  i32,
  type Local,
  loadSplat,
  loadV,
  lt,
  minU,
  mul,
  splat,
  storeV,
  sub,
  sum,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { existing } from '../kernels/norm.ts';
import { padded, panelBytes, panelsOf } from '../layout.ts';
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

/**
 * Offsets of a group of neurons, in bytes, and the four of them at hand: they are `shift` bytes further. Addresses that
 * were computed for the group are kept for its next four.
 */
export interface Offsets {
  readonly row: Local;
  readonly previous: Local;
  readonly sample: Local;
  readonly feature: Local;
  readonly shift: number;
  /** Whether none of the group is padding. */
  readonly whole: boolean;
  readonly addresses: Map<string, Local>;
}

export interface LoopArgs {
  /** Rows set aside for sequences, and for arrays of one row per sample. */
  readonly rows: Local;
  readonly sampleRows: Local;
  readonly B: Local;
  readonly T: Local;
  readonly S: Local;
  readonly first: Local;
  readonly group: Local;
}

/** Vectors of four neurons that share the computation of addresses; divides the 8 of a full panel. */
const unrolled = 4;

/** How many samples go through time together where they share a recurrent matrix. */
const samplesPerTile = (features: number): number => (features <= 256 ? 2 : features <= 512 ? 4 : 16);

/** Some samples at one time step, and the panels of their neurons at hand. */
export interface StepContext {
  readonly t: Local;
  readonly firstSample: Local;
  readonly samples: Local;
  /** Row of the first sample; the next sample's is S further. */
  readonly firstRow: Local;
  readonly firstPanel: Expr;
  readonly endPanel: Expr;
}

/** Writes the code of a body that runs over time. */
export class BodyWriter {
  readonly f: Func;
  readonly features: number;
  private readonly args: LoopArgs;
  private readonly places: ReadonlyMap<number, Place>;
  private readonly rows: Local;
  private readonly recomputed: readonly Eqn[];

  /** `recomputed` are equations of variables that lie nowhere, evaluated where they are read. */
  constructor(
    f: Func,
    features: number,
    args: LoopArgs,
    places: ReadonlyMap<number, Place>,
    recomputed: readonly Eqn[] = [],
  ) {
    this.recomputed = recomputed;
    this.f = f;
    this.features = features;
    this.args = args;
    this.places = places;
    this.rows = args.rows;
  }

  /** How far, in rows of a sequence, the next sample is. */
  get stride(): Local {
    return this.args.S;
  }

  /**
   * Every time step of a chunk of samples, in or against the order of time. Where no equation needs a whole row, one
   * sample's panel goes through all of time before the next: its states stay in the first-level cache. Otherwise a few
   * samples go together, so that they share what is read of a recurrent matrix.
   */
  overTime(
    chunk: Expr,
    { levels }: Levels,
    reversed: boolean,
    before: ((c: StepContext) => void) | null,
    body: (c: StepContext) => void,
  ): void {
    const { f, args, features } = this;
    const { count } = panelsOf(features);
    const wholeRows = levels.some((l) => l.rowOperations.length > 0);
    const tile = wholeRows ? samplesPerTile(features) : 1;
    const first = f.let('firstSample', mul(chunk, args.group));
    const last = f.let('lastSample', minU(f.let('end', add(first, args.group)), args.B));
    const samples = f.local('i32', 'samples');
    const [k, t, firstRow] = ['k', 't', 'firstRow'].map((name) => f.local('i32', name));
    const throughTime = (c: StepContext) => {
      before?.(c);
      f.for(k, 0, args.T, 1, () => {
        f.set(t, reversed ? sub(sub(args.T, 1), k) : k);
        f.set(firstRow, sum(mul(first, args.S), args.first, t));
        body(c);
      });
    };
    f.while(lt(first, last), () => {
      f.set(samples, minU(f.let('rest', sub(last, first)), f.let('tile', tile)));
      const all = { t, firstSample: first, samples, firstRow };
      if (wholeRows) throughTime({ ...all, firstPanel: i32(0), endPanel: i32(count) });
      else {
        const panel = f.local('i32', 'panel');
        f.for(panel, 0, i32(count), 1, () => throughTime({ ...all, firstPanel: panel, endPanel: add(panel, 1) }));
      }
      f.set(first, add(first, samples));
    });
  }

  /** All neurons of the step's samples, four at a time. */
  overNeurons(c: StepContext, body: (offsets: Offsets) => void): void {
    const { f, args, rows } = this;
    const { full, tail } = panelsOf(this.features);
    const offsets = {
      row: f.local('i32', 'o'),
      previous: f.local('i32', 'oBefore'),
      sample: f.local('i32', 'oSample'),
      feature: f.local('i32', 'feature'),
    };
    const sample = f.let('sample', c.firstSample);
    const row = f.let('row', c.firstRow);
    const end = f.let('end', add(c.firstSample, c.samples));
    f.while(lt(sample, end), () => {
      const panel = f.let('panel', c.firstPanel);
      const endPanel = f.let('endPanel', c.endPanel);
      f.set(offsets.feature, mul(panel, panelBytes));
      f.while(lt(panel, endPanel), () => {
        const width = f.let('width', panelBytes);
        if (tail > 0) f.set(width, full === 0 ? tail * 4 : choose(lt(panel, full), i32(panelBytes), i32(tail * 4)));
        f.set(offsets.row, add(mul(mul(panel, rows), panelBytes), mul(row, width)));
        f.set(offsets.previous, sub(offsets.row, width));
        f.set(offsets.sample, add(mul(mul(panel, args.sampleRows), panelBytes), mul(sample, width)));
        const stop = f.let('stop', add(offsets.feature, width));
        const through = (vectors: number, whole: boolean) =>
          f.while(lt(offsets.feature, stop), () => {
            const addresses = new Map<string, Local>();
            for (let i = 0; i < vectors; i++) body({ ...offsets, shift: 16 * i, whole, addresses });
            for (const o of Object.values(offsets)) f.set(o, add(o, 16 * vectors));
          });
        if (tail === 0) through(unrolled, true);
        else if (full === 0) through(1, false);
        else
          f.if(
            lt(panel, full),
            () => through(unrolled, true),
            () => through(1, false),
          );
        f.set(panel, add(panel, 1));
      });
      f.set(sample, add(sample, 1));
      f.set(row, add(row, args.S));
    });
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
    const eqn = this.recomputed.find((e) => e.out === v);
    return eqn ? emit(this.f, eqn, read) : this.f.let(v.name.replaceAll("'", '_'), this.load(v.id, v.name, offsets));
  }

  store(place: Place, value: Expr, offsets: Offsets): void {
    // Padding neurons must not hand on infinities or NaN.
    const whole = offsets.whole || this.features % 4 === 0;
    const kept = whole ? value : v.and(value, existing(this.features, offsets.feature));
    this.f.do(storeV(this.address(place, offsets), kept, offsets.shift));
  }

  /** Where a place's part for the group of neurons starts. */
  address({ base, at }: Pick<Place, 'base' | 'at'>, offsets: Offsets): Local {
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
    const raw = loadV(this.address(place, offsets), offsets.shift);
    if (!place.affine) return raw;
    const of = (base: Expr) => loadV(this.address({ base, at: 'features' }, offsets), offsets.shift);
    const { mean, scale, bias } = place.affine;
    return v.add(v.mul(v.sub(raw, of(mean)), of(scale)), of(bias));
  }

  /** Row of a place for a sample, and how far the next sample's is. */
  rowsOf(place: Place, c: StepContext): { row: Expr; step: Expr; rows: Expr } {
    if (place.at === 'sample') return { row: c.firstSample, step: i32(1), rows: this.args.sampleRows };
    return { row: place.at === 'previous' ? sub(c.firstRow, 1) : c.firstRow, step: this.args.S, rows: this.rows };
  }
}

interface Reader {
  readonly read: (atom: Atom) => Expr;
  readonly define: (id: number, value: Expr) => void;
}

function offsetOf(at: Place['at'], offsets: Offsets): Expr {
  switch (at) {
    case 'row':
      return offsets.row;
    case 'previous':
      return offsets.previous;
    case 'sample':
      return offsets.sample;
    case 'features':
      return offsets.feature;
    case 'scalar':
      return i32(0);
  }
}

/** What a level stores for every neuron. */
export interface Store {
  readonly level: number;
  readonly value: Atom;
  readonly place: Place;
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
    readonly also?: (level: number, offsets: Offsets, reader: Reader) => void;
  },
): void {
  levels.forEach((level, l) => {
    const here = stores.filter((s) => s.level === l);
    const isWork = level.elementwise.length > 0 || here.length > 0 || (l === levels.length - 1 && options.also);
    if (isWork) {
      writer.overNeurons(c, (offsets) => {
        const reader = writer.reader(offsets);
        for (const eqn of level.elementwise) {
          const value = emit(writer.f, eqn, reader.read);
          reader.define(eqn.out.id, value);
          if (kept.has(eqn.out.id)) writer.store(writer.placeOf(eqn.out) as Place, value, offsets);
        }
        for (const { value, place } of here) writer.store(place, reader.read(value), offsets);
        options.also?.(l, offsets, reader);
      });
    }
    for (const eqn of level.rowOperations) options.rowOperation(eqn, c);
  });
}

export const featureBytes = (features: number): number => padded(features) * 4;
