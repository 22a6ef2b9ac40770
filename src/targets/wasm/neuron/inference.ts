import type { Atom, Eqn, Var } from '../../../ir/step.ts';
import { add, divU, type Expr, gt, type Local, mul, remU } from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { eventBytes, spanBytes } from '../kernels/events.ts';
import { type Kernel, type Kernels, rowParams } from '../kernels/kernel.ts';
import { listRowCall } from '../kernels/lists.ts';
import { meet, meetingBytes } from '../kernels/meet.ts';
import { sumRows } from '../kernels/rows.ts';
import { padded, panelsOf } from '../layout.ts';
import { isElementwise } from './emit.ts';
import { commonPlaces, eachSampleRow, forwardStores, inSequence, ownOutput, rowByRow } from './forward.ts';
import type { Levels } from './levels.ts';
import { type NeuronPlan, stateOf } from './plan.ts';
import { BodyWriter, type LoopArgs, type PanelRange, type Place, type StepContext, writeStep } from './timeLoop.ts';

type Named = Readonly<Record<string, Local>>;

/** Panels that a part has at least: of fewer, meeting the others takes longer than computing them. */
const fewestPanels = 4;

/** How many parts the neurons of a sample are cut into for so many threads. */
export function partsFor({ features, step, products }: NeuronPlan, threads: number): number {
  const rowOperations = step.body.filter((e) => !isElementwise(e.prim)).length;
  // Row operations other than products need whole rows.
  if (rowOperations > products.length) return 1;
  return Math.max(1, Math.min(threads, Math.floor(panelsOf(features).count / fewestPanels)));
}

/** Room for the list of one row. */
export const listBytes = (features: number): number => spanBytes + padded(features) * eventBytes;

/** The state whose sequence is the output, or -1. */
export const outputState = ({ step }: NeuronPlan): number => stateOf(step, step.output);

/** Arrays of one row per sample, by the parameters that they are given to: values that are forgotten after the next step. */
export function inferenceArrays(plan: NeuronPlan): string[] {
  const states = plan.step.states.flatMap((_, i) => (i === outputState(plan) ? [] : [`state${i}`, `stateToo${i}`]));
  const values = scratchOf(plan).flatMap(({ id }) => [`scratch${id}`, `scratchToo${id}`]);
  return [...states, ...values];
}

const scratchOf = (plan: NeuronPlan): Var[] => [...plan.inferenceScratch, ...(plan.copies as Var[])];

/**
 * All time steps of a chunk of samples, for some of the neurons (item `chunk * parts + part`), keeping the output alone.
 * Other values alternate between two arrays, so that a part can be one step ahead of another that still reads.
 */
