import type { Span } from '../diagnostics/source.ts';
import type { LocatedText } from '../syntax/text.ts';

/**
 * A spec as data with the place of every key and value: what YAML and the DSL are both read into, so that merging,
 * validation and lowering need not know which of them a user wrote.
 */
export type Tree = ScalarTree | ListTree | MapTree;

export interface ScalarTree {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  readonly span: Span;
  /** Strings from YAML: where each character stands, for DSL text inside it. */
  readonly text?: LocatedText;
}

export interface ListTree {
  readonly kind: 'list';
  readonly items: readonly Tree[];
  readonly span: Span;
}

export interface Entry {
  readonly key: string;
  readonly keySpan: Span;
  readonly value: Tree;
}

export interface MapTree {
  readonly kind: 'map';
  readonly entries: readonly Entry[];
  readonly span: Span;
}

export const scalar = (value: ScalarTree['value'], span: Span): ScalarTree => ({ kind: 'scalar', value, span });

export const map = (entries: readonly Entry[], span: Span): MapTree => ({ kind: 'map', entries, span });

export const list = (items: readonly Tree[], span: Span): ListTree => ({ kind: 'list', items, span });

export const entry = (key: string, keySpan: Span, value: Tree): Entry => ({ key, keySpan, value });

export function find(tree: Tree | undefined, key: string): Entry | undefined {
  return tree?.kind === 'map' ? tree.entries.find((e) => e.key === key) : undefined;
}

export function get(tree: Tree | undefined, ...path: readonly string[]): Tree | undefined {
  return path.reduce<Tree | undefined>((at, key) => find(at, key)?.value, tree);
}

/** The map with `key` set (in place where it was there already) or, with undefined, removed. */
export function withEntry(tree: MapTree, key: string, value: Tree | undefined, keySpan?: Span): MapTree {
  const known = find(tree, key);
  if (value === undefined) return { ...tree, entries: tree.entries.filter((e) => e.key !== key) };
  if (known) return { ...tree, entries: tree.entries.map((e) => (e === known ? { ...e, value } : e)) };
  return { ...tree, entries: [...tree.entries, entry(key, keySpan ?? value.span, value)] };
}

/** Plain data for ajv and for printing. Keys such as `__proto__` become plain properties. */
export function toPlain(tree: Tree): unknown {
  switch (tree.kind) {
    case 'scalar':
      return tree.value;
    case 'list':
      return tree.items.map(toPlain);
    case 'map':
      return Object.fromEntries(tree.entries.map((e) => [e.key, toPlain(e.value)]));
  }
}

/** The string of a scalar, or undefined. */
export function textOf(tree: Tree | undefined): string | undefined {
  return tree?.kind === 'scalar' && typeof tree.value === 'string' ? tree.value : undefined;
}
