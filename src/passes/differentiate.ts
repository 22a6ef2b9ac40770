import { EqnBuilder, isLit, lit, liveEqns } from '../ir/builder.ts';
import type { AdjointStep, Atom, Eqn, Prim, Step, Var } from '../ir/step.ts';

/**
 * Reverse-mode differentiation of a Step. `spike` is differentiated as its surrogate, `clamp` as PyTorch's (1 on the
 * bounds), `min`, `max` and `relu` give the whole cotangent to the operand that was taken (the first one on a tie).
 */
export function differentiate(step: Step): AdjointStep {
  const ids = allVariables(step).map((v) => v.id);
  const builder = new EqnBuilder(Math.max(-1, ...ids) + 1);
  const cotangents = new Cotangents(builder);

  const outputCotangent = builder.fresh('d_output', { extent: 'rows', set: 'real' });
  cotangents.add(step.output, outputCotangent);
  const after = step.states.map((state) => {
    const cotangent = builder.fresh(`d_${state.name}'`, { extent: 'rows', set: 'real' });
    cotangents.add(state.after, cotangent);
    return cotangent;
  });
  cotangents.walk(step.body);

  const states = step.states.map((s, i) => ({ name: s.name, after: after[i], before: cotangents.of(s.before) }));
  const inputs = step.inputs.map((input) => ({ name: input.name, cotangent: cotangents.of(input.variable) }));
  const sums = [...cotangents.sums].map(([target, value]) => ({
    target,
    value,
    into: builder.fresh(`d_${target.name}`, target.type),
  }));
  const outers = cotangents.outers.map((outer) => ({
    ...outer,
    into: builder.fresh(`d_${outer.target.name}`, outer.target.type),
  }));
  const body = liveEqns(builder.eqns, [
    ...states.map((s) => s.before),
    ...inputs.map((i) => i.cotangent),
    ...sums.map((s) => s.value),
    ...outers.flatMap((o) => [o.left, o.right]),
  ]);

  const { prelude, gradients } = differentiatePrelude(step, [...sums, ...outers], builder.endId);
  const adjoint = { step, outputCotangent, states, inputs, sums, outers, body, prelude, gradients };
  return { ...adjoint, residuals: residualsOf(adjoint) };
}

/** From the summed cotangents of prelude variables and parameters to the gradients of the parameters. */
function differentiatePrelude(step: Step, totals: readonly { target: Var; into: Var }[], firstId: number) {
  const builder = new EqnBuilder(firstId);
  const cotangents = new Cotangents(builder, true);
  for (const { target, into } of totals) cotangents.add(target, into);
  cotangents.walk(step.prelude);
  const gradients = step.parameters
    .filter((p) => p.trainable)
    .map((p) => ({ parameter: p.name, value: cotangents.of(p.variable) }));
  return {
    prelude: liveEqns(
      builder.eqns,
      gradients.map((g) => g.value),
    ),
    gradients,
  };
}

/** The cotangents collected so far. Inside the body, those of variables that do not extend over rows become sums. */
class Cotangents {
  readonly sums = new Map<Var, Atom>();
  readonly outers: { target: Var; left: Atom; right: Atom }[] = [];
  private readonly byVariable = new Map<number, Atom>();
  readonly builder: EqnBuilder;
  private readonly inPrelude: boolean;

  constructor(builder: EqnBuilder, inPrelude = false) {
    this.builder = builder;
    this.inPrelude = inPrelude;
  }

  of(variable: Var): Atom {
    return this.byVariable.get(variable.id) ?? lit(0);
  }

  add(target: Atom, cotangent: Atom): void {
    if (target.kind === 'lit' || isLit(cotangent, 0)) return;
    if (!this.inPrelude && target.type.extent !== 'rows') {
      const sum = this.sums.get(target);
      this.sums.set(target, sum ? this.builder.emit('add', [sum, cotangent]) : cotangent);
      return;
    }
    const wider = target.type.extent === 'scalar' && cotangent.kind === 'var' && cotangent.type.extent !== 'scalar';
    const fitting = wider ? this.builder.emit('sumFeatures', [cotangent]) : cotangent;
    const sum = this.byVariable.get(target.id);
    this.byVariable.set(
      target.id,
      sum ? this.builder.emit('add', [sum, fitting], { name: `d_${target.name}` }) : fitting,
    );
  }

  /** Visits equations from the last to the first and hands their cotangents on to their operands. */
  walk(eqns: readonly Eqn[]): void {
    for (const eqn of eqns.toReversed()) {
      const cotangent = this.of(eqn.out);
      if (!isLit(cotangent, 0)) adjointRules[eqn.prim](eqn, cotangent, this);
    }
  }
}

type AdjointRule = (eqn: Eqn, cotangent: Atom, to: Cotangents) => void;

const noDerivative: AdjointRule = () => {};

const inAdjointsOnly: AdjointRule = (eqn) => {
  throw new Error(`"${eqn.prim}" occurs in adjoints only and has no derivative of its own`);
};

