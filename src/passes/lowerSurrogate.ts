import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import { EqnBuilder, lit, liveEqns } from '../ir/builder.ts';
import type { Fn, Surrogate } from '../ir/step.ts';
import type { Expr, SurrogateDefinition } from '../syntax/ast.ts';
import { constantOf, lowerExpression } from './expressions.ts';
import type { Library } from './library.ts';

/** A call such as `boxcar(0.5)` or `triangle(scale=0.3)`; `name` is null for positional arguments. */
export interface SurrogateCall {
  readonly name: string;
  readonly nameSpan: Span;
  readonly args: readonly { readonly name: string | null; readonly value: number; readonly span: Span }[];
  readonly span: Span;
}

/** The surrogate that a call names; null after reporting SP41x. */
export function lowerSurrogate(call: SurrogateCall, library: Library, reporter: Reporter): Surrogate | null {
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

/** Values of all parameters, in the definition's order. They are widths, slopes and scales: all positive. */
function bindParameters(
  definition: SurrogateDefinition,
  call: SurrogateCall,
  reporter: Reporter,
): Map<string, number> | null {
  const names = definition.parameters.map((p) => p.name.text);
  const signature = `${call.name}(${names.join(', ')})`;
  const given = new Map<string, number>();
  for (const [i, { name, value, span }] of call.args.entries()) {
    const parameter = name ?? names[i];
    if (parameter === undefined) return complain(`"${signature}" takes no argument here; remove it`, span);
    if (!names.includes(parameter)) {
      return complain(`"${signature}" has no parameter "${parameter}"; ${suggestion(parameter, names)}`, span);
    }
    if (given.has(parameter)) return complain(`"${parameter}" is given twice; remove one of them`, span);
    if (!(value > 0 && Number.isFinite(value))) {
      return complain(`"${parameter}" of the surrogate "${call.name}" must be greater than 0, not ${value}`, span);
    }
    given.set(parameter, value);
  }

  const values = new Map<string, number>();
  for (const { name, value: initial } of definition.parameters) {
    const value = given.get(name.text) ?? (initial && constantOf(initial, values, new EqnBuilder(), reporter));
    if (value === null) {
      const wanted = `the surrogate "${call.name}" needs its "${name.text}"`;
      return complain(`${wanted}; write ${signature} with a number, for example ${call.name}(0.5)`, call.span);
    }
    values.set(name.text, value);
  }
  return values;

  function complain(message: string, span: Span): null {
    reporter.error('SP411', message, span);
    return null;
  }
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
