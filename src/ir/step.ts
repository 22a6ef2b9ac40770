import type { Span } from '../diagnostics/source.ts';
import type { Initializer } from './initializer.ts';

/**
 * One time step of a neuron (or of a pooling step) in A-normal form: every operand is a variable or a literal.
 *
 * A value set says what numbers a variable can hold, which lets a target choose event-driven products:
 * `spike` is 0 or 1, `count` a small non-negative integer, `real` anything.
 */
export type ValueSet = 'real' | 'spike' | 'count';

/**
 * How far a variable extends: `scalar` is one number, `features` one number per neuron, `rows` one number per row of
 * the batch and neuron ([rows, features]; a bidirectional layer has two rows per sample), `matrix` [features, features].
 */
export type Extent = 'scalar' | 'features' | 'rows' | 'matrix';

export interface VarType {
  readonly extent: Extent;
  readonly set: ValueSet;
}

export interface Var {
  readonly kind: 'var';
  /** Unique within a Step and the adjoint derived from it. */
  readonly id: number;
  /** For people: printing only. */
  readonly name: string;
  readonly type: VarType;
}

export interface Lit {
  readonly kind: 'lit';
  readonly value: number;
}

export type Atom = Var | Lit;

/** The primitives. Their rules are total tables: see `primitives.ts`, `evaluate.ts`, `passes/differentiate.ts` and every target. */
export type Prim =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'neg'
  | 'min'
  | 'max'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'abs'
  | 'tanh'
  | 'atan'
  | 'sigmoid'
  | 'relu'
  | 'clamp' // clamp(x, low, high); derivative 1 inside and on the bounds, 0 outside, as PyTorch's
  | 'greater' // 1 where a > b, else 0; no derivative
  | 'greaterEqual'
  | 'equal'
  | 'select' // select(condition, a, b): a where condition is not 0
  | 'spike' // 1 where x > 0, else 0; its derivative is the surrogate's
  | 'detach' // identity without a derivative
  | 'matvec' // matvec(M, x): per row, y_i = sum_j M_ij x_j
  | 'matvecTransposed' // per row, y_j = sum_i M_ij x_i
  | 'zeroDiagonal' // a matrix with its diagonal set to zero
  | 'softmax' // over the features of a row
  | 'softmaxAdjoint' // softmaxAdjoint(y, g) = y * (g - sum(g * y)), over the features of a row
  | 'sumFeatures'; // features -> scalar

/** A function of one variable in A-normal form: the derivative or the antiderivative of a surrogate. */
export interface Fn {
  readonly parameter: Var;
  readonly eqns: readonly Eqn[];
  readonly result: Atom;
}

/** What stands in for the derivative of `spike`. */
export interface Surrogate {
  readonly name: string;
  /** For printing: the arguments it was instantiated with. */
  readonly args: readonly number[];
  readonly derivative: Fn;
  /** An antiderivative of `derivative`: replaces `spike` where finite differences check the adjoint. */
  readonly antiderivative: Fn;
  /** The derivative is zero outside this interval of x, or null where it has no compact support. */
  readonly support: readonly [number, number] | null;
}

export interface Eqn {
  readonly out: Var;
  readonly prim: Prim;
  readonly args: readonly Atom[];
  /** Present exactly where `prim` is `spike`. */
  readonly surrogate?: Surrogate;
  readonly origin?: Span;
}

/** A learnable (or frozen) quantity of the neuron: extent `scalar`, `features` or `matrix`. */
export interface StepParameter {
  readonly name: string;
  readonly variable: Var;
  readonly initializer: Initializer;
  readonly trainable: boolean;
}

export interface StepState {
  readonly name: string;
  /** The value before the step (extent `rows`). Its set is that of a real number: states start anywhere. */
  readonly before: Var;
  /** The value after the step. */
  readonly after: Atom;
  /** Its value before the first step of a sequence. */
  readonly initializer: Initializer;
}

/**
 * Evaluated per batch: `prelude` once (extents without `rows`: clamped parameters, derived constants), then `body` for
 * every time step, reading `inputs` and each state's `before`, giving `output` and each state's `after`.
 */
export interface Step {
  readonly name: string;
  readonly inputs: readonly { readonly name: string; readonly variable: Var }[];
  readonly parameters: readonly StepParameter[];
  readonly states: readonly StepState[];
  readonly prelude: readonly Eqn[];
  readonly body: readonly Eqn[];
  readonly output: Atom;
  /** The value set of the output over all time steps. */
  readonly outputSet: ValueSet;
}

/**
 * The reverse-mode derivative of a Step, derived by `passes/differentiate.ts`; nobody writes one by hand.
 * `body` runs once per time step, from the last to the first; it reads the residuals of the same step, the cotangent of
 * the output and those of the states after the step, and gives those of the states before the step and of the inputs.
 */
export interface AdjointStep {
  readonly step: Step;
  /** Variables of the forward step (inputs, states before, body variables) that `body`, `sums` or `outers` read. */
  readonly residuals: readonly Var[];
  readonly outputCotangent: Var;
  readonly states: readonly { readonly name: string; readonly after: Var; readonly before: Atom }[];
  readonly inputs: readonly { readonly name: string; readonly cotangent: Atom }[];
  readonly body: readonly Eqn[];
  /**
   * Cotangents of what does not extend over rows: the sum of `value` over all time steps and rows (and over features
   * where `target` is a scalar). `into` is the variable that `prelude` reads it from.
   */
  readonly sums: readonly { readonly target: Var; readonly value: Atom; readonly into: Var }[];
  /** Cotangents of matrices: the sum over all time steps and rows of left_i * right_j. */
  readonly outers: readonly { readonly target: Var; readonly left: Atom; readonly right: Atom; readonly into: Var }[];
  /** The derivative of the forward prelude: runs once, after the last (first) time step. */
  readonly prelude: readonly Eqn[];
  /** Gradients of the trainable parameters, in terms of prelude variables and the `into` variables above. */
  readonly gradients: readonly { readonly parameter: string; readonly value: Atom }[];
}
