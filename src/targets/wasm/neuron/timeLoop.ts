import type { Atom, Eqn, Var } from '../../../ir/step.ts';
import {
  add,
  type Expr,
  ge,
  i32,
  type Local,
  loadSplat,
  loadV,
  lt,
  mul,
  splat,
  storeV,
  sub,
  sum,
  v,
} from '../assembler/expr.ts';
import type { Func } from '../assembler/func.ts';
import { chunkRow, onPanel, type RowArgs, samplesOf } from '../kernels/kernel.ts';
import { existing } from '../kernels/norm.ts';
import { padded, panelBytes, panelsOf, panelWidth } from '../layout.ts';
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
 * Offsets of four neurons of one or a few samples, in bytes: `shift` further for the sample at hand. Addresses that were
 * computed for one sample serve the others; what is the same for all samples is read before them, and sums over them are
 * written after them.
 */
export interface Offsets {
  readonly row: Local;
  readonly previous: Local;
  readonly sample: Local;
  readonly feature: Local;
  readonly shift: number;
  /** Whether none of the four is padding. */
  readonly whole: boolean;
  readonly addresses: Map<string, Local>;
  readonly outside: Outside;
}

/** What lies outside of the loop over samples. */
class Outside {
  private readonly constants = new Map<string, { local: Local; value: Expr }>();
  private readonly sums = new Map<string, { local: Local; address: Expr; offset: number }>();
  private readonly f: Func;

  constructor(f: Func) {
    this.f = f;
  }

  /** A value that is the same for all samples. */
  constant(name: string, value: Expr): Local {
    const known = this.constants.get(value.text) ?? { local: this.f.local('v128', name), value };
    this.constants.set(value.text, known);
    return known.local;
  }

  /** Adds to a number in memory. */
  accumulate(address: Expr, offset: number, value: Expr): void {
    const key = `${address.text} ${offset}`;
    const sum = this.sums.get(key) ?? { local: this.f.local('v128', 'sum'), address, offset };
    this.sums.set(key, sum);
    this.f.set(sum.local, v.add(sum.local, value));
  }

  begin(): void {
    for (const { local, value } of this.constants.values()) this.f.set(local, value);
    for (const { local, address, offset } of this.sums.values()) this.f.set(local, loadV(address, offset));
  }

  end(): void {
    for (const { local, address, offset } of this.sums.values()) this.f.do(storeV(address, local, offset));
  }
}

export interface LoopArgs extends RowArgs {
  /** Rows set aside for sequences, and for arrays of one row per sample. */
  readonly rows: Local;
  readonly sampleRows: Local;
}

