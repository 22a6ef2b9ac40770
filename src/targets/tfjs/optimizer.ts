import { UserError } from '../../diagnostics/diagnostic.ts';
import type { OptimizerConfig } from '../target.ts';
import type { Ops, Tensor } from './ops.ts';

type AdamConfig = Extract<OptimizerConfig, { kind: 'adam' | 'adamw' }>;
type SgdConfig = Extract<OptimizerConfig, { kind: 'sgd' }>;

/**
 * SGD, Adam and AdamW as PyTorch 2 defines them (torch.optim), on one flat vector. The names of the moments are
 * PyTorch's: `momentum_buffer`, or `exp_avg` and `exp_avg_sq`.
 */
export class Optimizer {
  /** Number of updates made. */
  step = 0;
  readonly momentNames: readonly string[];
  private readonly ops: Ops;
  private readonly config: OptimizerConfig;
  private readonly scales: Tensor | null;
  private moments: Tensor[];

  /** `scales` multiply the learning rate of every element; null: all of them are 1. */
  constructor(ops: Ops, config: OptimizerConfig, size: number, scales: Float32Array | null = null) {
    this.ops = ops;
    this.scales = scales && ops.tf.keep(ops.tf.tensor1d(scales));
    this.config = config;
    this.momentNames =
      config.kind === 'sgd' ? (config.momentum === 0 ? [] : ['momentum_buffer']) : ['exp_avg', 'exp_avg_sq'];
    this.moments = this.momentNames.map(() => ops.tf.zeros([size]));
  }

  /** The parameters after one update. The result belongs to the caller. */
  update(parameters: Tensor, gradient: Tensor, learningRate: number): Tensor {
    const { tf } = this.ops;
    const { config } = this;
    this.step++;
    const [updated, ...moments] = tf.tidy(() =>
      config.kind === 'sgd'
        ? this.sgd(config, parameters, gradient, learningRate)
        : this.adam(config, parameters, gradient, learningRate),
    );
    this.replaceMoments(moments);
    return updated;
  }

  moment(name: string): Tensor {
    return this.moments[this.momentNames.indexOf(name)];
  }

  load(step: number, moments: readonly Float32Array[]): void {
    this.step = step;
    this.replaceMoments(moments.map((m) => this.ops.tf.tensor1d(m)));
  }

  dispose(): void {
    this.ops.tf.dispose(this.moments);
    this.scales?.dispose();
  }

  private sgd(config: SgdConfig, parameters: Tensor, gradient: Tensor, learningRate: number): Tensor[] {
    const { tf } = this.ops;
    const decayed = config.weightDecay === 0 ? gradient : tf.add(gradient, tf.mul(parameters, config.weightDecay));
    // As in PyTorch, the momentum buffer starts as the first gradient; from zeros, the sum gives the same.
    const moments = this.moments.map((buffer) => tf.add(tf.mul(buffer, config.momentum), decayed));
    return [tf.sub(parameters, this.scaled(tf.mul(moments[0] ?? decayed, learningRate))), ...moments];
  }

  private adam(config: AdamConfig, parameters: Tensor, gradient: Tensor, learningRate: number): Tensor[] {
    const { tf } = this.ops;
    const { beta1, beta2, eps, weightDecay } = config;
    const coupled = config.kind === 'adam' && weightDecay !== 0;
    const decoupled = config.kind === 'adamw' && weightDecay !== 0;
    const g = coupled ? tf.add(gradient, tf.mul(parameters, weightDecay)) : gradient;
    const p = decoupled ? this.decayed(parameters, learningRate * weightDecay) : parameters;
    const first = tf.add(tf.mul(this.moments[0], beta1), tf.mul(g, 1 - beta1));
    const second = tf.add(tf.mul(this.moments[1], beta2), tf.mul(tf.square(g), 1 - beta2));
    const correction1 = 1 - beta1 ** this.step;
    const correction2 = 1 - beta2 ** this.step;
    const denominator = tf.add(tf.div(tf.sqrt(second), Math.sqrt(correction2)), eps);
    const change = tf.mul(tf.div(first, denominator), learningRate / correction1);
    return [tf.sub(p, this.scaled(change)), first, second];
  }

  private decayed(parameters: Tensor, share: number): Tensor {
    const { tf } = this.ops;
    if (!this.scales) return tf.mul(parameters, 1 - share);
    return tf.mul(parameters, tf.sub(1, tf.mul(this.scales, share)));
  }

  private scaled(change: Tensor): Tensor {
    return this.scales ? this.ops.tf.mul(change, this.scales) : change;
  }

  private replaceMoments(moments: Tensor[]): void {
    this.ops.tf.dispose(this.moments);
    this.moments = moments.map((m) => this.ops.tf.keep(m));
  }
}

/** The gradient scaled to an L2 norm of at most `maximum`, as torch.nn.utils.clip_grad_norm_. */
export function clipToNorm(ops: Ops, gradient: Tensor, maximum: number): Tensor {
  const { tf } = ops;
  const norm = tf.sqrt(tf.sum(tf.square(gradient)));
  return tf.mul(gradient, tf.minimum(1, tf.div(maximum, tf.add(norm, 1e-6))));
}

/** A moment vector of a saved optimiser state that does not fit this model. */
export function stateMismatch(key: string): UserError {
  return new UserError(
    'SP603',
    `the saved optimiser state lacks "${key}"; resume with the optimizer the run was started with`,
  );
}
