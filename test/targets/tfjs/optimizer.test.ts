import { describe, expect, it } from 'vitest';
import type { OptimizerConfig } from '../../../src/targets/target.ts';
import { Ops } from '../../../src/targets/tfjs/ops.ts';
import { clipToNorm, Optimizer } from '../../../src/targets/tfjs/optimizer.ts';
import { describeBackends } from './available.ts';

const start = [0.5, -1, 2, 0];
const gradients = [
  [0.1, -0.2, 0.3, 0],
  [-0.4, 0.5, 0.1, 1e-3],
  [0.2, 0.2, -0.6, 0],
];
const learningRates = [0.1, 0.1, 0.05];
const adam = { beta1: 0.9, beta2: 0.999, eps: 1e-8 };

/** Parameters after each of three steps, computed with PyTorch 2.13 in float64. */
const expected: Record<string, { config: OptimizerConfig; clip?: number; scales?: number[]; after: number[][] }> = {
  SGD: {
    config: { kind: 'sgd', momentum: 0, weightDecay: 0 },
    after: [
      [0.49, -0.98, 1.97, 0],
      [0.53, -1.03, 1.96, -0.0001],
      [0.52, -1.04, 1.99, -0.0001],
    ],
  },
  'SGD with momentum and weight decay': {
    config: { kind: 'sgd', momentum: 0.9, weightDecay: 0.01 },
    after: [
      [0.4895, -0.979, 1.968, 0],
      [0.5195605, -1.009121, 1.927232, -0.0001],
      [0.522827945, -1.032170889, 1.937922784, -0.00014495],
    ],
  },
  Adam: {
    config: { kind: 'adam', ...adam, weightDecay: 0 },
    after: [
      [0.40000001, -0.900000005, 1.900000003, 0],
      [0.455950357, -0.94422153, 1.812893612, -0.07441263],
      [0.46145904, -0.971368679, 1.825470296, -0.103173128],
    ],
  },
  'Adam with weight decay': {
    config: { kind: 'adam', beta1: 0.8, beta2: 0.95, eps: 1e-6, weightDecay: 0.1 },
    after: [
      [0.400000667, -0.900000333, 1.9000002, 0],
      [0.447919023, -0.926189268, 1.805608283, -0.077470929],
      [0.443867318, -0.942953746, 1.798996296, -0.046684936],
    ],
  },
  AdamW: {
    config: { kind: 'adamw', ...adam, weightDecay: 0.1 },
    after: [
      [0.39500001, -0.890000005, 1.880000003, 0],
      [0.447000357, -0.92532153, 1.774093612, -0.07441263],
      [0.450274039, -0.947842071, 1.777799828, -0.102801065],
    ],
  },
  'SGD with a learning rate per element': {
    config: { kind: 'sgd', momentum: 0.9, weightDecay: 0.01 },
    scales: [1, 0.5, 0.1, 2],
    after: [
      [0.4895, -0.9895, 1.9968, 0],
      [0.5195605, -1.00455525, 1.99272032, -0.0002],
      [0.522827945, -1.016078974, 1.993784828, -0.0002898],
    ],
  },
  'Adam with a learning rate per element': {
    config: { kind: 'adam', beta1: 0.8, beta2: 0.95, eps: 1e-6, weightDecay: 0.1 },
    scales: [1, 0.5, 0.1, 2],
    after: [
      [0.400000667, -0.950000167, 1.99000002, 0],
      [0.447919023, -0.962812861, 1.980515556, -0.154941858],
      [0.443867318, -0.971006926, 1.97972349, -0.08943377],
    ],
  },
  'AdamW with a learning rate per element': {
    config: { kind: 'adamw', ...adam, weightDecay: 0.1 },
    scales: [1, 0.5, 0.1, 2],
    after: [
      [0.39500001, -0.945000002, 1.988, 0],
      [0.447000357, -0.962385765, 1.977301361, -0.148825261],
      [0.450274039, -0.973553375, 1.977570379, -0.204858004],
    ],
  },
  'clipping to a norm of 0.5': {
    config: { kind: 'sgd', momentum: 0, weightDecay: 0 },
    clip: 0.5,
    after: [
      [0.49, -0.98, 1.97, 0],
      [0.520860586, -1.018575732, 1.962284854, -7.7151e-5],
      [0.513322813, -1.026113504, 1.98489817, -7.7151e-5],
    ],
  },
};

describeBackends((_, { tf, name: backend }) => {
  describe.each(Object.entries(expected))('%s', (_name, { config, clip, scales, after }) => {
    it('updates as PyTorch does', async () => {
      await tf.setBackend(backend);
      const ops = new Ops(tf, backend);
      const optimizer = new Optimizer(ops, config, start.length, scales ? Float32Array.from(scales) : null);
      let parameters: ReturnType<typeof tf.tensor1d> = tf.tensor1d(start);
      for (let i = 0; i < gradients.length; i++) {
        const raw = tf.tensor1d(gradients[i]);
        const gradient = clip === undefined ? raw : clipToNorm(ops, raw, clip);
        parameters = optimizer.update(parameters, gradient, learningRates[i]) as typeof parameters;
        const values = await parameters.data();
        after[i].forEach((value, k) => void expect(values[k], `step ${i + 1}`).toBeCloseTo(value, 6));
      }
      expect(optimizer.step).toBe(3);
    });
  });
});
