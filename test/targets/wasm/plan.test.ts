import { describe, expect, it } from 'vitest';
import { planNeuron } from '../../../src/targets/wasm/neuron/plan.ts';
import { stepOf } from '../../support/steps.ts';

const spikesOf = (type: string, define = '', asBits = true) =>
  planNeuron(stepOf(type, define), 4, [false], asBits).spikes;

describe('spikes kept as bits', () => {
  it.each(['LIF', 'adLIF', 'RLIF', 'RadLIF'])('are those of %s, where bits will do', (type) => {
    const step = stepOf(type);
    expect(step.states[spikesOf(type)].name).toBe('s');
    expect(spikesOf(type, '', false)).toBe(-1);
  });

  it.each(['LI', 'GRU'])('are none of %s', (type) => {
    expect(spikesOf(type)).toBe(-1);
  });

  it('are none where the backward pass reads the spikes of the same step', () => {
    const define = `
      neuron Weighted {
        input I
        param a in [0, 1]
        state u = 0, s = 0, w = 0
        u' = 0.9 * u + I - w
        s' = spike(u' - 1, boxcar(0.5))
        w' = a * s' * u'
        output s'
      }`;
    expect(spikesOf('Weighted', define)).toBe(-1);
  });

  it('are none where something after a product still reads those of the step before', () => {
    const define = `
      neuron Late {
        input I
        recurrent V = orthogonal
        state u = 0, s = 0, w = 0
        u' = 0.9 * u + I
        s' = spike(u' - 1, boxcar(0.5))
        w' = (V @ s') * s
        output s'
      }`;
    expect(spikesOf('Late', define)).toBe(-1);
  });
});
