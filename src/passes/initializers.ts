import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { oneOf, suggestion } from '../diagnostics/suggest.ts';
import type { EqnBuilder } from '../ir/builder.ts';
import type { Initializer } from '../ir/initializer.ts';
import type { Call, Expr } from '../syntax/ast.ts';
import { constantOf } from './expressions.ts';

/** What `= uniform(0, 1)`, `= normal(0, 0.1)` or `= 0.5` means for a parameter or a state; null after reporting. */
export function initializerOf(
  expr: Expr,
  consts: ReadonlyMap<string, number>,
  builder: EqnBuilder,
  reporter: Reporter,
): Initializer | null {
  const isDistribution = expr.kind === 'call' && ['uniform', 'normal'].includes(expr.name.text);
  if (!isDistribution) {
    const value = constantOf(expr, consts, builder, reporter);
    return value === null ? null : { kind: 'constant', value };
  }
  const args = expr.args.map((a) => constantOf(a, consts, builder, reporter));
  if (args.includes(null)) return null;
  return distribution(expr.name.text, args as number[], expr.span, reporter);
}

/** How a recurrent matrix starts, and whether its diagonal is held at zero. */
export interface RecurrentInitializer {
  readonly initializer: Initializer;
  readonly zeroDiagonal: boolean;
}

/** What `= orthogonal(diagonal=0)` means for a recurrent matrix; null after reporting. */
export function recurrentInitializerOf(call: Call, reporter: Reporter): RecurrentInitializer | null {
  const name = call.name.text;
  const known = ['orthogonal', 'uniform', 'normal'];
  if (!known.includes(name)) {
    reporter.error('SP441', `a recurrent matrix cannot start as "${name}"; ${suggestion(name, known)}`, call.name.span);
    return null;
  }
  const positional: number[] = [];
  let gain = 1;
  let zeroDiagonal = false;
  for (const argument of call.args) {
    const value = argument.value.kind === 'number' ? argument.value.value : null;
    const key = argument.name?.text ?? null;
    if (
      value === null ||
      (key !== null && !['diagonal', 'gain'].includes(key)) ||
      (key === 'diagonal' && value !== 0)
    ) {
      const message = `"${name}" takes ${oneOf(['diagonal=0', 'gain=1'])} here, as in orthogonal(diagonal=0)`;
      reporter.error('SP442', message, argument.name?.span ?? argument.value.span);
      return null;
    }
    if (key === 'diagonal') zeroDiagonal = true;
    else if (key === 'gain') gain = value;
    else positional.push(value);
  }
  if (name === 'orthogonal') return { initializer: { kind: 'orthogonal', gain }, zeroDiagonal };
  const initializer = distribution(name, positional, call.span, reporter);
  return initializer && { initializer, zeroDiagonal };
}

function distribution(name: string, args: readonly number[], span: Span, reporter: Reporter): Initializer | null {
  const usage = name === 'uniform' ? 'uniform(low, high)' : 'normal(mean, std)';
  const [first, second] = args;
  if (args.length !== 2) {
    reporter.error('SP440', `"${name}" takes two numbers: ${usage}`, span);
    return null;
  }
  if (name === 'uniform' ? first > second : second < 0) {
    const rule = name === 'uniform' ? 'low must not be greater than high' : 'std must not be negative';
    reporter.error('SP440', `${rule} in ${usage}`, span);
    return null;
  }
  return name === 'uniform'
    ? { kind: 'uniform', low: first, high: second }
    : { kind: 'normal', mean: first, std: second };
}
