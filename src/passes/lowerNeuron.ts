import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { didYouMean, suggestion } from '../diagnostics/suggest.ts';
import { EqnBuilder, lit, liveEqns } from '../ir/builder.ts';
import type { Initializer } from '../ir/initializer.ts';
import { typeOf } from '../ir/primitives.ts';
import type { Atom, Eqn, Step, StepParameter, Surrogate, Var } from '../ir/step.ts';
import type { Expr, Ident, NeuronDefinition, NeuronItem } from '../syntax/ast.ts';
import { constantOf, lowerExpression, type Scope } from './expressions.ts';
import { initializerOf, recurrentInitializerOf } from './initializers.ts';
import type { Library } from './library.ts';
import { lowerSurrogate, type SurrogateCall } from './lowerSurrogate.ts';

/** What a layer sets for the neuron it uses. */
export interface NeuronSettings {
  /** Constants that replace the neuron's own, with where they are written. */
  readonly consts: ReadonlyMap<string, { readonly value: number; readonly span?: Span }>;
  /** Replaces the surrogate of every `spike` of the neuron. */
  readonly surrogate: Surrogate | null;
  /** Seconds per time step, known as `dt` in equations, or null where the data has none. */
  readonly stepDuration: number | null;
}

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

type Item<K extends NeuronItem['kind']> = Extract<NeuronItem, { kind: K }>;