/** Rules of the form: cotangent of the i-th operand = f_i(operands, result, cotangent). */
function each(...rules: ((args: readonly Atom[], out: Atom, d: Atom, emit: Emit) => Atom)[]): AdjointRule {
  return (eqn, cotangent, to) => {
    const emit: Emit = (prim, ...args) => to.builder.emit(prim, args);
    rules.forEach((rule, i) => {
      if (eqn.args[i].kind === 'var') to.add(eqn.args[i], rule(eqn.args, eqn.out, cotangent, emit));
    });
  };
}

type Emit = (prim: Prim, ...args: Atom[]) => Atom;

const adjointRules: Readonly<Record<Prim, AdjointRule>> = {
  add: each(
    (_, __, d) => d,
    (_, __, d) => d,
  ),
  sub: each(
    (_, __, d) => d,
    (_, __, d, emit) => emit('neg', d),
  ),
  mul: each(
    ([, b], _, d, emit) => emit('mul', d, b),
    ([a], _, d, emit) => emit('mul', d, a),
  ),
  div: each(
    ([, b], _, d, emit) => emit('div', d, b),
    ([, b], y, d, emit) => emit('neg', emit('div', emit('mul', d, y), b)),
  ),
  neg: each((_, __, d, emit) => emit('neg', d)),
  min: each(
    ([a, b], _, d, emit) => emit('select', emit('greaterEqual', b, a), d, lit(0)),
    ([a, b], _, d, emit) => emit('select', emit('greaterEqual', b, a), lit(0), d),
  ),
  max: each(
    ([a, b], _, d, emit) => emit('select', emit('greaterEqual', a, b), d, lit(0)),
    ([a, b], _, d, emit) => emit('select', emit('greaterEqual', a, b), lit(0), d),
  ),
  exp: each((_, y, d, emit) => emit('mul', d, y)),
  log: each(([a], _, d, emit) => emit('div', d, a)),
  sqrt: each((_, y, d, emit) => emit('div', d, emit('mul', lit(2), y))),
  abs: each(([a], _, d, emit) =>
    emit('select', emit('greater', a, lit(0)), d, emit('select', emit('greater', lit(0), a), emit('neg', d), lit(0))),
  ),
  tanh: each((_, y, d, emit) => emit('mul', d, emit('sub', lit(1), emit('mul', y, y)))),
  atan: each(([a], _, d, emit) => emit('div', d, emit('add', lit(1), emit('mul', a, a)))),
  sigmoid: each((_, y, d, emit) => emit('mul', d, emit('mul', y, emit('sub', lit(1), y)))),
  relu: each(([a], _, d, emit) => emit('select', emit('greater', a, lit(0)), d, lit(0))),
  clamp: each(([x, low, high], _, d, emit) =>
    emit('select', emit('mul', emit('greaterEqual', x, low), emit('greaterEqual', high, x)), d, lit(0)),
  ),
  greater: noDerivative,
  greaterEqual: noDerivative,
  equal: noDerivative,
  select: each(
    () => lit(0),
    ([condition], _, d, emit) => emit('select', condition, d, lit(0)),
    ([condition], _, d, emit) => emit('select', condition, lit(0), d),
  ),
  spike: (eqn, cotangent, to) => {
    if (!eqn.surrogate) throw new Error('a spike without a surrogate has no derivative');
    const slope = to.builder.inline(eqn.surrogate.derivative, eqn.args[0]);
    to.add(eqn.args[0], to.builder.emit('mul', [cotangent, slope]));
  },
  detach: noDerivative,
  matvec: (eqn, cotangent, to) => {
    const [matrix, vector] = eqn.args;
    to.add(vector, to.builder.emit('matvecTransposed', [matrix, cotangent]));
    to.outers.push({ target: matrix as Var, left: cotangent, right: vector });
  },
  matvecTransposed: inAdjointsOnly,
  zeroDiagonal: each((_, __, d, emit) => emit('zeroDiagonal', d)),
  softmax: each((_, y, d, emit) => emit('softmaxAdjoint', y, d)),
  softmaxAdjoint: inAdjointsOnly,
  sumFeatures: inAdjointsOnly,
};

function allVariables(step: Step): Var[] {
  return [
    ...step.inputs.map((i) => i.variable),
    ...step.parameters.map((p) => p.variable),
    ...step.states.map((s) => s.before),
    ...step.prelude.map((e) => e.out),
    ...step.body.map((e) => e.out),
  ];
}

/** What the backward pass reads of the forward one, over rows: the only per-step values that must be kept. */
export function residualsOf(adjoint: Omit<AdjointStep, 'residuals'>): Var[] {
  const read = new Set<number>();
  const note = (atom: Atom) => atom.kind === 'var' && read.add(atom.id);
  for (const eqn of adjoint.body) eqn.args.forEach(note);
  for (const { before } of adjoint.states) note(before);
  for (const { value } of adjoint.sums) note(value);
  for (const { left, right } of adjoint.outers) [left, right].forEach(note);
  return allVariables(adjoint.step).filter((v) => v.type.extent === 'rows' && read.has(v.id));
}
