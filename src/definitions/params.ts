/**
 * How a dataset, transform, optimiser or layer declares its parameters, once: the JSON Schema, the defaults, the order
 * of positional arguments in the DSL (the order of the keys) and the TypeScript type all follow from it.
 */
interface Described {
  readonly description: string;
}

export type ParamSpec =
  | (Described & {
      readonly type: 'integer';
      readonly min?: number;
      readonly max?: number;
      readonly default?: number | null;
    })
  | (Described & {
      readonly type: 'number';
      readonly min?: number;
      readonly max?: number;
      /** The bounds themselves are not allowed. */
      readonly exclusive?: boolean;
      readonly default?: number | null;
    })
  /** A number with a unit in the spec (`1.4s`, `25ms`, `16kHz`), SI inside. */
  | (Described & {
      readonly type: 'quantity';
      readonly unit: 's' | 'Hz';
      readonly min?: number;
      readonly max?: number;
      readonly exclusive?: boolean;
      readonly default?: number | null;
    })
  | (Described & { readonly type: 'boolean'; readonly default?: boolean })
  | (Described & { readonly type: 'string'; readonly default?: string | null })
  /** A file or folder; relative ones are relative to the spec file and arrive resolved. */
  | (Described & { readonly type: 'path'; readonly default?: string | null })
  | (Described & { readonly type: 'choice'; readonly values: readonly string[]; readonly default?: string | null });

/** A parameter without `default` is required; `default: null` makes it optional. */
export type ParamSpecs = Readonly<Record<string, ParamSpec>>;

type Base<S> = S extends { type: 'boolean' }
  ? boolean
  : S extends { type: 'choice'; values: readonly (infer V)[] }
    ? V
    : S extends { type: 'string' | 'path' }
      ? string
      : number;

type ValueOf<S> = S extends { default: null } ? Base<S> | null : Base<S>;

/** The resolved values, defaults filled in. */
export type Params<S extends ParamSpecs> = { readonly [K in keyof S]: ValueOf<S[K]> };

/** Any resolved values. */
export type AnyParams = Readonly<Record<string, number | string | boolean | null>>;

/** A named thing with parameters, as specs call it: `adam(lr=0.01)`, `shd(folder="data/shd")`. */
export interface Definition {
  readonly name: string;
  readonly description: string;
  readonly params: ParamSpecs;
  /** What is wrong between parameters that are each right on their own, in one sentence, or null. */
  readonly check?: (params: AnyParams) => { readonly parameter: string; readonly message: string } | null;
}

/** Whether values that did not come through the schema of specs, such as those in a model's file, are ones that it allows. */
export function paramsFit(specs: ParamSpecs, params: AnyParams): boolean {
  return Object.entries(specs).every(([name, spec]) => valueFits(spec, params[name]));
}

function valueFits(spec: ParamSpec, value: AnyParams[string] | undefined): boolean {
  if (value === undefined) return false;
  if (value === null) return spec.default === null;
  switch (spec.type) {
    case 'boolean':
      return typeof value === 'boolean';
    case 'string':
    case 'path':
      return typeof value === 'string';
    case 'choice':
      return spec.values.includes(value as string);
    case 'integer':
      return Number.isInteger(value) && within(spec, value as number);
    case 'number':
    case 'quantity':
      return Number.isFinite(value) && within(spec, value as number);
  }
}

interface Bounds {
  readonly min?: number;
  readonly max?: number;
  readonly exclusive?: boolean;
}

function within(
  { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, exclusive }: Bounds,
  value: number,
): boolean {
  return exclusive ? value > min && value < max : value >= min && value <= max;
}