export function inferenceKernel(k: Kernels, name: string, plan: NeuronPlan): Kernel {
  const { step, features } = plan;
  const params = [
    ...['rows', 'sampleRows', 'parts', 'meetings', 'lists'],
    ...step.inputs.map((_, i) => `input${i}`),
    ...plan.affine.flatMap((affine, i) => (affine ? [`mean${i}`, `scale${i}`, `bias${i}`] : [])),
    ...plan.once.map((v) => `once${v.id}`),
    ...(ownOutput(plan) ? ['output'] : [`state${outputState(plan)}`]),
    ...inferenceArrays(plan),
    ...rowParams,
  ];
  return k.kernel(`inference_${name}`, params, (f, item, args) => {
    const a = args as Named & LoopArgs;
    const chunk = f.let('chunk', divU(item, a.parts));
    const part = f.let('part', remU(item, a.parts));
    const pairs = new Alternating(f);
    const states = step.states.map((_, i) =>
      i === outputState(plan) ? inSequence(a[`state${i}`]) : pairs.add(a[`state${i}`], a[`stateToo${i}`]),
    );
    const scratch = (v: Var) => pairs.add(a[`scratch${v.id}`], a[`scratchToo${v.id}`]).after;
    const places = commonPlaces(plan, a, states);
    for (const v of plan.inferenceScratch) places.set(v.id, scratch(v));
    const copies = new Map<Atom, Place>(plan.copies.map((v) => [v, scratch(v as Var)]));
    const writer = new BodyWriter(f, features, a, places);
    const operandPlace = (atom: Atom) => (copies.get(atom) ?? writer.placeOf(atom)) as Place;
    const meetsBefore = firstProducts(plan.forward);
    const meeting = {
      place: f.let('meeting', add(a.meetings, mul(mul(chunk, a.parts), meetingBytes))),
      ...{ part, parts: a.parts, times: f.let('times', 0) },
    };
    const list = f.let('list', add(a.lists, mul(item, listBytes(features))));
    const rowOperation = (eqn: Eqn, c: StepContext) => {
      const target = writer.placeOf(eqn.out) as Place;
      if (eqn.prim !== 'matvec') return rowByRow(k, writer, c, eqn, eqn.args.map(operandPlace), target);
      if (meetsBefore.has(eqn)) {
        f.if(gt(a.parts, 1), () => {
          f.set(meeting.times, add(meeting.times, 1));
          f.do(meet(k, meeting));
        });
      }
      const matrix = (writer.placeOf(eqn.args[0]) as Place).base;
      recurrentProduct(k, writer, c, { matrix, source: operandPlace(eqn.args[1]), target, list });
    };
    const kept = new Set(step.body.flatMap((e) => (places.has(e.out.id) ? [e.out.id] : [])));
    const stores = forwardStores(plan, a, states, copies);
    const writeAll = (c: StepContext) => {
      writeStep(writer, plan.forward, c, stores, kept, { rowOperation });
      pairs.swap();
    };
    const { count } = panelsOf(features);
    const panels: PanelRange = {
      first: f.let('first', divU(mul(part, count), a.parts)),
      end: f.let('end', divU(mul(add(part, 1), count), a.parts)),
    };
    writer.overTime(chunk, plan.forward, false, () => pairs.start(), writeAll, panels);
  });
}

/** Pairs of arrays [samples, features] that change roles at every step: the values before it, and those after it. */
class Alternating {
  private readonly f: Func;
  private readonly pairs: { before: Local; after: Local; start: readonly [Local, Local] }[] = [];

  constructor(f: Func) {
    this.f = f;
  }

  /** The first array has the values before the first step. */
  add(...start: readonly [Local, Local]): { before: Place; after: Place } {
    const before = this.f.local('i32', 'before');
    const after = this.f.local('i32', 'after');
    this.pairs.push({ before, after, start });
    return { before: { base: before, at: 'sample' }, after: { base: after, at: 'sample' } };
  }

  start(): void {
    for (const { before, after, start } of this.pairs) {
      this.f.set(before, start[0]);
      this.f.set(after, start[1]);
    }
  }

  swap(): void {
    for (const { before, after } of this.pairs) {
      const swapped = this.f.let('swapped', before);
      this.f.set(before, after);
      this.f.set(after, swapped);
    }
  }
}

/** Of each level, the product before which all parts must have come there. */
function firstProducts({ levels }: Levels): ReadonlySet<Eqn> {
  const first = levels.map(({ rowOperations }) => rowOperations.find((e) => e.prim === 'matvec'));
  return new Set(first.filter((e) => e !== undefined));
}

/** The panels at hand of y = M x for the samples of a chunk at one step. */
function recurrentProduct(
  k: Kernels,
  writer: BodyWriter,
  c: StepContext,
  p: { matrix: Expr; source: Place; target: Place; list: Local },
): void {
  const { f, features } = writer;
  const from = writer.rowsOf(p.source, c);
  const to = writer.rowsOf(p.target, c);
  eachSampleRow(f, c, [from.row, to.row], ([source, row]) => {
    f.do(listRowCall(k, features, [p.source.base, from.rows, source, add(p.list, spanBytes), p.list]));
    f.do(call(sumRows(k, features), [c.firstPanel, c.endPanel, p.matrix, p.list, p.target.base, to.rows, row]));
  });
}
