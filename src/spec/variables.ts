import type { Reporter } from '../diagnostics/diagnostic.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import { find, get, type MapTree, type Tree, withEntry } from './tree.ts';

/** Replaces every `$name` by the entry of `vars`, and removes `vars`. */
export function substituteVariables(tree: MapTree, reporter: Reporter): MapTree {
  const vars = checkedVariables(get(tree, 'vars'), reporter);
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
        reporter.error('SP222', `the variable "$${name}" is not defined; ${hint}`, node.span);
        return node;
      }
    }
  };
  return replace(withEntry(tree, 'vars', undefined)) as MapTree;
}

function checkedVariables(vars: Tree | undefined, reporter: Reporter): MapTree | undefined {
  if (!vars) return undefined;
  if (vars.kind !== 'map') {
    reporter.error('SP223', '"vars" must be a section with names and values, as in vars: { hidden: 128 }', vars.span);
    return undefined;
  }
  for (const { key, keySpan, value } of vars.entries) {
    if (!/^[A-Za-z_]\w*$/.test(key)) {
      reporter.error('SP223', `a variable is called by letters, digits and "_", not "${key}"; rename it`, keySpan);
    }
    const isVariable = value.kind === 'scalar' && typeof value.value === 'string' && value.value.startsWith('$');
    if (value.kind !== 'scalar' || value.value === null || isVariable) {
      reporter.error('SP223', `the variable "${key}" must be a number or a text`, value.span);
    }
  }
  return vars;
}
