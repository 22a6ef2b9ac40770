import { expect, it } from 'vitest';
import type { Step } from '../../../src/ir/step.ts';
import { recalled } from '../../../src/targets/wasm/neuron/recall.ts';
import { stepOf } from '../../support/steps.ts';

const before = (step: Step, name: string) => step.states.find((s) => s.name === name)!.before;

it.each(['LIF', 'adLIF', 'RLIF', 'RadLIF'])('recalls the spikes of %s from the potential', (type) => {
  const step = stepOf(type);
  const [distance, spike] = recalled(step);
  expect(recalled(step)).toHaveLength(2);
  expect(distance).toMatchObject({ prim: 'sub', args: [before(step, 'u'), { kind: 'lit', value: 1 }] });
  expect(spike).toMatchObject({ prim: 'spike', args: [distance.out], out: before(step, 's') });
});

it.each(['LI', 'GRU'])('recalls nothing of %s, which has no spikes', (type) => {
  expect(recalled(stepOf(type))).toEqual([]);
});

it('recalls no spikes of a potential that the same step resets', () => {
  const define = `
    neuron Reset {
      input I
      param alpha in [0.8, 0.96]
      state u = 0, s = 0
      let v = alpha * u + I
      s' = spike(v - 1, boxcar(0.5))
      u' = v - s'
      output s'
    }`;
  expect(recalled(stepOf('Reset', define))).toEqual([]);
});

it('recalls no spikes of an input or of other spikes before', () => {
  const define = `
    neuron Delayed {
      input I
      state u = 0, s = 0, r = 0
      r' = spike(s + u - 0.5, boxcar(0.5))
      u' = 0.5 * u + I
      s' = spike(u' + I - 1, boxcar(0.5))
      output s'
    }`;
  expect(recalled(stepOf('Delayed', define))).toEqual([]);
});
