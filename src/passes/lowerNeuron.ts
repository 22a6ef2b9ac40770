import type { Reporter } from '../diagnostics/diagnostic.ts';
import { didYouMean, suggestion } from '../diagnostics/suggest.ts';
import { EqnBuilder, lit, liveEqns } from '../ir/builder.ts';
import { typeOf } from '../ir/primitives.ts';
import type { Atom, Eqn, Step, Surrogate } from '../ir/step.ts';
import type { Expr, Ident, NeuronDefinition, NeuronItem } from '../syntax/ast.ts';
import { constantOf, lowerExpression, type Scope } from './expressions.ts';
import type { Library } from './library.ts';
import { lowerSurrogate, type SurrogateCall } from './lowerSurrogate.ts';
import { NeuronDeclarations, type NeuronSettings } from './neuronDeclarations.ts';

/** Turns a neuron's (or pool's) equations into a typed Step; null after reporting SP4xx. */
export function lowerNeuron(
  definition: NeuronDefinition,
  settings: NeuronSettings,
  library: Library,
  reporter: Reporter,
): Step | null {
  const before = reporter.errors;
  const step = new NeuronLowering(definition, settings, library, reporter).run();
  return reporter.errors > before ? null : step;
}

class NeuronLowering {
  private readonly builder = new EqnBuilder();
  private readonly declarations: NeuronDeclarations;
  private readonly primed = new Map<string, Atom>();
  private output: Atom | null = null;
  private readonly errorsBefore: number;
  private readonly definition: NeuronDefinition;
  private readonly settings: NeuronSettings;
  private readonly library: Library;
  private readonly reporter: Reporter;

  constructor(definition: NeuronDefinition, settings: NeuronSettings, library: Library, reporter: Reporter) {
    this.definition = definition;
    this.settings = settings;
    this.library = library;
    this.reporter = reporter;
    this.errorsBefore = reporter.errors;
    this.declarations = new NeuronDeclarations(definition, settings, this.builder, reporter);
  }

  run(): Step | null {
    for (const item of this.definition.items) this.lowerEquation(item);
    return this.finish();
  }

  // Equations

  private lowerEquation(item: NeuronItem): void {
    if (item.kind === 'let') {
      if (!this.declarations.declare(item.name, 'value')) return;
      const value = this.lower(item.value, item.name.text);
      if (value) this.declarations.names.set(item.name.text, value);
      return;
    }
    if (item.kind === 'update') {
      const name = item.name.text;
      if (!this.declarations.isState(name)) {
        const states = this.declarations.states.map((s) => s.name);
        const hint = didYouMean(name, states) || `declare it: state ${name} = 0`;
        return this.reporter.error('SP426', `there is no state "${name}" to update; ${hint}`, item.name.span);
      }
      if (this.primed.has(name)) {
        return this.reporter.error(
          'SP427',
          `the state "${name}" is updated twice; use "let" for the first value`,
          item.name.span,
        );
      }
      this.primed.set(name, this.perNeuron(item.value, `the new value of "${name}"`, `${name}'`));
      return;
    }
    if (item.kind === 'output') {
      if (this.output) return this.reporter.error('SP428', 'a neuron has one output; remove the others', item.span);
      this.output = this.perNeuron(item.value, 'the output');
    }
  }

  private lower(expr: Expr, name?: string): Atom | null {
    return lowerExpression(expr, this.scope, this.builder, this.reporter, name);
  }

  /** An expression with one value per row and neuron. After an error, a stand-in so that later lines are still checked. */
  private perNeuron(expr: Expr, what: string, name?: string): Atom {
    const value = this.lower(expr, name);
    if (value && typeOf(value).extent !== 'rows') {
      this.reporter.error('SP434', `${what} must depend on a state or an input`, expr.span);
    }
    return value ?? this.builder.fresh(name ?? 'unknown', { extent: 'rows', set: 'real' });
  }

  private readonly scope: Scope = {
    name: (e) => (e.primed ? this.primedName(e) : this.plainName(e)),
    call: (e) => (e.name.text === 'spike' ? this.spike(e) : undefined),
  };

  private primedName(e: Extract<Expr, { kind: 'name' }>): Atom | null {
    const value = this.primed.get(e.name);
    if (value) return value;
    if (this.declarations.isState(e.name)) {
      const message = `${e.name}' is used before it is defined; move the line "${e.name}' = ..." above this one, or use "${e.name}" for the old value`;
      this.reporter.error('SP429', message, e.span);
      return null;
    }
    const hint = suggestion(
      e.name,
      this.declarations.states.map((s) => s.name),
    );
    this.reporter.error('SP430', `there is no state "${e.name}"${hint ? `; ${hint}` : ''}`, e.span);
    return null;
  }

