import type { Atom, Eqn } from '../../../ir/step.ts';
import { add, i32, type Local, mul, splat, v, zeroFill } from '../assembler/expr.ts';
import { call } from '../assembler/func.ts';
import { denseDots, gatedDots, scratchBytes } from '../kernels/dots.ts';
import { type Kernel, type Kernels, rowParams } from '../kernels/kernel.ts';
import { padded } from '../layout.ts';
import { rowByRow, sharedParams, sharedPlaces } from './forward.ts';
import type { NeuronPlan } from './plan.ts';
import { type Store, writeStep } from './step.ts';
import { allPanels, BodyWriter, type LoopArgs, type Place, type StepContext, sampled } from './timeLoop.ts';

type Named = Readonly<Record<string, Local>>;

/** Sequences that the backward pass writes: cotangents of the inputs, and left operands of outer products. */
export function backwardSequences(plan: NeuronPlan): string[] {
  return [...new Set([...plan.adjoint.inputs.map((_, i) => `dInput${i}`), ...plan.outers.map((o) => o.left)])];
}

/** Arrays beside `carried` for what cannot be written in the place of what is still read. */
export const otherCarried = ({ carriedInPlace }: NeuronPlan): string[] =>
  carriedInPlace.flatMap((inPlace, i) => (inPlace ? [] : [`carriedToo${i}`]));

/** Inputs that are normalised on reading: batchnorm's gradient is made of sums over their cotangents. */
export const affineInputs = ({ affine }: NeuronPlan): number[] => affine.flatMap((is, i) => (is ? [i] : []));

/**
 * All time steps of a chunk, the last one first: from the cotangent of the output to those of the inputs, and per chunk
 * the sums that the parameters' gradients are made of, [chunks, sums, features], and for each normalised input those of
 * its cotangent, and of the cotangent times (input - mean), [chunks, 2, features].
 */
