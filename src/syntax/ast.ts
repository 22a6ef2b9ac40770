import type { Span } from '../diagnostics/source.ts';

/** What the parser makes of the DSL. Every node has its span; names are not resolved yet. */
export interface Ident {
  readonly text: string;
  readonly span: Span;
}

// Equations

export type BinaryOperator = '+' | '-' | '*' | '/' | '@' | '<' | '<=' | '>' | '>=' | '==' | 'and' | 'or';

export type Expr =
  | { readonly kind: 'number'; readonly value: number; readonly span: Span }
  | { readonly kind: 'name'; readonly name: string; readonly primed: boolean; readonly span: Span }
  | {
      readonly kind: 'call';
      readonly name: Ident;
      readonly args: readonly Expr[];
      /** Of every argument: its name, as in `triangle(scale=0.3)`, or null. Only surrogates have named ones. */
      readonly argNames: readonly (Ident | null)[];
      readonly span: Span;
    }
  | { readonly kind: 'unary'; readonly operator: '-' | 'not'; readonly operand: Expr; readonly span: Span }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expr;
      readonly right: Expr;
      readonly span: Span;
    };

export type NeuronItem =
  | { readonly kind: 'input'; readonly name: Ident }
  | {
      readonly kind: 'param';
      readonly name: Ident;
      readonly scalar: boolean;
      readonly frozen: boolean;
      readonly range: readonly [Expr, Expr] | null;
      readonly initial: Expr | null;
    }
  | { readonly kind: 'const'; readonly name: Ident; readonly value: Expr }
  | { readonly kind: 'recurrent'; readonly name: Ident; readonly initial: Call }
  | { readonly kind: 'state'; readonly name: Ident; readonly initial: Expr }
  | { readonly kind: 'let'; readonly name: Ident; readonly value: Expr }
  | { readonly kind: 'update'; readonly name: Ident; readonly value: Expr }
  | { readonly kind: 'output'; readonly value: Expr; readonly span: Span };

/** `neuron NAME "doc" { ... }`, or `pool NAME "doc" { ... }` for a step that consumes time. */
export interface NeuronDefinition {
  readonly kind: 'neuron' | 'pool';
  readonly name: Ident;
  readonly doc: string;
  readonly items: readonly NeuronItem[];
}

/** `surrogate NAME(width = 0.5) "doc" { derivative = ...  antiderivative = ...  support = [low, high] }` in terms of `x`. */
export interface SurrogateDefinition {
  readonly kind: 'surrogate';
  readonly name: Ident;
  readonly doc: string;
  readonly parameters: readonly { readonly name: Ident; readonly value: Expr | null }[];
  readonly derivative: Expr | null;
  readonly antiderivative: Expr | null;
  readonly support: readonly [Expr, Expr] | null;
}

export type Definition = NeuronDefinition | SurrogateDefinition;

// Pipelines

export type Value =
  | {
      readonly kind: 'number';
      readonly value: number;
      readonly unit: string;
      readonly text: string;
      readonly span: Span;
    }
  | { readonly kind: 'string'; readonly value: string; readonly span: Span }
  /** `batchnorm`, `classes`, `true`, `none`. */
  | { readonly kind: 'word'; readonly value: string; readonly span: Span }
  /** `$hidden`: an entry of `vars`. */
  | { readonly kind: 'variable'; readonly value: string; readonly span: Span }
  | Call;

export interface Argument {
  readonly name: Ident | null;
  readonly value: Value;
}

export interface Call {
  readonly kind: 'call';
  readonly name: Ident;
  readonly args: readonly Argument[];
  readonly span: Span;
}

/** `shd(folder="data") |> bin(steps=100)`. */
export interface Pipeline {
  readonly calls: readonly Call[];
}

/** `2 * RadLIF(128)`. */
export interface Stage {
  /** 1 where none is written. */
  readonly repeat: { readonly value: number; readonly span: Span };
  readonly call: Call;
}

/** `name = head |> stage |> stage`; the head is a name (`input`, a layer) or `merge(add, a, b)`. */
export interface Chain {
  readonly name: Ident | null;
  readonly head: Call;
  readonly stages: readonly Stage[];
}

export interface Network {
  readonly chains: readonly Chain[];
}
