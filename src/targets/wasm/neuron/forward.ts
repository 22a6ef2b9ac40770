import type { Atom, Eqn, Var } from '../../../ir/step.ts';
import { add, type Expr, i32, type Local, lt, mul, splat, sub, v } from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { eventBytes, type Listed, spanBytes } from '../kernels/events.ts';
import { gather } from '../kernels/gather.ts';
import { type Kernel, type Kernels, rowParams } from '../kernels/kernel.ts';
import { listRows } from '../kernels/lists.ts';
import { maskWord } from '../kernels/masks.ts';
import { softmaxAdjointRow, softmaxRow } from '../kernels/softmax.ts';
import { listSpikeRow } from '../kernels/spikes.ts';
import { padded, panelsOf } from '../layout.ts';
import { emit } from './emit.ts';
import type { ForwardPlan, NeuronPlan } from './plan.ts';
import { stateOf } from './residuals.ts';
import { type Bits, type Store, writeStep } from './step.ts';
import {
  allPanels,
  BodyWriter,
  type LoopArgs,
  type Place,
  type Reader,
  type StepContext,
  sampled,
} from './timeLoop.ts';

type Named = Readonly<Record<string, Local>>;

/** Arguments that say where the forward pass left what both passes read. */
export function sharedParams(plan: NeuronPlan): string[] {
  return [
    'rows',
    'sampleRows',
    ...plan.step.inputs.map((_, i) => `input${i}`),
    ...plan.affine.flatMap((affine, i) => (affine ? [`mean${i}`, `scale${i}`, `bias${i}`] : [])),
    ...plan.step.states.map((_, i) => stateName(plan, i)),
    ...plan.kept.map((v) => `kept${v.id}`),
    ...plan.once.map((v) => `once${v.id}`),
    ...(ownOutput(plan) ? ['output'] : []),
  ];
}

/** A state's sequence, or its values before the first step where it is not kept. */
export const stateName = ({ passing }: NeuronPlan, i: number): string =>
  passing.includes(i) ? `initial${i}` : `state${i}`;

/** Whether the output is no state and so has a sequence of its own. */
export const ownOutput = ({ step }: ForwardPlan): boolean => stateOf(step, step.output) < 0;

/** Where the values of the forward pass lie; those of states that are not kept lie in rows per sample of this name. */
export function sharedPlaces(plan: NeuronPlan, a: Named, passing: 'initial' | 'now'): Map<number, Place> {
  const places = commonPlaces(plan, a, statesOf(plan, a, passing), { base: a.output, at: 'row' });
  for (const { id } of plan.kept) places.set(id, { base: a[`kept${id}`], at: 'row' });
  return places;
}

/** Where a state lies before and after a step. */
export interface StatePlaces {
  readonly before: Place;
  readonly after: Place;
}

function statesOf(plan: NeuronPlan, a: Named, passing: 'initial' | 'now'): StatePlaces[] {
  return plan.step.states.map((_, i) => {
    if (plan.passing.includes(i)) {
      const place = sampled(a[`${passing}${i}`]);
      return { before: place, after: place };
    }
    const base = a[`state${i}`];
    return { before: { base, at: 'previous' }, after: { base, at: 'row' } };
  });
}

/** Where inputs, parameters, states and the output lie. */
export function commonPlaces(
  plan: ForwardPlan,
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
  for (const { id, type } of plan.once) {
    places.set(id, { base: a[`once${id}`], at: type.extent === 'scalar' ? 'scalar' : 'features' });
  }
  return places;
}

const isBody = ({ step }: ForwardPlan, atom: Atom): boolean => step.body.some((e) => e.out === atom);