/** Samples that share the computation of addresses. */
const unrolled = 2;

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

  /**
   * Every time step of a chunk of samples, in or against the order of time. Where no equation needs a whole row, one panel
   * goes through all of time before the next: its states stay in the first-level cache.
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
    const samples = samplesOf(f, args, chunk);
    const firstSample = f.let('firstSample', mul(chunk, args.group));
    const [k, t, firstRow] = ['k', 't', 'firstRow'].map((name) => f.local('i32', name));
    const throughTime = (firstPanel: Expr, endPanel: Expr) => {
      const c = { t, firstSample, samples, firstRow, firstPanel, endPanel, reversed };
      before?.(c);
      f.for(k, 0, args.T, 1, () => {
        f.set(t, reversed ? sub(sub(args.T, 1), k) : k);
        f.set(firstRow, chunkRow(args, chunk, t));
        body(c);
      });
    };
    if (levels.some((l) => l.rowOperations.length > 0)) throughTime(i32(0), i32(count));
    else {
      const panel = f.local('i32', 'panel');
      f.for(panel, 0, i32(count), 1, () => throughTime(panel, add(panel, 1)));
    }
  }

  /** All neurons of the step's samples, four at a time: the same four of all samples before the next. */
  overNeurons(c: StepContext, body: (offsets: Offsets) => void): void {
    const { f, args, rows, features } = this;
    const panel = f.let('panel', c.firstPanel);
    f.while(lt(panel, c.endPanel), () => {
      onPanel(f, features, panel, (_, width) => {
        const row = f.let('firstRowAt', add(mul(mul(panel, rows), panelBytes), mul(c.firstRow, width)));
        const samples = add(mul(mul(panel, args.sampleRows), panelBytes), mul(c.firstSample, width));
        const sample = f.let('firstSampleAt', samples);
        const vector = f.let('vector', 0);
        f.while(lt(vector, width), () => {
          const inRow = f.let('inRow', c.reversed ? sub(width - 16, vector) : vector);
          this.overSamples(c, width, { row, sample, panel, inRow }, body);
          f.set(vector, add(vector, 16));
        });
      });
      f.set(panel, add(panel, 1));
    });
  }

  private overSamples(
    c: StepContext,
    width: number,
    at: Readonly<Record<'row' | 'sample' | 'panel' | 'inRow', Local>>,
    body: (offsets: Offsets) => void,
  ): void {
    const { f, args } = this;
    const feature = f.let('feature', add(mul(at.panel, panelBytes), at.inRow));
    const [row, previous, sample] = ['o', 'oBefore', 'oSample'].map((name) => f.local('i32', name));
    const outside = new Outside(f);
    const whole = width === panelBytes || this.features % 4 === 0;
    const loop = f.aside(() => {
      const all = mul(c.samples, width);
      f.set(row, c.reversed ? sum(at.row, at.inRow, all) : add(at.row, at.inRow));
      f.set(sample, c.reversed ? sum(at.sample, at.inRow, all) : add(at.sample, at.inRow));
      f.set(previous, sub(row, mul(args.group, width)));
      const left = f.let('left', c.samples);
      const move = (bytes: number) => {
        for (const o of [row, previous, sample]) f.set(o, add(o, bytes));
      };
      const through = (count: number) => {
        const addresses = new Map<string, Local>();
        const shifts = Array.from({ length: count }, (_, i) => i * width);
        if (c.reversed) move(-count * width);
        for (const shift of c.reversed ? shifts.reverse() : shifts)
          body({ row, previous, sample, feature, shift, whole, addresses, outside });
        if (!c.reversed) move(count * width);
        f.set(left, sub(left, count));
      };
      f.while(ge(left, unrolled), () => through(unrolled));
      f.while(left, () => through(1));
    });
    outside.begin();
    loop();
    outside.end();
  }

  /** The neurons of one row, a panel at a time; `feature` is the first one's index. */
  overRow(sample: Expr, row: Expr, body: (vectors: readonly Offsets[], feature: Local) => void): void {
    const { f, args, rows, features } = this;
    const panel = f.local('i32', 'panel');
    f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
      onPanel(f, features, panel, (count, width) => {
        const at = f.let('o', add(mul(mul(panel, rows), panelBytes), mul(row, width)));
        const previous = f.let('oBefore', sub(at, mul(args.group, width)));
        const ofSample = f.let('oSample', add(mul(mul(panel, args.sampleRows), panelBytes), mul(sample, width)));
        const outside = new Outside(f);
        const addresses = new Map<string, Local>();
        const whole = width === panelBytes || features % 4 === 0;
        const common = { row: at, previous, sample: ofSample, whole, addresses, outside };
        const vectors = Array.from({ length: count }, (_, i) => {
          const feature = f.let('feature', add(mul(panel, panelBytes), 16 * i));
          return { ...common, feature, shift: 16 * i };
        });
        const all = f.aside(() => body(vectors, f.let('index', mul(panel, panelWidth))));
        outside.begin();
        all();
      });
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
    if (eqn) return emit(this.f, eqn, read);
    const name = v.name.replaceAll("'", '_');
    return this.f.let(name, this.load(v.id, name, offsets));
  }

  store(place: Place, value: Expr, offsets: Offsets): void {
    // Padding neurons must not hand on infinities or NaN.
    const kept = offsets.whole ? value : v.and(value, existing(this.features, offsets.feature));
    this.f.do(storeV(this.address(place, offsets), kept, offsets.shift));
  }

  /** Where a place's part for the samples at hand starts. */
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
    const { outside, feature } = offsets;
    if (place.at === 'scalar') return outside.constant(name, loadSplat(place.base));
    const perFeature = (base: Expr) => outside.constant(name, loadV(add(base, feature)));
    if (place.at === 'features') return perFeature(place.base);
    const raw = loadV(this.address(place, offsets), offsets.shift);
    if (!place.affine) return raw;
    const { mean, scale, bias } = place.affine;
    return v.add(v.mul(v.sub(raw, perFeature(mean)), perFeature(scale)), perFeature(bias));
  }

  /** A normalised input before its scale and bias, x - mean. */
  centered({ id }: Var, offsets: Offsets): Expr {
    const place = this.places.get(id) as Place;
    const mean = loadV(add(place.affine!.mean, offsets.feature));
    return v.sub(loadV(this.address(place, offsets), offsets.shift), offsets.outside.constant('mean', mean));
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

interface Reader {
  readonly read: (atom: Atom) => Expr;
  readonly define: (id: number, value: Expr) => void;
}

function offsetOf(at: Place['at'], offsets: Offsets): Expr {
  if (at === 'row' || at === 'previous' || at === 'sample') return offsets[at];
  throw new Error(`${at} has no place per sample`);
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
    /** More to do with the neurons at a level, at those levels. */
    readonly also?: (level: number, offsets: Offsets, reader: Reader) => void;
    readonly alsoAt?: ReadonlySet<number>;
  },
): void {
  levels.forEach((level, l) => {
    const here = stores.filter((s) => s.level === l);
    const isWork = level.elementwise.length > 0 || here.length > 0 || options.alsoAt?.has(l);
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
