import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Source } from '../diagnostics/source.ts';
import { readYaml } from './readYaml.ts';
import { entry, map, type Tree } from './tree.ts';

/** The tree that `--set train.epochs=3` stands for; null after reporting. The value is YAML or DSL text. */
export function overrideTree(option: string, folder: string, reporter: Reporter): Tree | null {
  const source: Source = { name: '--set', text: option, folder };
  const equals = option.indexOf('=');
  const path = option.slice(0, Math.max(0, equals)).trim().split('.');
  if (equals < 0 || path.some((key) => key === '')) {
    const message = 'an override is written path=value, for example --set train.epochs=3';
    reporter.error('SP221', message, { source, start: 0, end: option.length });
    return null;
  }
  if (option.slice(equals + 1).trim() === '') {
    const message = `give a value after "=", or ${path.join('.')}=null for none`;
    reporter.error('SP221', message, { source, start: equals, end: option.length });
    return null;
  }
  if (path[0] === 'extends') {
    const message = 'what a spec extends cannot be overridden; give the path of the other spec instead';
    reporter.error('SP221', message, { source, start: 0, end: equals });
    return null;
  }
  // Blanks keep the offsets of the value those of the option.
  const value = readYaml({ ...source, text: ' '.repeat(equals + 1) + option.slice(equals + 1) }, reporter);
  if (!value) return null;
  let end = equals;
  return path.reduceRight<Tree>(
    (inner, key) => {
      const start = option.lastIndexOf(key, end - 1);
      const span = { source, start, end: start + key.length };
      end = start;
      return map([entry(key, span, inner)], { source, start, end: option.length });
    },
    relocate(value, source),
  );
}

/** Spans into the blanked copy become spans into the option as it was written. */
function relocate(tree: Tree, source: Source): Tree {
  const span = { ...tree.span, source };
  switch (tree.kind) {
    case 'scalar':
      return { ...tree, span, text: tree.text && { ...tree.text, source } };
    case 'list':
      return { ...tree, span, items: tree.items.map((item) => relocate(item, source)) };
    case 'map':
      return {
        ...tree,
        span,
        entries: tree.entries.map((e) => ({
          ...e,
          keySpan: { ...e.keySpan, source },
          value: relocate(e.value, source),
        })),
      };
  }
}
