import type { OptimizerConfig } from '../target.ts';
import type { Values } from './nodes.ts';

/** SGD, Adam and AdamW as PyTorch defines them, in float64. */
export class Optimizer {
  step = 0;
  /** First and second moments (Adam), or the momentum buffer (SGD), by `first.KEY`, `second.KEY`. */
  readonly moments: Values = new Map();
  private readonly config: OptimizerConfig;
  private readonly scales: ReadonlyMap<string, number>;

  /** `scales` multiply the learning rate, by parameter key; 1 where absent. */
  constructor(config: OptimizerConfig, scales: ReadonlyMap<string, number>) {
    this.config = config;
    this.scales = scales;
  }

  apply(parameters: Values, gradients: Values, learningRate: number): void {
    this.step++;
    for (const [key, gradient] of gradients) {
      const parameter = parameters.get(key) as Float64Array;
      const rate = learningRate * (this.scales.get(key) ?? 1);
      const first = this.moment(`first.${key}`, parameter.length);
      if (this.config.kind === 'sgd') this.sgd(parameter, gradient, first, rate);
      else this.adam(parameter, gradient, first, this.moment(`second.${key}`, parameter.length), rate);
    }
  }

  private sgd(parameter: Float64Array, gradient: Float64Array, buffer: Float64Array, lr: number): void {
    const config = this.config as Extract<OptimizerConfig, { kind: 'sgd' }>;
    for (let i = 0; i < parameter.length; i++) {
      buffer[i] = config.momentum * buffer[i] + gradient[i] + config.weightDecay * parameter[i];
      parameter[i] -= lr * buffer[i];
    }
  }

  private adam(
    parameter: Float64Array,
    gradient: Float64Array,
    first: Float64Array,
    second: Float64Array,
    lr: number,
  ): void {
    const { kind, beta1, beta2, eps, weightDecay } = this.config as Exclude<OptimizerConfig, { kind: 'sgd' }>;
    for (let i = 0; i < parameter.length; i++) {
      const d = kind === 'adam' ? gradient[i] + weightDecay * parameter[i] : gradient[i];
      if (kind === 'adamw') parameter[i] *= 1 - lr * weightDecay;
      first[i] = beta1 * first[i] + (1 - beta1) * d;
      second[i] = beta2 * second[i] + (1 - beta2) * d * d;
      const mean = first[i] / (1 - beta1 ** this.step);
      const deviation = Math.sqrt(second[i] / (1 - beta2 ** this.step));
      parameter[i] -= (lr * mean) / (deviation + eps);
    }
  }

  private moment(key: string, size: number): Float64Array {
    const known = this.moments.get(key) ?? new Float64Array(size);
    this.moments.set(key, known);
    return known;
  }
}

/** Scales gradients to a global L2 norm of at most `maximum`, as torch.nn.utils.clip_grad_norm_. */
export function clipGradients(gradients: Values, maximum: number): void {
  let squares = 0;
  for (const gradient of gradients.values()) for (const g of gradient) squares += g * g;
  const factor = Math.min(1, maximum / (Math.sqrt(squares) + 1e-6));
  for (const gradient of gradients.values()) for (let i = 0; i < gradient.length; i++) gradient[i] *= factor;
}
