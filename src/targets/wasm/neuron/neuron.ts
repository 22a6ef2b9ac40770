import type { Step } from '../../../ir/step.ts';
import { listGatesKernel } from '../kernels/gates.ts';
import type { Kernel, Kernels } from '../kernels/kernel.ts';
import { backwardKernel } from './backward.ts';
import { forwardKernel } from './forward.ts';
import { type ForwardPlan, type NeuronPlan, planNeuron } from './plan.ts';

/** A neuron whose code is yet to be written. */
export interface PlannedNeuron {
  readonly name: string;
  readonly plan: ForwardPlan;
}

/** The kernels of a neuron in training, and what they rest on. */
export interface NeuronKernels extends PlannedNeuron {
  readonly plan: NeuronPlan;
  readonly forward: Kernel;
  readonly backward: Kernel;
  /** Lists, per row, the neurons whose cotangents matter; null where all do. */
  readonly gate: Kernel | null;
}

export function neuronKernels(
  k: Kernels,
  name: string,
  step: Step,
  features: number,
  affine: readonly boolean[],
  asBits: boolean,
): NeuronKernels {
  const plan = planNeuron(step, features, affine, asBits);
  return {
    name,
    plan,
    forward: forwardKernel(k, name, plan),
    backward: backwardKernel(k, name, plan),
    gate: plan.gates.output ? listGatesKernel(k, features) : null,
  };
}
