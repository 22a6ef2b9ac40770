import type { Atom, Eqn } from '../../../ir/step.ts';
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

/** Offsets of the four neurons at hand. */
interface Offsets {
  readonly row: Local;
  readonly previous: Local;
  readonly sample: Local;
  readonly feature: Local;
}

export interface LoopArgs {
  readonly B: Local;
  readonly T: Local;
  readonly S: Local;
  readonly first: Local;
  readonly group: Local;
}

/** The samples of a chunk at one time step. */
export interface StepContext {
  readonly t: Local;
  readonly firstSample: Local;
  readonly samples: Local;
  /** Row of the first sample; the next sample's is S further. */
  readonly firstRow: Local;
}

/** Writes the code of a body that runs over time. */
export class BodyWriter {
  readonly f: Func;
  readonly features: number;
  private readonly args: LoopArgs;
  private readonly places: ReadonlyMap<number, Place>;
  private readonly rows: Local;

  constructor(f: Func, features: number, args: LoopArgs, places: ReadonlyMap<number, Place>) {
    this.f = f;
    this.features = features;
    this.args = args;
    this.places = places;
    this.rows = f.let('rows', mul(args.B, args.S));
  }

  get allRows(): Local {
    return this.rows;
  }

  /** How far, in rows of a sequence, the next sample is. */
  get stride(): Local {
    return this.args.S;
  }

  /** Every time step of a chunk of samples, in or against the order of time. */
  overTime(chunk: Expr, reversed: boolean, before: (c: StepContext) => void, body: (c: StepContext) => void): void {
    const { f, args } = this;
    const firstSample = f.let('firstSample', mul(chunk, args.group));
    const samples = f.let('samples', sub(minU(f.let('end', add(firstSample, args.group)), args.B), firstSample));
    const k = f.let('k', 0);
    const t = f.let('t', 0);
    const firstRow = f.let('firstRow', 0);
    const context = { t, firstSample, samples, firstRow };
    before(context);
    f.for(k, 0, args.T, 1, () => {
      f.set(t, reversed ? sub(sub(args.T, 1), k) : k);
      f.set(firstRow, sum(mul(firstSample, args.S), args.first, t));
      body(context);
    });
  }

  /** All neurons of the chunk's samples, four at a time. */
  overNeurons(c: StepContext, body: (offsets: Offsets) => void): void {
    const { f, args, rows } = this;
    const { full, tail, count } = panelsOf(this.features);
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
      const panel = f.let('panel', 0);
      f.set(offsets.feature, 0);
      f.while(lt(panel, count), () => {
        const width = f.let('width', panelBytes);
        if (tail > 0) f.set(width, full === 0 ? tail * 4 : choose(lt(panel, full), i32(panelBytes), i32(tail * 4)));
        f.set(offsets.row, add(mul(mul(panel, rows), panelBytes), mul(row, width)));
        f.set(offsets.previous, sub(offsets.row, width));
        f.set(offsets.sample, add(mul(mul(panel, args.B), panelBytes), mul(sample, width)));
        const stop = f.let('stop', add(offsets.feature, width));
        f.while(lt(offsets.feature, stop), () => {
          body(offsets);
          for (const o of Object.values(offsets)) f.set(o, add(o, 16));
        });
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
      const value =
        known.get(atom.id) ?? this.f.let(atom.name.replaceAll("'", '_'), this.load(atom.id, atom.name, offsets));
      known.set(atom.id, value);
      return value;
    };
    return { read, define: (id, value) => void known.set(id, value) };
  }

  store(place: Place, value: Expr, offsets: Offsets): void {
    // Padding neurons must not hand on infinities or NaN.
    const kept = this.features % 4 === 0 ? value : v.and(value, existing(this.features, offsets.feature));
    this.f.do(storeV(add(place.base, offsetOf(place, offsets)), kept));
  }

  placeOf(atom: Atom): Place | undefined {
    return atom.kind === 'var' ? this.places.get(atom.id) : undefined;
  }

  private load(id: number, name: string, offsets: Offsets): Expr {
    const place = this.places.get(id);
    if (!place) throw new Error(`the variable "${name}" (${id}) is read but not kept`);
    if (place.at === 'scalar') return loadSplat(place.base);
    const raw = loadV(add(place.base, offsetOf(place, offsets)));
    if (!place.affine) return raw;
    const of = (vector: Expr) => loadV(add(vector, offsets.feature));
    const { mean, scale, bias } = place.affine;
    return v.add(v.mul(v.sub(raw, of(mean)), of(scale)), of(bias));
  }

  /** Row of a place for a sample, and how far the next sample's is. */
  rowsOf(place: Place, c: StepContext): { row: Expr; step: Expr; rows: Expr } {
    if (place.at === 'sample') return { row: c.firstSample, step: i32(1), rows: this.args.B };
    return { row: place.at === 'previous' ? sub(c.firstRow, 1) : c.firstRow, step: this.args.S, rows: this.rows };
  }
}

interface Reader {
  readonly read: (atom: Atom) => Expr;
  readonly define: (id: number, value: Expr) => void;
}

function offsetOf({ at }: Place, offsets: Offsets): Expr {
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
