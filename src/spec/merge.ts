import type { Reporter } from '../diagnostics/diagnostic.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import { type Entry, find, type ListTree, type MapTree, type Tree, textOf } from './tree.ts';

/**
 * What `extends` and `--set` put on top of a spec. The rules:
 * - maps are merged key by key; but a call of another `type` replaces the one below it as a whole;
 * - a map on top of a list changes the items that its keys name (layers by `name`, transforms by `type`);
 * - everything else (numbers, texts, lists) is replaced.
 */
export function mergeTrees(below: Tree | undefined, above: Tree, reporter: Reporter): Tree {
  if (!below || above.kind !== 'map') return above;
  if (below.kind === 'list') return mergeItems(below, above, reporter);
  if (below.kind !== 'map') return above;
  const [oldType, newType] = [below, above].map((tree) => textOf(find(tree, 'type')?.value));
  const isCall = !find(below, 'name');
  if (isCall && newType !== undefined && oldType !== newType) return above;
  return mergeMaps(below, above, reporter);
}

function mergeMaps(below: MapTree, above: MapTree, reporter: Reporter): MapTree {
  const entries: Entry[] = below.entries.map((old) => {
    const over = find(above, old.key);
    return over ? { ...over, value: mergeTrees(old.value, over.value, reporter) } : old;
  });
  const added = above.entries.filter((e) => !find(below, e.key));
  return { ...below, entries: [...entries, ...added], span: above.span };
}

function mergeItems(below: ListTree, above: MapTree, reporter: Reporter): ListTree {
  const nameOf = (item: Tree) => textOf(find(item, 'name')?.value) ?? textOf(find(item, 'type')?.value) ?? '';
  const names = below.items.map(nameOf);
  for (const { key, keySpan } of above.entries) {
    if (names.includes(key)) continue;
    reporter.error('SP220', `there is nothing called "${key}" to change here; ${suggestion(key, names)}`, keySpan);
  }
  const items = below.items.map((item) => {
    const over = find(above, nameOf(item));
    return over ? mergeTrees(item, over.value, reporter) : item;
  });
  return { ...below, items };
}