  private plainName(e: Extract<Expr, { kind: 'name' }>): Atom | null {
    const value = this.declarations.names.get(e.name);
    if (value) return value;
    const constant = this.declarations.consts.get(e.name);
    if (constant !== undefined) return lit(constant);
    if (e.name === 'dt') {
      const message = '"dt" is not known because the data gives no time step; use const dt1 = 1ms or a source with one';
      this.reporter.error('SP431', message, e.span);
      return null;
    }
    const hint = didYouMean(e.name, [...this.declarations.names.keys(), ...this.declarations.consts.keys()]);
    // A declaration that failed was reported there.
    if (
      this.declarations.spans.has(e.name) &&
      !this.definition.items.some((i) => i.kind === 'let' && i.name.text === e.name)
    )
      return null;
    const later = this.definition.items.some((i) => i.kind === 'let' && i.name.text === e.name);
    const how = later
      ? 'is used before its "let"; move that line up'
      : `is not defined; ${hint || `declare it: state ${e.name} = 0`}`;
    this.reporter.error('SP432', `"${e.name}" ${how}`, e.span);
    return null;
  }

  private spike(e: Extract<Expr, { kind: 'call' }>): Atom | null {
    if (e.args.length !== 2) {
      const message = '"spike" takes the potential above threshold and a surrogate: spike(u\' - theta, boxcar(0.5))';
      this.reporter.error('SP433', message, e.span);
      return null;
    }
    const x = this.lower(e.args[0]);
    const surrogate = this.surrogateOf(e.args[1]);
    if (!x || !surrogate) return null;
    if (typeOf(x).extent !== 'rows') {
      this.reporter.error('SP434', 'a spike must depend on a state or an input', e.args[0].span);
      return null;
    }
    return this.builder.emit('spike', [x], { surrogate: this.settings.surrogate ?? surrogate, origin: e.span });
  }

  private surrogateOf(expr: Expr): Surrogate | null {
    if (expr.kind !== 'call' && expr.kind !== 'name') {
      const hint = suggestion('', [...this.library.surrogates.keys()]);
      this.reporter.error('SP433', `the second argument of "spike" must be a surrogate; ${hint}`, expr.span);
      return null;
    }
    const name = expr.kind === 'call' ? expr.name : { text: expr.name, span: expr.span };
    const args = expr.kind === 'call' ? expr.args.map((a, i) => this.surrogateArgument(a, expr.argNames[i])) : [];
    if (args.includes(null)) return null;
    const call = { name: name.text, nameSpan: name.span, args: args as SurrogateCall['args'], span: expr.span };
    return lowerSurrogate(call, this.library, this.reporter);
  }

  private surrogateArgument(expr: Expr, name: Ident | null): SurrogateCall['args'][number] | null {
    const value = constantOf(expr, this.declarations.consts, this.builder, this.reporter);
    return value === null ? null : { name: name?.text ?? null, value, span: name?.span ?? expr.span };
  }

  // The result

  private finish(): Step | null {
    const name = this.definition.name;
    if (this.declarations.inputs.length === 0) {
      this.reporter.error('SP435', `"${name.text}" has no input; add a line such as "input I"`, name.span);
    }
    if (this.definition.kind === 'pool' && this.declarations.inputs.length > 1) {
      this.reporter.error('SP435', `the pool "${name.text}" must have one input`, name.span);
    }
    if (!this.output) {
      this.reporter.error('SP436', `"${name.text}" has no output; add a line such as "output s'"`, name.span);
      return null;
    }
    for (const state of this.declarations.states) {
      if (this.primed.has(state.name)) continue;
      this.reporter.error(
        'SP437',
        `the state "${state.name}" is never updated; add a line "${state.name}' = ..."`,
        state.span,
      );
    }
    const states = this.declarations.states.map(({ name: state, before, initializer }) => ({
      name: state,
      before,
      after: this.primed.get(state) ?? lit(0),
      initializer,
    }));
    const live = liveEqns(this.builder.eqns, [this.output, ...states.map((s) => s.after)]);
    // After an error, what seems unused may be what could not be read.
    if (this.reporter.errors === this.errorsBefore) this.reportUnused(live);
    const inBody = (eqn: Eqn) => eqn.out.type.extent === 'rows';
    return {
      name: name.text,
      inputs: this.declarations.inputs,
      parameters: this.declarations.parameters,
      states,
      prelude: live.filter((e) => !inBody(e)),
      body: live.filter(inBody),
      output: this.output,
      outputSet: typeOf(this.output).set,
    };
  }

  /** An input without use would give the layer weights that learn nothing. */
  private reportUnused(live: readonly Eqn[]): void {
    const read = new Set([...live.flatMap((e) => e.args), this.output, ...this.primed.values()]);
    for (const { name, variable } of [...this.declarations.inputs, ...this.declarations.parameters]) {
      if (read.has(variable)) continue;
      this.reporter.error('SP438', `"${name}" is never used; use it or remove it`, this.declarations.spans.get(name));
    }
  }
}
