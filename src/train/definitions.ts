import type { AnyParams, Definition, ParamSpec, ParamSpecs, Params } from '../definitions/params.ts';
import type { OptimizerConfig } from '../targets/target.ts';
import { constantSchedule, plateauSchedule, type Schedule } from './schedule.ts';

/** The optimisers, schedules and regularisers that the `train` section of a spec can name. */
export interface OptimizerDefinition extends Definition {
  /** All of them also have a parameter `lr`, which is the schedule's. */
  config(params: AnyParams): OptimizerConfig;
}

export interface ScheduleDefinition extends Definition {
  create(params: AnyParams): Schedule;
}

/** Checks a definition's parameters' types where it is defined; forgets them for the registry. */
function defineOptimizer<const S extends ParamSpecs>(
  definition: Definition & { readonly params: S; config(params: Params<S>): OptimizerConfig },
): OptimizerDefinition {
  return definition as unknown as OptimizerDefinition;
}

function defineSchedule<const S extends ParamSpecs>(
  definition: Definition & { readonly params: S; create(params: Params<S>): Schedule },
): ScheduleDefinition {
  return definition as unknown as ScheduleDefinition;
}

const lr = {
  type: 'number',
  description: 'learning rate, until the schedule lowers it',
  min: 0,
  exclusive: true,
  default: 0.01,
} as const satisfies ParamSpec;

const adamParams = {
  lr,
  beta1: { type: 'number', description: 'decay of the first moment', min: 0, max: 0.999999, default: 0.9 },
  beta2: { type: 'number', description: 'decay of the second moment', min: 0, max: 0.999999, default: 0.999 },
  eps: { type: 'number', description: 'added to the denominator', min: 0, exclusive: true, default: 1e-8 },
} as const satisfies ParamSpecs;

export const optimizers: readonly OptimizerDefinition[] = [
  defineOptimizer({
    name: 'adam',
    description: 'Adam; weight decay is added to the gradient, as torch.optim.Adam (Kingma & Ba 2015)',
    params: {
      ...adamParams,
      weight_decay: { type: 'number', description: 'L2 penalty added to the gradient', min: 0, default: 0 },
    },
    config: ({ beta1, beta2, eps, weight_decay }) => ({ kind: 'adam', beta1, beta2, eps, weightDecay: weight_decay }),
  }),
  defineOptimizer({
    name: 'adamw',
    description: 'Adam with decoupled weight decay, as torch.optim.AdamW (Loshchilov & Hutter 2019)',
    params: {
      ...adamParams,
      weight_decay: { type: 'number', description: 'share of a weight that decays, times lr', min: 0, default: 0.01 },
    },
    config: ({ beta1, beta2, eps, weight_decay }) => ({ kind: 'adamw', beta1, beta2, eps, weightDecay: weight_decay }),
  }),
  defineOptimizer({
    name: 'sgd',
    description: 'stochastic gradient descent with momentum, as torch.optim.SGD',
    params: {
      lr,
      momentum: { type: 'number', description: 'share of the last update that is kept', min: 0, max: 1, default: 0 },
      weight_decay: { type: 'number', description: 'L2 penalty added to the gradient', min: 0, default: 0 },
    },
    config: ({ momentum, weight_decay }) => ({ kind: 'sgd', momentum, weightDecay: weight_decay }),
  }),
];

export const schedules: readonly ScheduleDefinition[] = [
  defineSchedule({
    name: 'plateau',
    description: 'lowers the learning rate when validation accuracy stops improving, as torch ReduceLROnPlateau',
    params: {
      factor: {
        type: 'number',
        description: 'what the learning rate is multiplied by',
        min: 0,
        max: 1,
        exclusive: true,
        default: 0.7,
      },
      patience: { type: 'integer', description: 'epochs without improvement that are tolerated', min: 0, default: 1 },
      threshold: {
        type: 'number',
        description: 'relative improvement over the best accuracy that counts as one',
        min: 0,
        default: 1e-4,
      },
      min_lr: { type: 'number', description: 'the learning rate never falls below this', min: 0, default: 1e-6 },
    },
    create: ({ factor, patience, threshold, min_lr }) =>
      plateauSchedule({ factor, patience, threshold, minLr: min_lr }),
  }),
  defineSchedule({
    name: 'constant',
    description: 'the learning rate stays as it is',
    params: {},
    create: () => constantSchedule,
  }),
];

/** Resolved, it is the graph's `FiringRateRegularizer`. */
export const regularizers: readonly Definition[] = [
  {
    name: 'firing_rate',
    check: ({ min, max }) =>
      Number(min) > Number(max)
        ? { parameter: 'min', message: `min must not be greater than max (${max}); lower it` }
        : null,
    description: 'penalises neurons of spiking layers whose mean firing rate leaves [min, max] (Bittar & Garner 2022)',
    params: {
      min: {
        type: 'number',
        description: 'lowest rate without penalty, spikes per step',
        min: 0,
        max: 1,
        default: 0.01,
      },
      max: {
        type: 'number',
        description: 'highest rate without penalty, spikes per step',
        min: 0,
        max: 1,
        default: 0.5,
      },
      factor: { type: 'number', description: 'what the penalty is multiplied by', min: 0, default: 0.5 },
    },
  },
];

export const losses: readonly Definition[] = [
  {
    name: 'cross_entropy',
    description: 'cross-entropy of the class scores',
    params: {
      pool: {
        type: 'string',
        description:
          'for models that end in a sequence: "steps" for the loss at every step, or the pool that makes scores of it',
        default: 'steps',
      },
    },
  },
];

/** The definition a resolved call names; the spec's validation has made sure that there is one. */
export function definitionNamed<D extends Definition>(definitions: readonly D[], name: string): D {
  const found = definitions.find((d) => d.name === name);
  if (!found) throw new Error(`nothing named "${name}" among ${definitions.map((d) => d.name).join(', ')}`);
  return found;
}
