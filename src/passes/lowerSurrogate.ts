import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import { EqnBuilder, lit, liveEqns } from '../ir/builder.ts';
import type { Fn, Surrogate } from '../ir/step.ts';
import type { Expr, SurrogateDefinition } from '../syntax/ast.ts';
import { constantOf, lowerExpression } from './expressions.ts';
import type { Library } from './library.ts';

/** The surrogate that a call such as `boxcar(0.5)` names; null after reporting SP41x. */
export function lowerSurrogate(
  call: { readonly name: string; readonly args: readonly number[]; readonly span: Span; readonly nameSpan: Span },
  library: Library,
  reporter: Reporter,
): Surrogate | null {
  const definition = library.surrogates.get(call.name);
  if (!definition) {
    const hint = suggestion(call.name, [...library.surrogates.keys()]);
    reporter.error('SP410', `there is no surrogate "${call.name}"; ${hint}`, call.nameSpan);
    return null;
  }
  const values = bindParameters(definition, call, reporter);
  if (!values) return null;
  const derivative = lowerPart(definition, 'derivative', values, reporter);
  const antiderivative = lowerPart(definition, 'antiderivative', values, reporter);
  const support = definition.support?.map((bound) => constantOf(bound, values, new EqnBuilder(), reporter));
  if (!derivative || !antiderivative || support?.includes(null)) return null;
  return {
    name: call.name,
    args: [...values.values()],
    derivative,
    antiderivative,
    support: (support as [number, number] | undefined) ?? null,
  };
}

function bindParameters(
  definition: SurrogateDefinition,
  call: { readonly args: readonly number[]; readonly span: Span },
  reporter: Reporter,
): Map<string, number> | null {
  const name = definition.name.text;
  const values = new Map<string, number>();
  if (call.args.length > definition.parameters.length) {
    const names = definition.parameters.map((p) => p.name.text).join(', ');
    reporter.error('SP411', `"${name}(${names})" takes at most ${definition.parameters.length} arguments`, call.span);
    return null;
  }
  for (const [i, parameter] of definition.parameters.entries()) {
    const given = call.args[i] ?? (parameter.value && constantOf(parameter.value, values, new EqnBuilder(), reporter));
    if (given === null) {
      const example = `${name}(${definition.parameters.map((p) => p.name.text).join(', ')})`;
      const wanted = `the surrogate "${name}" needs its "${parameter.name.text}"`;
      reporter.error('SP411', `${wanted}; write ${example} with a number, for example ${name}(0.5)`, call.span);
      return null;
    }
    values.set(parameter.name.text, given);
  }
  return values;
}

function lowerPart(
  definition: SurrogateDefinition,
  part: 'derivative' | 'antiderivative',
  values: ReadonlyMap<string, number>,
  reporter: Reporter,
): Fn | null {
  const expr: Expr | null = definition[part];
  if (!expr) {
    const name = definition.name.text;
    reporter.error('SP412', `the surrogate "${name}" needs a line "${part} = ..." in terms of x`, definition.name.span);
    return null;
  }
  const builder = new EqnBuilder();
  const parameter = builder.fresh('x', { extent: 'rows', set: 'real' });
  const scope = {
    name: (e: Extract<Expr, { kind: 'name' }>) => {
      if (e.name === 'x' && !e.primed) return parameter;
      const value = values.get(e.name);
      if (value !== undefined && !e.primed) return lit(value);
      const hint = suggestion(e.name, ['x', ...values.keys()]);
      reporter.error('SP413', `"${e.name}" is not defined in the surrogate; ${hint}`, e.span);
      return null;
    },
  };
  const result = lowerExpression(expr, scope, builder, reporter);
  return result && { parameter, eqns: liveEqns(builder.eqns, [result]), result };
}
