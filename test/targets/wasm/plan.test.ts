import { describe, expect, it } from 'vitest';
import { planNeuron } from '../../../src/targets/wasm/neuron/plan.ts';
import { expectGradientsOfInterpreter } from '../../support/gradients.ts';
import { graphOf, randomBatch } from '../../support/graphs.ts';
import { stepOf } from '../../support/steps.ts';

const spikesOf = (type: string, define = '', asBits = true) =>
  planNeuron(stepOf(type, define), 4, [false], asBits).spikes;

/** The gradient of `a` is made of u' - s'. */
const distance = `
  neuron Distance {
    input I
    param a in [0.2, 0.4]
    state u = uniform(0, 1), s = uniform(0, 1), w = uniform(0, 1)
    u' = 0.9 * u + I - w
    s' = spike(u' - 1, arctan(2))
    w' = 0.8 * w + a * (u' - s')
    output s'
  }`;

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

  it('are none where the backward pass computes something of the spikes of the same step', () => {
    expect(spikesOf('Distance', distance)).toBe(-1);
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

describe('states of which only the latest value is needed', () => {
  const passingOf = (type: string, define = '') => {
    const step = stepOf(type, define);
    return planNeuron(step, 4, [false], true).passing.map((i) => step.states[i].name);
  };

  it('are those that the backward pass does not read', () => {
    expect(passingOf('Distance', distance)).toEqual(['w']);
    expect(passingOf('LIF')).toEqual(['s']);
    expect(passingOf('LI')).toEqual([]);
  });

  it('are none that are still read once the next value is known', () => {
    const define = `
      neuron Late {
        input I
        state w = 0, x = 0
        w' = 0.8 * w + I
        x' = 0.5 * x + softmax(w') - w
        output x'
      }`;
    expect(passingOf('Late', define)).toEqual([]);
  });

  it('are none that others are recalled from', () => {
    const define = `
      neuron Straight {
        input I
        param b in [0, 1]
        state u = 0, s = 0
        u' = 0.9 * u + I - b * s
        s' = spike(u' - 1, straight_through)
        output s'
      }`;
    expect(passingOf('Straight', define)).toEqual(['s']);
  });

  const copies = `
    neuron Copies {
      input I
      param a in [0.2, 0.4]
      state u = uniform(0, 1), v = uniform(0, 1), w = uniform(0, 1), x = uniform(0, 1)
      x' = w
      w' = 0.8 * w + I - v
      v' = w'
      u' = 0.9 * u + a * x
      output u'
    }`;

  /** v is kept, for a, and has the values of w, which is not. */
  const keptCopies = `
    neuron KeptCopies {
      input I
      param a in [0.2, 0.4]
      state u = uniform(0, 1), v = uniform(0, 1), w = uniform(0, 1)
      w' = 0.8 * w + I
      v' = w'
      u' = 0.9 * u + a * v
      output u'
    }`;

  const readCopies = `
    neuron ReadCopies {
      input I
      param a in [0.5, 0.9]
      state u = 0, d = 0
      u' = a * u + I - 0.5 * d
      d' = u'
      output 0.5 * u'
    }`;

  it('are also states that others are copies of', () => {
    expect(passingOf('Copies', copies)).toEqual(['v', 'w']);
  });

  it.each([
    ['Distance', distance],
    ['Copies', copies],
    ['KeptCopies', keptCopies],
    ['ReadCopies', readCopies],
  ])('have the gradients of the interpreter in %s', async (type, define) => {
    const layers = [
      { name: 'h', type, norm: 'none' as const, size: 37, from: ['input'] },
      { name: 'li', type: 'LI', norm: 'none' as const, size: 3, from: ['h'] },
    ];
    const batch = randomBatch({ size: 5, steps: 7, lengths: [7, 3, 1, 6, 7] });
    await expectGradientsOfInterpreter(graphOf(layers, { define }), batch);
  });
});
