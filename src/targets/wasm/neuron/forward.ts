import type { Atom, Eqn } from '../../../ir/step.ts';
import { add, type Expr, i32, type Local, lt, mul, sub } from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { eventBytes, listRowCall, spanBytes } from '../kernels/events.ts';
import { gather } from '../kernels/gather.ts';
import { type Kernel, type Kernels, rowParams } from '../kernels/kernel.ts';
import { softmaxAdjointRow, softmaxRow } from '../kernels/softmax.ts';
import { matrixRows, padded, panelsOf } from '../layout.ts';
import { type NeuronPlan, stateOf } from './plan.ts';
import {
  allPanels,
  BodyWriter,
  type LoopArgs,
  type Place,
  type StepContext,
  type Store,
  writeStep,
} from './timeLoop.ts';

type Named = Readonly<Record<string, Local>>;

/** Arguments that say where the forward pass left what both passes read. */
export function sharedParams(plan: NeuronPlan): string[] {
  return [
    'rows',
    'sampleRows',
    ...plan.step.inputs.map((_, i) => `input${i}`),
    ...plan.affine.flatMap((affine, i) => (affine ? [`mean${i}`, `scale${i}`, `bias${i}`] : [])),
    ...plan.step.states.map((_, i) => `state${i}`),
    ...plan.kept.map((v) => `kept${v.id}`),
    ...plan.once.map((v) => `once${v.id}`),
    ...(ownOutput(plan) ? ['output'] : []),
  ];
}

/** Whether the output is no state and so has a sequence of its own. */
export const ownOutput = ({ step }: NeuronPlan): boolean => stateOf(step, step.output) < 0;

/** Where the values of the forward pass lie. */
export function sharedPlaces(plan: NeuronPlan, a: Named): Map<number, Place> {
  const places = commonPlaces(plan, a, statesOf(plan, a), { base: a.output, at: 'row' });
  for (const v of plan.kept) places.set(v.id, { base: a[`kept${v.id}`], at: 'row' });
  return places;
}

/** Where a state lies before and after a step. */
export interface StatePlaces {
  readonly before: Place;
  readonly after: Place;
}

/** States in sequences. */
function statesOf(plan: NeuronPlan, a: Named): StatePlaces[] {
  return plan.step.states.map((_, i) => {
    const base = a[`state${i}`];
    return { before: { base, at: 'previous' }, after: { base, at: 'row' } };
  });
}

/** Where inputs, parameters, states and the output lie. */
export function commonPlaces(
  plan: NeuronPlan,
  a: Named,
  states: readonly StatePlaces[],
  output: Place,
): Map<number, Place> {
  const { step } = plan;
  const places = new Map<number, Place>();
  if (ownOutput(plan) && step.output.kind === 'var' && isBody(plan, step.output)) places.set(step.output.id, output);
  step.states.forEach((s, i) => {
    places.set(s.before.id, states[i].before);
    if (s.after.kind === 'var' && stateOf(step, s.after) === i && isBody(plan, s.after)) {
      places.set(s.after.id, states[i].after);
    }
  });
  step.inputs.forEach(({ variable }, i) => {
    const affine = plan.affine[i] ? { mean: a[`mean${i}`], scale: a[`scale${i}`], bias: a[`bias${i}`] } : undefined;
    places.set(variable.id, { base: a[`input${i}`], at: 'row', affine });
  });
  for (const v of plan.once) {
    places.set(v.id, { base: a[`once${v.id}`], at: v.type.extent === 'scalar' ? 'scalar' : 'features' });
  }
  return places;
}

const isBody = ({ step }: NeuronPlan, atom: Atom): boolean => step.body.some((e) => e.out === atom);