export function backwardKernel(k: Kernels, name: string, plan: NeuronPlan): Kernel {
  const { adjoint, features } = plan;
  const params = [
    ...sharedParams(plan),
    'dOutput',
    ...backwardSequences(plan),
    ...adjoint.states.map((_, i) => `carried${i}`),
    ...otherCarried(plan),
    ...plan.backwardScratch.map((v) => `scratch${v.id}`),
    ...(adjoint.sums.length > 0 ? ['sums'] : []),
    ...affineInputs(plan).map((i) => `inputSums${i}`),
    ...(plan.gates.products.size > 0 ? ['gates', 'dotScratch'] : []),
    ...rowParams,
  ];
  return k.kernel(`backward_${name}`, params, (f, chunk, args) => {
    const a = args as Named & LoopArgs;
    const now = adjoint.states.map((_, i) => a[`carried${i}`]);
    const next = adjoint.states.map((_, i) => (plan.carriedInPlace[i] ? now[i] : a[`carriedToo${i}`]));
    const places = sharedPlaces(plan, a, 'initial');
    places.set(adjoint.outputCotangent.id, { base: a.dOutput, at: 'row' });
    adjoint.states.forEach((s, i) => void places.set(s.after.id, { base: now[i], at: 'sample' }));
    for (const v of plan.backwardScratch) places.set(v.id, { base: a[`scratch${v.id}`], at: 'sample' });
    const inAdjoint = (atom: Atom) => adjoint.body.some((e) => e.out === atom);
    adjoint.outers.forEach((o, n) => {
      if (o.left.kind === 'var' && inAdjoint(o.left))
        places.set(o.left.id, { base: a[plan.outers[n].left], at: 'row' });
    });
    const writer = new BodyWriter(f, features, a, places, plan);
    const size = padded(features) * 4;
    const zeroed = (base: Local, kinds: number) => {
      const own = f.let('chunkSums', add(base, mul(chunk, kinds * size)));
      f.do(zeroFill(own, i32(kinds * size)));
      return own;
    };
    const sums = adjoint.sums.length > 0 ? zeroed(a.sums, adjoint.sums.length) : null;
    const inputSums = new Map(affineInputs(plan).map((i) => [i, zeroed(a[`inputSums${i}`], 2)]));
    const begin = (c: StepContext) => {
      writer.overNeurons(c, (o) => {
        for (const base of now) writer.store({ base, at: 'sample' }, splat(0), o);
        return [];
      });
    };
    /** What decays started from. */
    const end = (c: StepContext) => {
      if (!sums) return;
      writer.overNeurons(c, (o) => {
        for (const { state, sum, carried } of plan.decays) {
          const started = [a[`initial${state}`], now[carried]].map((base) => writer.raw(sampled(base), o));
          writer.accumulate(sums, sum * size, v.mul(started[0], started[1]), o);
        }
        return [];
      });
    };
    const scratch =
      plan.gates.products.size > 0 ? f.let('scratch', add(a.dotScratch, mul(chunk, scratchBytes(features)))) : null;
    const rowOperation = (eqn: Eqn, c: StepContext) => {
      const state = plan.accumulated.get(eqn.out.id);
      const target = state === undefined ? (writer.placeOf(eqn.out) as Place) : sampled(next[state]);
      if (eqn.prim === 'matvecTransposed') {
        const [matrix, d] = eqn.args.map((x) => writer.placeOf(x) as Place);
        const from = writer.rowsOf(d, c);
        const to = writer.rowsOf(target, c);
        const rows = [
          c.samples,
          matrix.base,
          d.base,
          from.rows,
          from.row,
          target.base,
          to.rows,
          to.row,
          state === undefined ? 0 : 1,
        ];
        if (!plan.gates.products.has(eqn.out.id)) f.do(call(denseDots(k, features, features), rows));
        else f.do(call(gatedDots(k, features, features, null), [...rows, a.gates, writer.rowBefore(c), scratch!]));
      } else
        rowByRow(
          k,
          writer,
          c,
          eqn,
          eqn.args.map((x) => writer.placeOf(x) as Place),
          target,
        );
    };
    const kept = new Set(adjoint.body.flatMap((e) => (places.has(e.out.id) ? [e.out.id] : [])));
    const stores = backwardStores(plan, a, next, places);
    const summed = [
      ...adjoint.sums.map((s) => s.value),
      ...[...inputSums.keys()].map((i) => adjoint.inputs[i].cotangent),
    ];
    const alsoAt = new Set(summed.map(plan.backward.levelOf));
    writer.overTime(chunk, allPanels(features, plan.backward), true, { begin, end }, (c) => {
      writeStep(writer, plan.backward, c, stores, kept, {
        rowOperation,
        alsoAt,
        also: (level, o, reader) => {
          const here = (value: Atom) => plan.backward.levelOf(value) === level;
          adjoint.sums.forEach((s, i) => {
            if (sums && here(s.value)) writer.accumulate(sums, i * size, reader.read(s.value), o);
          });
          for (const [i, own] of inputSums) {
            const { cotangent } = adjoint.inputs[i];
            if (!here(cotangent)) continue;
            const d = reader.read(cotangent);
            const centered = writer.centered(writer.placeOf(plan.step.inputs[i].variable) as Place, o);
            writer.accumulate(own, 0, d, o);
            writer.accumulate(own, size, v.mul(d, centered), o);
          }
        },
      });
      now.forEach((base, i) => {
        if (plan.carriedInPlace[i]) return;
        const swapped = f.let('swapped', base);
        f.set(base, next[i]);
        f.set(next[i], swapped);
      });
    });
  });
}

function backwardStores(
  plan: NeuronPlan,
  a: Named,
  next: readonly Local[],
  places: ReadonlyMap<number, Place>,
): Store[] {
  const { adjoint, backward } = plan;
  const store = (value: Atom, place: Place): Store => ({ level: backward.levelOf(value), value, place });
  const stores = adjoint.states.map((s, i) => store(s.before, { base: next[i], at: 'sample' }));
  const isAt = (value: Atom, base: Local) => value.kind === 'var' && places.get(value.id)?.base === base;
  adjoint.inputs.forEach(({ cotangent }, i) => {
    const base = a[`dInput${i}`];
    if (!isAt(cotangent, base)) stores.push(store(cotangent, { base, at: 'row' }));
  });
  adjoint.outers.forEach((o, n) => {
    const base = a[plan.outers[n].left];
    if (!isAt(o.left, base)) stores.push(store(o.left, { base, at: 'row' }));
  });
  return stores;
}
