import type { Var } from '../../../ir/step.ts';
import { add, and, ctz, i32, type Local, loadI32, mul, splat, storeI32, sub, v } from '../assembler/expr.ts';
import { gateBytes } from '../kernels/dots.ts';
import { maskBits, spanBytes } from '../kernels/events.ts';
import { eachRow, eachSample, type Kernel, type Kernels, rowParams } from '../kernels/kernel.ts';
import { maskWord } from '../kernels/masks.ts';
import { padded, panelsOf, panelWidth } from '../layout.ts';
import { emit } from './emit.ts';
import { sharedParams, sharedPlaces } from './forward.ts';
import type { NeuronPlan } from './plan.ts';
import { BodyWriter, type LoopArgs } from './timeLoop.ts';

/**
 * Lists the neurons of every row whose cotangents matter: those where the gate is not zero. First panel by panel, as memory
 * is read fastest, a bit per neuron, as masks have them; then row by row what the bits say.
 */
export function gateKernel(k: Kernels, name: string, plan: NeuronPlan): Kernel {
  const params = [...sharedParams(plan), 'events', 'spans', 'bits', ...rowParams];
  return k.kernel(`gate_${name}`, params, (f, chunk, args) => {
    const a = args as Readonly<Record<string, Local>> & LoopArgs;
    const writer = new BodyWriter(f, plan.features, a, sharedPlaces(plan, a), plan.recomputed);
    const out = f.let('out', add(a.events, mul(chunk, mul(mul(a.group, a.T), padded(plan.features) * gateBytes))));
    // Before the first step nothing is wanted.
    eachSample(f, a, chunk, i32(-1), (row) => {
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      f.do(storeI32(span, out));
      f.do(storeI32(span, out, 4));
    });
    const panel = f.local('i32', 'panel');
    const panels = i32(panelsOf(plan.features).count);
    f.for(panel, 0, panels, 1, () => {
      eachRow(f, a, chunk, (row, b) => {
        writer.inPanel(panel, b, row, (vectors) => {
          const open = vectors.map((o) => {
            const reader = writer.reader(o);
            for (const eqn of plan.gates.eqns) reader.define(eqn.out.id, emit(f, eqn, reader.read));
            return v.ne(reader.read(plan.gates.output as Var), splat(0));
          });
          f.do(storeI32(maskWord(a.bits, panel, a.rows, row), maskBits(open)));
        });
      });
    });
    eachRow(f, a, chunk, (row) => {
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      f.do(storeI32(span, out));
      f.for(panel, 0, panels, 1, () => {
        const bits = f.let('bits', loadI32(maskWord(a.bits, panel, a.rows, row)));
        f.while(bits, () => {
          f.do(storeI32(out, add(mul(panel, panelWidth), ctz(bits))));
          f.set(out, add(out, gateBytes));
          f.set(bits, and(bits, sub(bits, 1)));
        });
      });
      f.do(storeI32(span, out, 4));
    });
  });
}
