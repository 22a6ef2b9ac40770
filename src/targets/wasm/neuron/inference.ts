import type { Atom, Eqn, Var } from '../../../ir/step.ts';
import { add, divU, type Expr, type Local, loadV, lt, mul, remU, storeV } from '../assembler/expr.ts';
import { call } from '../assembler/func.ts';
import { eventBytes, spanBytes } from '../kernels/events.ts';
import { type Kernel, type Kernels, onPanel, panelStart, rowParams } from '../kernels/kernel.ts';
import { listRowCall } from '../kernels/lists.ts';
import { sumRows } from '../kernels/rows.ts';
import { padded, panelsOf } from '../layout.ts';
import { isElementwise } from './emit.ts';
import { commonPlaces, eachSampleRow, forwardStores, ownOutput, rowByRow, type StatePlaces } from './forward.ts';
import { Alternating, type Args, type InferenceForm, InputProducts, Meeting, OutputLists } from './inferenceParts.ts';
import type { ForwardPlan } from './plan.ts';
import { stateOf } from './residuals.ts';
import { writeStep } from './step.ts';
import { BodyWriter, type Place, type StepContext, sampled } from './timeLoop.ts';

/** Panels that a part has at least: of fewer, meeting the others takes longer than computing them. */
const fewestPanels = 4;

/** How many parts the neurons of a sample are cut into for so many threads. */
export function partsFor({ features, step, products }: ForwardPlan, threads: number): number {
  const rowOperations = step.body.filter((e) => !isElementwise(e.prim)).length;
  // Row operations other than products need whole rows.
  if (rowOperations > products.length) return 1;
  return Math.max(1, Math.min(threads, Math.floor(panelsOf(features).count / fewestPanels)));
}

/** Room for the list of one row. */
export const listBytes = (features: number): number => spanBytes + padded(features) * eventBytes;

/** Arrays of one row per sample, by the parameters that they are given to. */
interface RowArrays {
  /** Initial states, and their products where they are given. */
  readonly initial: readonly string[];
  /** Whose rows parts read as a whole. */
  readonly shared: readonly string[];
  /** Of which each part has its own, apart from those of others: neither fetches what the other writes. */
  readonly own: readonly string[];
  /** The same for products of inputs, with a row for each step of a tile. */
  readonly tiles: readonly string[];
}

export function rowArrays(plan: ForwardPlan, form: InferenceForm): RowArrays {
  const { states } = plan.step;
  const listed = new Set(plan.products.filter((p) => !isListed(plan, form, p.vector)).map((p) => p.vector));
  const isWhole = (i: number) =>
    [states[i].before, states[i].after].some((v) => listed.has(v as Var)) ||
    (i === outputState(plan) && isReadWhole(plan, form));
  const pair = (name: string) => [`${name}A`, `${name}B`];
  const stateNames = (whole: boolean) => states.flatMap((_, i) => (isWhole(i) === whole ? pair(`state${i}`) : []));
  const scratchNames = (whole: boolean) =>
    scratchOf(plan).flatMap((v) => (listed.has(v) === whole ? [`scratch${v.id}`] : []));
  const isOutputWhole = isReadWhole(plan, form) || listed.has(plan.step.output as Var);
  const outputNames = (whole: boolean) =>
    ownOutput(plan) && form.lists && isOutputWhole === whole ? pair('output') : [];
  return {
    initial: [...states.map((_, i) => `state${i}`), ...[...form.firstGiven].map((id) => `first${id}`)],
    shared: [...stateNames(true), ...outputNames(true), ...scratchNames(true)],
    own: [...stateNames(false), ...outputNames(false), ...scratchNames(false)],
    tiles: form.products.flatMap((is, i) => (is ? [`input${i}`] : [])),
  };
}

const scratchOf = (plan: ForwardPlan): Var[] => [...plan.inferenceScratch, ...(plan.copies as Var[])];

/** Whether a variable is the output of the step before, and listed. */
const isListed = (plan: ForwardPlan, form: InferenceForm, v: Atom): boolean =>
  form.lists && plan.step.states[outputState(plan)]?.before === v;

/** Whether lists of the output are made from its whole rows; of spikes bits say all. */
const isReadWhole = ({ step }: ForwardPlan, form: InferenceForm): boolean => form.lists && step.outputSet !== 'spike';

function paramsOf(plan: ForwardPlan, form: InferenceForm): string[] {
  const arrays = rowArrays(plan, form);
  return [
    ...['rows', 'sampleRows', 'parts', 'meetings', 'ownList', 'ownBytes', 'tile', 'rowBytes'],
    ...form.products.flatMap((is, i) => (is ? [`weights${i}`, `spans${i}`] : [`input${i}`])),
    ...plan.affine.flatMap((affine, i) => (affine ? [`mean${i}`, `scale${i}`, `bias${i}`] : [])),
    ...plan.once.map((v) => `once${v.id}`),
    ...[...arrays.initial, ...arrays.shared, ...arrays.own, ...arrays.tiles],
    ...(form.lists ? ['events', 'spans', 'bits'] : ['sequence']),
    ...rowParams,
  ];
}

/**
 * All time steps of a chunk of samples, for some of the neurons (item `chunk * parts + part`). Of all values the output alone
 * is kept. The parts of a chunk meet after every step, and then see what the others have computed. States, and what is listed,
 * alternate between two arrays: a part may be a step ahead of one that still reads.
 */
