import type { Reporter } from '../diagnostics/diagnostic.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import { find, get, type MapTree, type Tree, withEntry } from './tree.ts';

/** Replaces every `$name` by the entry of `vars`, and removes `vars`. */
export function substituteVariables(tree: MapTree, reporter: Reporter): MapTree {
  const vars = get(tree, 'vars');
  const replace = (node: Tree): Tree => {
    switch (node.kind) {
      case 'list':
        return { ...node, items: node.items.map(replace) };
      case 'map':
        return { ...node, entries: node.entries.map((e) => ({ ...e, value: replace(e.value) })) };
      case 'scalar': {
        const name = typeof node.value === 'string' ? /^\$(\w+)$/.exec(node.value)?.[1] : undefined;
        if (name === undefined) return node;
        const value = find(vars, name)?.value;
        if (value?.kind === 'scalar') return { ...value, span: node.span };
        const known = vars?.kind === 'map' ? vars.entries.map((e) => e.key) : [];
        const hint = suggestion(name, known) || `add it: vars: { ${name}: ... }`;
        const problem = value ? 'must be a number or a text' : 'is not defined';
        reporter.error('SP222', `the variable "$${name}" ${problem}; ${hint}`, node.span);
        return node;
      }
    }
  };
  return replace(withEntry(tree, 'vars', undefined)) as MapTree;
}
