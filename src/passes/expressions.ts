import type { Code, Reporter } from '../diagnostics/diagnostic.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import { type EqnBuilder, lit, TypeMismatch } from '../ir/builder.ts';
import { primRules } from '../ir/primitives.ts';
import type { Atom, Prim } from '../ir/step.ts';
import type { BinaryOperator, Expr } from '../syntax/ast.ts';

/** How an expression's names and special calls are resolved; null after reporting. */
export interface Scope {
  name(expr: Extract<Expr, { kind: 'name' }>): Atom | null;
  /** A call of something that is no plain function, such as `spike`; undefined where this scope knows no such call. */
  call?(expr: Extract<Expr, { kind: 'call' }>): Atom | null | undefined;
}

/** Functions that equations may call, by the primitive they stand for. */
const functions: Readonly<Record<string, Prim>> = {
  exp: 'exp',
  log: 'log',
  sqrt: 'sqrt',
  abs: 'abs',
  tanh: 'tanh',
  atan: 'atan',
  sigmoid: 'sigmoid',
  relu: 'relu',
  min: 'min',
  max: 'max',
  clamp: 'clamp',
  select: 'select',
  softmax: 'softmax',
  detach: 'detach',
};

export const functionNames = [...Object.keys(functions), 'spike'];

/** Emits the equations of an expression, naming its result for people; null where something was reported. */
export function lowerExpression(
  expr: Expr,
  scope: Scope,
  builder: EqnBuilder,
  reporter: Reporter,
  name?: string,
): Atom | null {
  const lower = (e: Expr) => lowerExpression(e, scope, builder, reporter);
  const emit = (prim: Prim, args: readonly (Atom | null)[]): Atom | null => {
    if (args.some((a) => a === null)) return null;
    try {
      return finite(builder.emit(prim, args as Atom[], { name, origin: expr.span }), expr, reporter);
    } catch (error) {
      if (!(error instanceof TypeMismatch)) throw error;
      reporter.error('SP404', error.message, expr.span);
      return null;
    }
  };

  switch (expr.kind) {
    case 'number':
      return finite(lit(expr.value), expr, reporter);
    case 'name':
      return scope.name(expr);
    case 'unary': {
      const operand = lower(expr.operand);
      return expr.operator === '-' ? emit('neg', [operand]) : emit('sub', [lit(1), operand]);
    }
    case 'binary': {
      const operands = [lower(expr.left), lower(expr.right)];
      return binary[expr.operator](emit, operands);
    }
    case 'call': {
      const special = scope.call?.(expr);
      if (special !== undefined) return special;
      const called = expr.name.text;
      if (!Object.hasOwn(functions, called)) {
        reporter.error(
          'SP402',
          `there is no function "${called}"; ${suggestion(called, functionNames)}`,
          expr.name.span,
        );
        return null;
      }
      const misnamed = expr.argNames.find((n) => n !== null);
      if (misnamed) {
        reporter.error('SP403', `"${called}" takes no named arguments; remove "${misnamed.text}="`, misnamed.span);
        return null;
      }
      const prim = functions[called];
      const { arity } = primRules[prim];
      if (expr.args.length !== arity) {
        const many = arity === 1 ? '1 argument' : `${arity} arguments`;
        reporter.error('SP403', `"${called}" takes ${many}, not ${expr.args.length}`, expr.span);
        return null;
      }
      return emit(prim, expr.args.map(lower));
    }
  }
}

/** Divisions by zero and overflows between numbers are mistakes: at run time they would poison everything. */
function finite(atom: Atom, expr: Expr, reporter: Reporter): Atom | null {
  const { left, right } = expr.kind === 'binary' && expr.operator === '/' ? expr : { left: null, right: null };
  if (right?.kind === 'number' && right.value === 0 && left) {
    reporter.error('SP406', 'this divides by zero; use another divisor', expr.span);
    return null;
  }
  if (atom.kind === 'var' || Number.isFinite(atom.value)) return atom;
  reporter.error('SP406', 'this is not a finite number; use one', expr.span);
  return null;
}

type EmitOrNull = (prim: Prim, args: readonly (Atom | null)[]) => Atom | null;

const binary: Readonly<Record<BinaryOperator, (emit: EmitOrNull, operands: (Atom | null)[]) => Atom | null>> = {
  '+': (emit, ab) => emit('add', ab),
  '-': (emit, ab) => emit('sub', ab),
  '*': (emit, ab) => emit('mul', ab),
  '/': (emit, ab) => emit('div', ab),
  '@': (emit, ab) => emit('matvec', ab),
  '<': (emit, [a, b]) => emit('greater', [b, a]),
  '<=': (emit, [a, b]) => emit('greaterEqual', [b, a]),
  '>': (emit, ab) => emit('greater', ab),
  '>=': (emit, ab) => emit('greaterEqual', ab),
  '==': (emit, ab) => emit('equal', ab),
  and: (emit, ab) => emit('mul', ab),
  or: (emit, ab) => emit('max', ab),
};

/** The value of an expression that must be known when a spec is compiled: numbers, constants, functions of them. */
export function constantOf(
  expr: Expr,
  known: ReadonlyMap<string, number>,
  builder: EqnBuilder,
  reporter: Reporter,
  code: Code = 'SP405',
): number | null {
  const scope: Scope = {
    name: (e) => {
      const value = e.primed ? undefined : known.get(e.name);
      if (value !== undefined) return lit(value);
      const hint = suggestion(e.name, [...known.keys()]);
      reporter.error(code, `"${e.name}" is not a constant${hint ? `; ${hint}` : ''}`, e.span);
      return null;
    },
  };
  const atom = lowerExpression(expr, scope, builder, reporter);
  if (atom === null) return null;
  if (atom.kind === 'lit' && Number.isFinite(atom.value)) return atom.value;
  reporter.error(code, 'this must be a finite number that is known when the spec is compiled', expr.span);
  return null;
}