/** All time steps of a chunk of samples. */
export function forwardKernel(k: Kernels, name: string, plan: NeuronPlan): Kernel {
  const { step, features } = plan;
  const scratch = [...plan.forwardScratch, ...plan.copies].map((v) => `scratch${(v as { id: number }).id}`);
  const products = plan.products.flatMap((_, i) => [`events${i}`, `spans${i}`]);
  const params = [...sharedParams(plan), ...scratch, ...products, ...rowParams];
  return k.kernel(`forward_${name}`, params, (f, chunk, args) => {
    const a = args as Named & LoopArgs;
    const places = sharedPlaces(plan, a);
    for (const v of plan.forwardScratch) places.set(v.id, { base: a[`scratch${v.id}`], at: 'sample' });
    const writer = new BodyWriter(f, features, a, places);
    const operands = new Map<Atom, Place>(
      plan.copies.map((v) => [v, { base: a[`scratch${(v as { id: number }).id}`], at: 'sample' }]),
    );
    const operandPlace = (atom: Atom) => (operands.get(atom) ?? writer.placeOf(atom)) as Place;
    const events = plan.products.map((_, i) => f.let('events', a[`events${i}`]));
    const rowOperation = (eqn: Eqn, c: StepContext) => {
      const target = writer.placeOf(eqn.out) as Place;
      if (eqn.prim === 'matvec') {
        const n = plan.products.findIndex((p) => p.out === eqn.out);
        const matrix = (writer.placeOf(eqn.args[0]) as Place).base;
        recurrentProduct(k, writer, c, {
          matrix,
          source: operandPlace(eqn.args[1]),
          target,
          events: events[n],
          spans: a[`spans${n}`],
        });
      } else rowByRow(k, writer, c, eqn, eqn.args.map(operandPlace), target);
    };
    const stride = padded(features) * eventBytes;
    for (const e of events) f.set(e, add(e, mul(chunk, mul(mul(a.group, a.T), stride))));
    const kept = new Set(step.body.flatMap((e) => (places.has(e.out.id) ? [e.out.id] : [])));
    const stores = forwardStores(plan, statesOf(plan, a), { base: a.output, at: 'row' }, operands);
    writer.overTime(chunk, allPanels(features, plan.forward), false, null, (c) =>
      writeStep(writer, plan.forward, c, stores, kept, { rowOperation }),
    );
  });
}

/** What is stored besides the variables that have a place: copies, and states and outputs that are no variable of their own. */
export function forwardStores(
  plan: NeuronPlan,
  states: readonly StatePlaces[],
  output: Place,
  copies: ReadonlyMap<Atom, Place>,
): Store[] {
  const { step, forward } = plan;
  const stores: Store[] = [...copies].map(([value, place]) => ({ level: 0, value, place }));
  step.states.forEach(({ after }, i) => {
    if (isBody(plan, after) && stateOf(step, after) === i) return;
    stores.push({ level: forward.levelOf(after), value: after, place: states[i].after });
  });
  if (ownOutput(plan) && !isBody(plan, step.output)) {
    stores.push({ level: forward.levelOf(step.output), value: step.output, place: output });
  }
  return stores;
}

/** y = M x for the samples of a chunk at one step; x is listed first, and stays so for the gradient of M. */
function recurrentProduct(
  k: Kernels,
  writer: BodyWriter,
  c: StepContext,
  p: { matrix: Expr; source: Place; target: Place; events: Local; spans: Expr },
): void {
  const { f, features } = writer;
  const from = writer.rowsOf(p.source, c);
  const to = writer.rowsOf(p.target, c);
  eachSampleRow(f, c, [from.row, c.firstRow], ([source, row]) => {
    const span = add(p.spans, mul(row, spanBytes));
    f.set(p.events, listRowCall(k, features, [p.source.base, from.rows, source, p.events, span]));
  });
  const panel = f.local('i32', 'panel');
  f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
    const rows = [matrixRows(features), p.target.base, to.rows, to.row, p.spans, c.firstRow];
    f.do(call(gather(k, features), [panel, c.samples, p.matrix, ...rows]));
  });
}

/** Walks rows of several arrays along the samples of a chunk. */
export function eachSampleRow(
  f: Func,
  c: StepContext,
  first: readonly Expr[],
  body: (rows: readonly Local[]) => void,
): void {
  const rows = first.map((row) => f.let('row', row));
  const n = f.let('n', c.samples);
  f.while(lt(0, n), () => {
    body(rows);
    for (const row of rows) f.set(row, add(row, 1));
    f.set(n, sub(n, 1));
  });
}

/** Softmax and its adjoint, sample by sample. */
export function rowByRow(
  k: Kernels,
  writer: BodyWriter,
  c: StepContext,
  eqn: Eqn,
  operands: readonly Place[],
  target: Place,
): void {
  const places = [...operands, target];
  const at = places.map((p) => writer.rowsOf(p, c));
  const func = eqn.prim === 'softmax' ? softmaxRow(k, writer.features) : softmaxAdjointRow(k, writer.features);
  eachSampleRow(
    writer.f,
    c,
    at.map((a) => a.row),
    (rows) => {
      writer.f.do(
        call(
          func,
          places.flatMap((p, i) => [p.base, at[i].rows, rows[i]]),
        ),
      );
    },
  );
}