/** All time steps of a chunk of samples. */
export function forwardKernel(k: Kernels, name: string, plan: NeuronPlan): Kernel {
  const { step, features } = plan;
  const scratch = [...plan.forwardScratch, ...plan.copies].map((v) => `scratch${(v as { id: number }).id}`);
  const products = plan.operands.flatMap((_, i) => [`events${i}`, `spans${i}`]);
  const params = [
    ...sharedParams(plan),
    ...scratch,
    ...products,
    ...(plan.gates.output ? ['gates'] : []),
    ...(plan.spikes < 0 ? [] : ['spikes']),
    ...plan.passing.map((i) => `now${i}`),
    ...rowParams,
  ];
  return k.kernel(`forward_${name}`, params, (f, chunk, args) => {
    const a = args as Named & LoopArgs;
    const places = sharedPlaces(plan, a, 'now');
    for (const v of plan.forwardScratch) places.set(v.id, { base: a[`scratch${v.id}`], at: 'sample' });
    const writer = new BodyWriter(f, features, a, places);
    const operands = new Map<Atom, Place>(
      plan.copies.map((v) => [v, { base: a[`scratch${(v as { id: number }).id}`], at: 'sample' }]),
    );
    const operandPlace = (atom: Atom) => (operands.get(atom) ?? writer.placeOf(atom)) as Place;
    const events = plan.operands.map((_, i) => f.let('events', a[`events${i}`]));
    const rowOperation = (eqn: Eqn, c: StepContext) => {
      const target = writer.placeOf(eqn.out) as Place;
      if (eqn.prim === 'matvec') {
        const n = plan.operands.findIndex(({ vector }) => vector === eqn.args[1]);
        const listed = { features, real: plan.operands[n].real };
        const lists = { events: events[n], spans: a[`spans${n}`] };
        const isFirst = plan.products.find(({ vector }) => vector === eqn.args[1])?.out === eqn.out;
        const fromNumbers = () => listOperand(k, writer, c, listed, operandPlace(eqn.args[1]), lists);
        const isSpikes = eqn.args[1] === step.states[plan.spikes]?.before;
        if (isFirst && isSpikes) f.if(c.t, () => listSpikes(k, writer, c, a.spikes, lists), fromNumbers);
        else if (isFirst) fromNumbers();
        const matrix = (writer.placeOf(eqn.args[0]) as Place).base;
        const to = writer.rowsOf(target, c);
        const panel = f.local('i32', 'panel');
        f.for(panel, 0, i32(panelsOf(features).count), 1, () => {
          const rows = [target.base, to.rows, to.row, lists.spans, c.firstRow];
          f.do(call(gather(k, features, listed), [panel, c.samples, matrix, ...rows]));
        });
      } else rowByRow(k, writer, c, eqn, eqn.args.map(operandPlace), target);
    };
    const stride = padded(features) * eventBytes;
    for (const e of events) f.set(e, add(e, mul(chunk, mul(mul(a.group, a.T), stride))));
    const kept = new Set(step.body.flatMap((e) => (places.has(e.out.id) ? [e.out.id] : [])));
    const stores = forwardStores(plan, statesOf(plan, a, 'now'), { base: a.output, at: 'row' }, operands);
    for (const i of plan.passing) {
      const { after } = step.states[i];
      // They take the place of those of the step before, which may still be read. A kept state may have the same value.
      if (stateOf(step, after) === i) kept.delete((after as Var).id);
      stores.push({ level: plan.forward.levelOf(after), value: after, place: sampled(a[`now${i}`]) });
    }
    const begin = (c: StepContext) => {
      for (const i of plan.passing) copyRows(writer, c, a[`initial${i}`], a[`now${i}`]);
    };
    const bits = [...gateBits(f, plan, a), ...spikeBits(plan, a)];
    writer.overTime(chunk, allPanels(features, plan.forward), false, { begin }, (c) =>
      writeStep(writer, plan.forward, c, stores, kept, { rowOperation, bits }),
    );
  });
}

/** Which neurons' cotangents will matter: those where the gate is not zero. */
function gateBits(f: Func, plan: NeuronPlan, a: Named): Bits[] {
  const { output, eqns } = plan.gates;
  if (!output) return [];
  const lanes = (reader: Reader) => {
    for (const eqn of eqns) reader.define(eqn.out.id, emit(f, eqn, reader.read));
    return v.ne(reader.read(output), splat(0));
  };
  return [{ level: Math.max(...eqns.flatMap((e) => e.args).map(plan.forward.levelOf)), base: a.gates, lanes }];
}

function spikeBits({ step: { output }, spikes, forward }: NeuronPlan, a: Named): Bits[] {
  if (spikes < 0) return [];
  const lanes = (reader: Reader) => v.ne(reader.read(output), splat(0));
  return [{ level: forward.levelOf(output), base: a.spikes, lanes }];
}

/** The samples' rows of one array into another. */
function copyRows(writer: BodyWriter, c: StepContext, from: Local, to: Local): void {
  writer.overNeurons(c, (offsets) => {
    writer.store(sampled(to), writer.raw(sampled(from), offsets), offsets);
    return [];
  });
}

/** What is stored besides the variables that have a place: copies, and states and outputs that are no variable of their own. */
export function forwardStores(
  plan: ForwardPlan,
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

/** Lists the operand of recurrent products for the samples of a chunk at one step, for the products and the gradients. */
function listOperand(
  k: Kernels,
  writer: BodyWriter,
  c: StepContext,
  listed: Listed,
  source: Place,
  lists: { readonly events: Local; readonly spans: Expr },
): void {
  const { row, rows } = writer.rowsOf(source, c);
  const span = add(lists.spans, mul(c.firstRow, spanBytes));
  listRows(k, writer.f, listed, null, { source: source.base, rows, row, n: c.samples, out: lists.events, span });
}

/** The same from the bits of the step before. */
function listSpikes(
  k: Kernels,
  writer: BodyWriter,
  c: StepContext,
  spikes: Expr,
  { events, spans }: { readonly events: Local; readonly spans: Expr },
): void {
  const { f, features } = writer;
  eachSampleRow(f, c, [writer.rowBefore(c), c.firstRow], ([before, row]) => {
    const word = maskWord(spikes, i32(0), writer.rows, before);
    const span = add(spans, mul(row, spanBytes));
    f.set(events, call(listSpikeRow(k, features, null), [word, writer.rows, events, span]));
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
