import { describe, expect, it } from 'vitest';
import { verifyAdjoint } from '../../../src/ir/verify.ts';
import { planNeuron } from '../../../src/targets/wasm/neuron/plan.ts';
import { expectGradientsOfInterpreter } from '../../support/gradients.ts';
import { graphOf, randomBatch } from '../../support/graphs.ts';
import { stepOf } from '../../support/steps.ts';

const decaying = (update: string, potential = '0.9 * u + I - w', beta = 'param beta in [0.9, 0.999]') => `
  neuron Decaying {
    input I
    ${beta}
    param a in [0.1, 0.4]
    state w = uniform(0, 1), u = uniform(0, 1), s = uniform(0, 1)
    w' = ${update}
    u' = ${potential}
    s' = spike(u' - 1, arctan(2))
    output s'
  }`;
const delayed = decaying('a * s + (u * a + w * beta)', "0.9 * u + I - w'");

/** What the second adds up is the first. */
const chain = `
  neuron Chain {
    input I
    param c1 in [0.5, 0.9], c2 in [0.5, 0.9]
    state w1 = uniform(0, 1), w2 = uniform(0, 1), u = uniform(0, 1), s = 0
    w1' = c1 * w1 + s
    w2' = c2 * w2 + w1
    u' = 0.9 * u + I - w2
    s' = spike(u' - 1, arctan(2))
    output s'
  }`;

function planOf(type: string, define = '') {
  const step = stepOf(type, define);
  const { adjoint, decays, passing } = planNeuron(step, 4, [false], true);
  verifyAdjoint(adjoint);
  return { decays: decays.map((d) => step.states[d.state].name), passing: passing.map((i) => step.states[i].name) };
}

describe('states that decay', () => {
  it.each([
    ['adLIF', ''],
    ['RadLIF', ''],
    ['Decaying', delayed],
    ['Decaying', decaying('beta * w + a * u')],
  ])('are not kept of %s', (type, define) => {
    expect(planOf(type, define)).toEqual({ decays: ['w'], passing: ['w', 's'] });
  });

  it('are not kept unless another needs them', () => {
    expect(planOf('Chain', chain).decays).toEqual(['w1']);
  });

  it.each([
    ['are multiplied by two parameters', decaying('beta * w + a * w', "0.9 * u + I - w'")],
    ['are read by the backward pass', decaying('beta * w + u', "0.9 * u + I - a * w'")],
    ['are also added as they are', decaying('beta * w + w + a * u', "0.9 * u + I - w'")],
    ['share their decay', decaying('beta * w + a * u', "beta * u + I - w'")],
    ['decay twice', decaying('beta * w + beta * w + a * u', "0.9 * u + I - w'")],
    ['are scaled once more', decaying('0.5 * (beta * w + a * u)', "0.9 * u + I - w'")],
    ['are made of what would have to be kept', decaying('beta * w + atan(u)', "0.9 * u + a * I - w'")],
  ])('are left as they are where they %s', (_, define) => {
    expect(planOf('Decaying', define).decays).toEqual([]);
  });

  it.each([
    ['adLIF', ''],
    ['RadLIF', ''],
    ['Decaying', delayed],
    ['Decaying', decaying('beta * w + a * u')],
    ['Decaying', delayed.replace('param beta', 'param scalar beta')],
    ['Chain', chain],
  ])('have the gradients of the interpreter in %s', async (type, define) => {
    const layers = [
      { name: 'h', type, norm: 'none' as const, size: 37, from: ['input'], bidirectional: true },
      { name: 'li', type: 'LI', norm: 'none' as const, size: 3, from: ['h'] },
    ];
    const batch = randomBatch({ size: 19, steps: 7, lengths: Array.from({ length: 19 }, (_, i) => 1 + (i % 7)) });
    await expectGradientsOfInterpreter(graphOf(layers, { define }), batch);
  });
});