class NeuronLowering {
  private readonly builder = new EqnBuilder();
  private readonly consts = new Map<string, number>();
  private readonly names = new Map<string, Atom>();
  private readonly primed = new Map<string, Atom>();
  private readonly declared = new Map<string, Span>();
  private readonly parameters: StepParameter[] = [];
  private readonly inputs: { name: string; variable: Var }[] = [];
  private readonly states: { name: string; before: Var; initializer: Initializer; span: Span }[] = [];
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
  }

  run(): Step | null {
    if (this.settings.stepDuration !== null) this.consts.set('dt', this.settings.stepDuration);
    for (const item of this.definition.items) this.declareConstants(item);
    this.checkOverrides();
    for (const item of this.definition.items) this.declareVariables(item);
    for (const item of this.definition.items) this.lowerEquation(item);
    return this.finish();
  }

  // Declarations

  private declare(name: Ident, what: string): boolean {
    const earlier = this.declared.get(name.text);
    if (name.text === 'dt' || earlier) {
      const why = earlier
        ? 'is declared twice; rename one of them'
        : 'is the time step and cannot be declared; rename it';
      const related = earlier ? [{ message: 'first declared here', span: earlier }] : undefined;
      this.reporter.error('SP420', `the ${what} "${name.text}" ${why}`, name.span, related);
      return false;
    }
    this.declared.set(name.text, name.span);
    return true;
  }

  private declareConstants(item: NeuronItem): void {
    if (item.kind !== 'const' || !this.declare(item.name, 'constant')) return;
    const override = this.settings.consts.get(item.name.text);
    const value = override ? override.value : constantOf(item.value, this.consts, this.builder, this.reporter);
    if (value !== null) this.consts.set(item.name.text, value);
  }

  private checkOverrides(): void {
    const constants = this.definition.items.filter((i) => i.kind === 'const').map((i) => i.name.text);
    for (const [name, { span }] of this.settings.consts) {
      if (constants.includes(name)) continue;
      const neuron = this.definition.name.text;
      const hint = suggestion(name, [...constants, ...layerOptions]);
      this.reporter.error('SP421', `"${neuron}" has no constant or option "${name}"; ${hint}`, span);
    }
  }

  private declareVariables(item: NeuronItem): void {
    switch (item.kind) {
      case 'input':
        if (this.declare(item.name, 'input')) {
          const variable = this.builder.fresh(item.name.text, { extent: 'rows', set: 'real' });
          this.inputs.push({ name: item.name.text, variable });
          this.names.set(item.name.text, variable);
        }
        return;
      case 'param':
        return this.declareParameter(item);
      case 'recurrent':
        return this.declareRecurrent(item);
      case 'state': {
        if (!this.declare(item.name, 'state')) return;
        const initializer = initializerOf(item.initial, this.consts, this.builder, this.reporter);
        const before = this.builder.fresh(item.name.text, { extent: 'rows', set: 'real' });
        this.names.set(item.name.text, before);
        // After an error, a stand-in so that later lines are still checked.
        const start = initializer ?? { kind: 'constant', value: 0 };
        this.states.push({ name: item.name.text, before, initializer: start, span: item.name.span });
        return;
      }
      default:
    }
  }

  private declareParameter(item: Item<'param'>): void {
    if (!this.declare(item.name, 'parameter')) return;
    if (this.definition.kind === 'pool') return this.noParametersInPools(item.name);
    const range = item.range?.map((bound) => constantOf(bound, this.consts, this.builder, this.reporter));
    if (range?.includes(null)) return;
    const [low, high] = (range ?? [null, null]) as [number | null, number | null];
    if (low !== null && high !== null && low > high) {
      const message = `the range of "${item.name.text}" is empty: ${low} is greater than ${high}; swap its bounds`;
      return this.reporter.error('SP422', message, item.range?.[0].span);
    }
    const initializer = this.parameterInitializer(item, low, high);
    if (!initializer) return;
    const extent = item.scalar ? 'scalar' : 'features';
    const variable = this.builder.fresh(item.name.text, { extent, set: 'real' });
    this.parameters.push({ name: item.name.text, variable, initializer, trainable: !item.frozen });
    const bounded = low !== null && high !== null;
    const used = bounded
      ? this.builder.emit('clamp', [variable, lit(low), lit(high)], { name: item.name.text })
      : variable;
    this.names.set(item.name.text, used);
  }

  private parameterInitializer(item: Item<'param'>, low: number | null, high: number | null): Initializer | null {
    if (!item.initial) {
      if (low !== null && high !== null) return { kind: 'uniform', low, high };
      const message = `the parameter "${item.name.text}" needs a range or an initial value, for example "= uniform(0, 1)"`;
      this.reporter.error('SP423', message, item.name.span);
      return null;
    }
    const initializer = initializerOf(item.initial, this.consts, this.builder, this.reporter);
    const outside =
      initializer?.kind === 'constant' &&
      low !== null &&
      high !== null &&
      !(low <= initializer.value && initializer.value <= high);
    if (outside) {
      const message = `the parameter "${item.name.text}" starts at ${initializer.value}, outside its range [${low}, ${high}]`;
      this.reporter.error('SP424', `${message}; choose a value inside it`, item.initial.span);
    }
    return initializer;
  }

  private declareRecurrent(item: Item<'recurrent'>): void {
    if (!this.declare(item.name, 'recurrent matrix')) return;
    if (this.definition.kind === 'pool') return this.noParametersInPools(item.name);
    const parsed = recurrentInitializerOf(item.initial, this.reporter);
    if (!parsed) return;
    const variable = this.builder.fresh(item.name.text, { extent: 'matrix', set: 'real' });
    this.parameters.push({ name: item.name.text, variable, initializer: parsed.initializer, trainable: true });
    const used = parsed.zeroDiagonal
      ? this.builder.emit('zeroDiagonal', [variable], { name: item.name.text })
      : variable;
    this.names.set(item.name.text, used);
  }

  private noParametersInPools(name: Ident): void {
    const message = `a pool has no parameters, so "${name.text}" cannot be declared; make it a neuron, or use const`;
    this.reporter.error('SP425', message, name.span);
  }

  // Equations

  private lowerEquation(item: NeuronItem): void {
    if (item.kind === 'let') {
      if (!this.declare(item.name, 'value')) return;
      const value = this.lower(item.value, item.name.text);
      if (value) this.names.set(item.name.text, value);
      return;
    }
    if (item.kind === 'update') {
      const name = item.name.text;
      if (!this.states.some((s) => s.name === name)) {
        const states = this.states.map((s) => s.name);
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
    if (this.states.some((s) => s.name === e.name)) {
      const message = `${e.name}' is used before it is defined; move the line "${e.name}' = ..." above this one, or use "${e.name}" for the old value`;
      this.reporter.error('SP429', message, e.span);
      return null;
    }
    const hint = suggestion(
      e.name,
      this.states.map((s) => s.name),
    );
    this.reporter.error('SP430', `there is no state "${e.name}"${hint ? `; ${hint}` : ''}`, e.span);
    return null;
  }

  private plainName(e: Extract<Expr, { kind: 'name' }>): Atom | null {
    const value = this.names.get(e.name);
    if (value) return value;
    const constant = this.consts.get(e.name);
    if (constant !== undefined) return lit(constant);
    if (e.name === 'dt') {
      const message = '"dt" is not known because the data gives no time step; use const dt1 = 1ms or a source with one';
      this.reporter.error('SP431', message, e.span);
      return null;
    }
    const hint = didYouMean(e.name, [...this.names.keys(), ...this.consts.keys()]);
    // A declaration that failed was reported there.
    if (this.declared.has(e.name) && !this.definition.items.some((i) => i.kind === 'let' && i.name.text === e.name))
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
    const value = constantOf(expr, this.consts, this.builder, this.reporter);
    return value === null ? null : { name: name?.text ?? null, value, span: name?.span ?? expr.span };
  }

  // The result

  private finish(): Step | null {
    const name = this.definition.name;
    if (this.inputs.length === 0) {
      this.reporter.error('SP435', `"${name.text}" has no input; add a line such as "input I"`, name.span);
    }
    if (this.definition.kind === 'pool' && this.inputs.length > 1) {
      this.reporter.error('SP435', `the pool "${name.text}" must have one input`, name.span);
    }
    if (!this.output) {
      this.reporter.error('SP436', `"${name.text}" has no output; add a line such as "output s'"`, name.span);
      return null;
    }
    for (const state of this.states) {
      if (this.primed.has(state.name)) continue;
      this.reporter.error(
        'SP437',
        `the state "${state.name}" is never updated; add a line "${state.name}' = ..."`,
        state.span,
      );
    }
    const states = this.states.map(({ name: state, before, initializer }) => ({
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
      inputs: this.inputs,
      parameters: this.parameters,
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
    for (const { name, variable } of [...this.inputs, ...this.parameters]) {
      if (read.has(variable)) continue;
      this.reporter.error('SP438', `"${name}" is never used; use it or remove it`, this.declared.get(name));
    }
  }
}

/** Options every layer has besides its neuron's constants. */
export const layerOptions = ['size', 'norm', 'dropout', 'bias', 'bidirectional', 'surrogate', 'from', 'name'];
