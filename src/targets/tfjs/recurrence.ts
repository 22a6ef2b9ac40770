import type { AdjointStep, Atom, Step, StepParameter, Var } from '../../ir/step.ts';
import { differentiate } from '../../passes/differentiate.ts';
import { residualUses, type Schedule, scheduleBackward, scheduleForward } from '../../passes/schedule.ts';
import { type Env, read, run } from './emit.ts';
import type { Ops, Tensor } from './ops.ts';
import { Sequence } from './sequence.ts';
import { runOverTime, type SequenceShape, type Values } from './timeLoop.ts';

/** What the backward pass needs of a forward one. */
export interface Tape {
  readonly shape: SequenceShape;
  readonly once: Env;
  readonly whole: ReadonlyMap<number, Tensor>;
  readonly steps: ReadonlyMap<number, Tensor[]>;
}

export interface RecurrenceInputs {
  /** One per input of the step, [time, rows, features]. */
  readonly inputs: readonly Tensor[];
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** One per state of the step, [rows, features]. */
  readonly initialStates: readonly Tensor[];
}

export interface RecurrenceGradients {
  readonly inputs: Tensor[];
  readonly parameters: ReadonlyMap<string, Tensor>;
}

/** A Step run over whole sequences, forward and, from its derived adjoint, backward. */
export class Recurrence {
  private readonly step: Step;
  private readonly adjoint: AdjointStep;
  private readonly forwardSchedule: Schedule;
  private readonly backwardSchedule: Schedule;
  private readonly residuals: ReturnType<typeof residualUses>;

  constructor(step: Step) {
    this.step = step;
    this.adjoint = differentiate(step);
    this.forwardSchedule = scheduleForward(step);
    this.backwardSchedule = scheduleBackward(this.adjoint);
    this.residuals = residualUses(this.adjoint, this.backwardSchedule);
  }

  /** The step's output at every time step, [time, rows, features], and on request the tape for `backward`. */
  forward(ops: Ops, given: RecurrenceInputs, record: boolean): { output: Tensor; tape: Tape | null } {
    const { step } = this;
    const shape = given.inputs[0].shape as unknown as SequenceShape;
    const { output, once, whole, steps } = ops.tf.tidy(() => {
      const values: Values = { once: new Map(), sequences: new Map() };
      for (const p of step.parameters) values.once.set(p.variable.id, given.parameters.get(p.name) as Tensor);
      run(ops, step.prelude, values.once);
      step.inputs.forEach(({ variable }, i) => {
        values.sequences.set(variable.id, Sequence.ofWhole(ops, given.inputs[i]));
      });
      const kept = [...(record ? this.adjoint.residuals : []), ...varsOf([step.output])];
      runOverTime(ops, this.forwardSchedule, values, shape, { initial: given.initialStates, reversed: false, kept });
      const sequence = (v: Var) => values.sequences.get(v.id) as Sequence;
      return {
        output: wholeOf(ops, step.output, values, shape),
        once: record ? [...values.once] : [],
        whole: record ? this.residuals.whole.map((v) => [v.id, sequence(v).whole] as const) : [],
        steps: record ? this.residuals.steps.map((v) => [v.id, sequence(v).steps] as const) : [],
      };
    });
    return {
      output,
      tape: record ? { shape, once: new Map(once), whole: new Map(whole), steps: new Map(steps) } : null,
    };
  }

  /** From the output's cotangent, [time, rows, features], to those of the inputs and the trainable parameters. */
  backward(ops: Ops, tape: Tape, cotangent: Tensor): RecurrenceGradients {
    const { adjoint } = this;
    const { inputs, parameters } = ops.tf.tidy(() => {
      const values: Values = { once: new Map(tape.once), sequences: new Map() };
      for (const [id, steps] of tape.steps) values.sequences.set(id, Sequence.ofSteps(ops, steps));
      for (const [id, whole] of tape.whole) values.sequences.set(id, Sequence.ofWhole(ops, whole));
      values.sequences.set(adjoint.outputCotangent.id, Sequence.ofWhole(ops, cotangent));
      const [, rows, features] = tape.shape;
      runOverTime(ops, this.backwardSchedule, values, tape.shape, {
        initial: adjoint.states.map(() => ops.tf.zeros([rows, features])),
        reversed: true,
        kept: varsOf(this.results()),
      });
      this.reduce(ops, values, tape.shape);
      run(ops, adjoint.prelude, values.once);
      return {
        inputs: adjoint.inputs.map((i) => wholeOf(ops, i.cotangent, values, tape.shape)),
        parameters: adjoint.gradients.map((g) => [g.parameter, this.gradient(ops, values.once, g)] as const),
      };
    });
    return { inputs, parameters: new Map(parameters) };
  }

  /** Shaped as the parameter, also where the gradient is the same for all of its elements. */
  private gradient(ops: Ops, once: Env, { parameter, value }: AdjointStep['gradients'][number]): Tensor {
    const { variable } = this.step.parameters.find((p) => p.name === parameter) as StepParameter;
    return ops.expand(read(ops, once, value), read(ops, once, variable).shape);
  }

  private results(): Atom[] {
    const { inputs, sums, outers } = this.adjoint;
    return [
      ...inputs.map((i) => i.cotangent),
      ...sums.map((s) => s.value),
      ...outers.flatMap((o) => [o.left, o.right]),
    ];
  }

  /** Sums over all time steps and rows, each at once over the whole sequence. */
  private reduce(ops: Ops, values: Values, shape: SequenceShape): void {
    for (const { target, value, into } of this.adjoint.sums) {
      const perFeature = ops.sumOfRows(wholeOf(ops, value, values, shape));
      values.once.set(into.id, target.type.extent === 'scalar' ? ops.tf.sum(perFeature) : perFeature);
    }
    for (const { left, right, into } of this.adjoint.outers) {
      const [l, r] = [left, right].map((atom) => wholeOf(ops, atom, values, shape));
      values.once.set(into.id, ops.outer(l, r));
    }
  }
}

function wholeOf(ops: Ops, atom: Atom, values: Values, shape: SequenceShape): Tensor {
  const sequence = atom.kind === 'var' && values.sequences.get(atom.id);
  return sequence ? sequence.whole : ops.expand(read(ops, values.once, atom), shape);
}

function varsOf(atoms: readonly Atom[]): Var[] {
  return atoms.filter((a) => a.kind === 'var');
}
