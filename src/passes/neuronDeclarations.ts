import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import { type EqnBuilder, lit } from '../ir/builder.ts';
import type { Initializer } from '../ir/initializer.ts';
import type { Atom, StepParameter, Surrogate, Var } from '../ir/step.ts';
import type { Ident, NeuronDefinition, NeuronItem } from '../syntax/ast.ts';
import { constantOf } from './expressions.ts';
import { initializerOf, recurrentInitializerOf } from './initializers.ts';
import { layerOptions } from './model.ts';

/** What a layer sets for the neuron it uses. */
export interface NeuronSettings {
  /** Constants that replace the neuron's own, with where they are written. */
  readonly consts: ReadonlyMap<string, { readonly value: number; readonly span?: Span }>;
  /** Replaces the surrogate of every `spike` of the neuron. */
  readonly surrogate: Surrogate | null;
  /** Seconds per time step, known as `dt` in equations, or null where the data has none. */
  readonly stepDuration: number | null;
}

type Item<K extends NeuronItem['kind']> = Extract<NeuronItem, { kind: K }>;

/** What a neuron (or pool) declares before its equations: constants, inputs, parameters and states, in the order of use. */
export class NeuronDeclarations {
  readonly consts = new Map<string, number>();
  /** What a name stands for in equations; those of constants aside. */
  readonly names = new Map<string, Atom>();
  /** Where each name was declared, whether or not that went well. */
  readonly spans = new Map<string, Span>();
  readonly parameters: StepParameter[] = [];
  readonly inputs: { name: string; variable: Var }[] = [];
  readonly states: { name: string; before: Var; initializer: Initializer; span: Span }[] = [];
  private readonly definition: NeuronDefinition;
  private readonly settings: NeuronSettings;
  private readonly builder: EqnBuilder;
  private readonly reporter: Reporter;

  /** Reports SP42x. */
  constructor(definition: NeuronDefinition, settings: NeuronSettings, builder: EqnBuilder, reporter: Reporter) {
    this.definition = definition;
    this.settings = settings;
    this.builder = builder;
    this.reporter = reporter;
    if (settings.stepDuration !== null) this.consts.set('dt', settings.stepDuration);
    for (const item of definition.items) this.declareConstants(item);
    this.checkOverrides();
    for (const item of definition.items) this.declareVariables(item);
    this.checkWeightNames();
  }

  isState(name: string): boolean {
    return this.states.some((s) => s.name === name);
  }

  /** False after reporting that the name is taken. */
  declare(name: Ident, what: string): boolean {
    const earlier = this.spans.get(name.text);
    if (name.text === 'dt' || earlier) {
      const why = earlier
        ? 'is declared twice; rename one of them'
        : 'is the time step and cannot be declared; rename it';
      const related = earlier ? [{ message: 'first declared here', span: earlier }] : undefined;
      this.reporter.error('SP420', `the ${what} "${name.text}" ${why}`, name.span, related);
      return false;
    }
    this.spans.set(name.text, name.span);
    return true;
  }

  /** A checkpoint knows the weights and the norm of an input by its suffix, and a recurrent matrix by its name. */
  private checkWeightNames(): void {
    const takenBy = new Map<string, string>();
    const requireFree = (what: string, name: string, weights: string) => {
      const input = takenBy.get(weights);
      if (input === undefined) return;
      const message = `the ${what} "${name}" needs another name: "${weights}" in a checkpoint is what belongs to the input "${input}"`;
      this.reporter.error('SP439', message, this.spans.get(name));
    };
    for (const { name } of this.inputs) {
      const suffix = inputSuffix(name);
      requireFree('input', name, `W${suffix}`);
      takenBy.set(`W${suffix}`, name).set(`norm${suffix}`, name);
    }
    for (const item of this.definition.items) {
      if (item.kind === 'recurrent') requireFree('recurrent matrix', item.name.text, item.name.text);
    }
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
}

/** `I` -> "", `Iz` -> "z": gates are told apart as in the reference (`W`, `Wz`, `norm`, `normz`). */
export function inputSuffix(input: string): string {
  return input.startsWith('I') ? input.slice(1) : `_${input}`;
}
