import type { Compiled } from '../compile.ts';
import { gibibytes, memoryThere } from '../targets/wasm/machine.ts';
import { type MemoryPlan, memoryPlan, type Shortage, type StepSize } from '../targets/wasm/memory.ts';
import { compileOptions } from '../train/run.ts';
import { table } from './text.ts';

/** Share of the inputs that is taken not to be zero: of Spiking Heidelberg Digits in 100 steps, 6% are not. */
const density = 0.1;

/** Time steps that are planned for where the data does not say. */
const typicalSteps = 100;

export interface TrainingMemory {
  readonly size: StepSize;
  /** Whether every sample has `size.steps`; otherwise longer ones need more. */
  readonly stepsKnown: boolean;
  readonly plan: MemoryPlan;
}

/** What a training step of a spec takes on the target "wasm", before its data was seen. */
export function trainingMemory({ experiment, graph, data }: Compiled): TrainingMemory {
  const { batch } = experiment.train;
  const steps = data.steps ?? typicalSteps;
  const events = data.set === 'real' ? null : Math.ceil(density * batch * steps * data.features);
  const size = { batch, steps, events };
  const plan = memoryPlan(graph, compileOptions(experiment), size, memoryThere());
  return { size, stepsKnown: data.steps !== null, plan };
}

/** For people. */
export function memoryTable({ size, stepsKnown, plan }: TrainingMemory): string {
  const { batch, steps, events } = size;
  const kept = [...plan.kept].map(([layer, bytes]) => [`kept for the backward pass by ${layer}`, mebibytes(bytes)]);
  const input = events === null ? 'inputs' : `inputs, where ${100 * density}% are not zero`;
  return [
    `memory of a training step on the target wasm, ${batch} samples of ${steps} time steps` +
      (stepsKnown ? '' : ' (the data has no fixed number; it grows with the longest sample of a batch)'),
    table([
      ['for', 'MiB'],
      ['parameters', mebibytes(plan.parameters)],
      ['gradients and optimizer', mebibytes(plan.optimizer)],
      ['parameters as they are evaluated', mebibytes(plan.evaluated)],
      [input, mebibytes(plan.input)],
      ...kept.filter(([, bytes]) => bytes !== mebibytes(0)),
      ['what lives shortly, in turns', mebibytes(plan.scratch)],
      ['total', mebibytes(plan.total)],
    ]),
    ...(plan.shortage ? [shortageLine(plan.shortage)] : []),
  ].join('\n');
}

function shortageLine(shortage: Shortage): string {
  const more = `That is more than the ${gibibytes(shortage.there)} there are: `;
  if ('parts' in shortage) {
    return `${more}steps will be computed in ${shortage.parts} parts with summed gradients, the same up to rounding.`;
  }
  const { reason, largest } = shortage;
  const remedy = largest > 0 ? `a batch of ${largest} fits (train.batch)` : 'make the network or the samples smaller';
  return `${more}training will refuse, because ${reason}; ${remedy}.`;
}

/** For programs; all in bytes. */
export function memoryDocument({ size, plan }: TrainingMemory) {
  const { batch, steps, events } = size;
  const { parameters, optimizer, evaluated, input, kept, scratch, total } = plan;
  return {
    target: 'wasm',
    batch,
    steps,
    input_events: events,
    bytes: { parameters, optimizer, evaluated, input, kept: Object.fromEntries(kept), scratch, total },
  };
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