export function inferenceKernel(k: Kernels, name: string, plan: ForwardPlan, form: InferenceForm): Kernel {
  const { step, features } = plan;
  return k.kernel(`inference_${name}`, paramsOf(plan, form), (f, item, args) => {
    const a = args as Args;
    const part = f.let('part', remU(item, a.parts));
    const chunk = f.let('chunk', divU(item, a.parts));
    const { own, tiles } = rowArrays(plan, form);
    for (const name of own) f.set(a[name], add(a[name], mul(part, a.ownBytes)));
    for (const name of tiles) f.set(a[name], add(a[name], mul(part, mul(a.tile, a.ownBytes))));
    const { count } = panelsOf(features);
    const panels = {
      first: f.let('first', divU(mul(part, count), a.parts)),
      end: f.let('end', divU(mul(add(part, 1), count), a.parts)),
    };
    const pairs = new Alternating(f);
    const states = step.states.map((_, i) => pairs.add(a[`state${i}A`], a[`state${i}B`], a[`state${i}`]));
    const output = outputOf(plan, form, a, states, pairs);
    const places = placesOf(plan, form, a, states, output);
    const copies = new Map<Atom, Place>(plan.copies.map((v) => [v, sampled(a[`scratch${(v as Var).id}`])]));
    const writer = new BodyWriter(f, features, a, places);
    const meeting = new Meeting(k, f, a, chunk, part);
    const inputs = new InputProducts(k, writer, a, form);
    const lists = form.lists ? new OutputLists(k, writer, a, { item, part, chunk }, pairs) : null;
    const ownList = f.let('own', add(a.ownList, mul(item, listBytes(features))));

    const operand = (atom: Atom) => (copies.get(atom) ?? writer.placeOf(atom)) as Place;
    const rowOperation = (eqn: Eqn, c: StepContext) => {
      const target = writer.placeOf(eqn.out) as Place;
      if (eqn.prim !== 'matvec') return rowByRow(k, writer, c, eqn, eqn.args.map(operand), target);
      const [matrix, vector] = eqn.args;
      const multiply = () => {
        if (lists && isListed(plan, form, vector)) lists.multiply(c, operand(matrix).base, target);
        else
          listAndMultiply(k, writer, c, {
            matrix: operand(matrix).base,
            source: operand(vector),
            target,
            list: ownList,
          });
      };
      if (step.body.some((e) => e.out === vector) || copies.has(vector)) meeting.write();
      if (form.firstGiven.has(eqn.out.id))
        f.if(c.t, multiply, () => copyRows(writer, c, a[`first${eqn.out.id}`], target));
      else multiply();
    };
    const kept = new Set(step.body.flatMap((e) => (places.has(e.out.id) ? [e.out.id] : [])));
    const stores = [...forwardStores(plan, states, output, copies)];
    if (!form.lists && !ownOutput(plan)) {
      const level = plan.forward.levelOf(step.output);
      stores.push({ level, value: step.output, place: output });
    }
    const begin = (c: StepContext) => {
      pairs.start();
      const isNeeded = plan.products.some((p) => isListed(plan, form, p.vector) && !form.firstGiven.has(p.out.id));
      if (isNeeded) lists?.listRows(c, states[outputState(plan)].before, writer.rowBefore(c));
    };
    const together = form.lists || form.products.includes(true) || step.body.some((e) => !isElementwise(e.prim));
    writer.overTime(chunk, { ...panels, together }, false, { begin }, (c) => {
      inputs.multiply(c);
      writeStep(writer, plan.forward, c, stores, kept, { rowOperation });
      const readWhole = isReadWhole(plan, form);
      if (!readWhole) lists?.markSpikes(c, output);
      if (lists || plan.products.length > 0) meeting.write();
      if (readWhole) lists?.listRows(c, output, c.firstRow);
      else lists?.listSpikes(c);
      pairs.swap();
    });
  });
}

/** The state whose value after a step is the output, or -1. */
const outputState = ({ step }: ForwardPlan): number => stateOf(step, step.output);

/** Where the output of a step goes. */
function outputOf(
  plan: ForwardPlan,
  form: InferenceForm,
  a: Args,
  states: readonly StatePlaces[],
  pairs: Alternating,
): Place {
  if (!form.lists) return { base: a.sequence, at: 'row' };
  return ownOutput(plan) ? pairs.add(a.outputA, a.outputB).after : states[outputState(plan)].after;
}

function placesOf(
  plan: ForwardPlan,
  form: InferenceForm,
  a: Args,
  states: readonly StatePlaces[],
  output: Place,
): Map<number, Place> {
  const places = commonPlaces(plan, a, states, output);
  plan.step.inputs.forEach(({ variable }, i) => {
    const known = places.get(variable.id) as Place;
    if (form.products[i]) places.set(variable.id, { ...known, at: 'sample' });
  });
  for (const v of plan.inferenceScratch) places.set(v.id, sampled(a[`scratch${v.id}`]));
  return places;
}

/** The panels at hand of an array [samples, features]. */
function copyRows(writer: BodyWriter, c: StepContext, source: Local, target: Place): void {
  const { f, features } = writer;
  const from = writer.rowsOf(sampled(source), c);
  const to = writer.rowsOf(target, c);
  const panel = f.let('panel', c.firstPanel);
  f.while(lt(panel, c.endPanel), () => {
    onPanel(f, features, panel, (vectors, width) => {
      eachSampleRow(f, c, [from.row, to.row], ([fromRow, toRow]) => {
        const read = f.let('read', add(panelStart(source, panel, from.rows), mul(fromRow, width)));
        const write = f.let('write', add(panelStart(target.base, panel, to.rows), mul(toRow, width)));
        for (let i = 0; i < vectors; i++) f.do(storeV(write, loadV(read, 16 * i), 16 * i));
      });
    });
    f.set(panel, add(panel, 1));
  });
}

/** The panels at hand of M x, where x is no output: it is listed for this product. */
function listAndMultiply(
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
