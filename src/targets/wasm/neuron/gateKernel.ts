import type { Var } from '../../../ir/step.ts';
import { add, and, ctz, i32, type Local, mul, shrU, splat, storeI32, sub, v } from '../assembler/expr.ts';
import { eachSample, type Kernel, type Kernels, rowParams } from '../kernels/kernel.ts';
import { eventBytes, spanBytes } from '../kernels/products.ts';
import { padded, panelsOf } from '../layout.ts';
import { emit } from './emit.ts';
import { sharedParams, sharedPlaces } from './forward.ts';
import type { NeuronPlan } from './plan.ts';
import { BodyWriter, type LoopArgs } from './timeLoop.ts';

/** Lists the neurons of every row whose cotangents matter: those where the gate is not zero. */
export function gateKernel(k: Kernels, name: string, plan: NeuronPlan): Kernel {
  const params = [...sharedParams(plan), 'events', 'spans', ...rowParams];
  return k.kernel(`gate_${name}`, params, (f, chunk, args) => {
    const a = args as Readonly<Record<string, Local>> & LoopArgs;
    const writer = new BodyWriter(f, plan.features, a, sharedPlaces(plan, a), plan.recomputed);
    const out = f.let('out', add(a.events, mul(chunk, mul(mul(a.group, a.T), padded(plan.features) * eventBytes))));
    const t = f.local('i32', 't');
    const one = f.let('one', 1);
    const { count } = panelsOf(plan.features);
    eachSample(f, a, chunk, (b) => {
      const firstRow = f.let('firstRow', mul(b, a.S));
      const span = f.let('span', add(a.spans, mul(firstRow, spanBytes)));
      // Before the first step nothing is wanted.
      f.do(storeI32(span, i32(0)));
      f.do(storeI32(span, i32(0), 4));
      f.set(firstRow, add(firstRow, a.first));
      f.set(span, add(span, mul(a.first, spanBytes)));
      f.for(t, 0, a.T, 1, () => {
        f.do(storeI32(span, out));
        writer.overNeurons(
          { t, firstSample: b, samples: one, firstRow, firstPanel: i32(0), endPanel: i32(count) },
          (o) => {
            const reader = writer.reader(o);
            for (const eqn of plan.gates.eqns) reader.define(eqn.out.id, emit(f, eqn, reader.read));
            const gate = reader.read(plan.gates.output as Var);
            const bits = f.let('bits', v.bitmask(v.ne(gate, splat(0))));
            f.while(bits, () => {
              f.do(storeI32(out, add(shrU(add(o.feature, o.shift), 2), ctz(bits))));
              f.set(out, add(out, eventBytes));
              f.set(bits, and(bits, sub(bits, 1)));
            });
          },
        );
        f.do(storeI32(span, out, 4));
        f.set(firstRow, add(firstRow, 1));
        f.set(span, add(span, spanBytes));
      });
    });
  });
}
