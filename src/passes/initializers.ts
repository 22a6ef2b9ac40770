import type { Reporter } from '../diagnostics/diagnostic.ts';
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
  return distribution(expr.name.text, args as number[], () => {
    const usage = expr.name.text === 'uniform' ? 'uniform(low, high)' : 'normal(mean, std)';
    reporter.error('SP440', `"${expr.name.text}" takes two numbers: ${usage}`, expr.span);
  });
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
  const initializer = distribution(name, positional, () => {
    reporter.error('SP440', `"${name}" takes two numbers, as in ${name}(0, 0.1)`, call.span);
  });
  return initializer && { initializer, zeroDiagonal };
}

function distribution(name: string, args: readonly number[], complain: () => void): Initializer | null {
  if (args.length !== 2) {
    complain();
    return null;
  }
  return name === 'uniform'
    ? { kind: 'uniform', low: args[0], high: args[1] }
    : { kind: 'normal', mean: args[0], std: args[1] };
}
