import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, parse, resolve } from 'node:path';
import { type Reporter, UserError } from '../diagnostics/diagnostic.ts';
import type { Source, Span } from '../diagnostics/source.ts';
import { fillStructure } from './defaults.ts';
import { expandText } from './expand.ts';
import { mergeTrees } from './merge.ts';
import { overrideTree } from './overrides.ts';
import { readYaml } from './readYaml.ts';
import { get, type MapTree, scalar, type Tree, withEntry } from './tree.ts';
import { substituteVariables } from './variables.ts';

/**
 * Reads a spec with everything it extends, puts the overrides on top, and gives the expanded tree: all DSL text has
 * become structure, all variables are replaced. Null after reporting.
 *
 * @throws UserError SP800 where the spec file itself cannot be read.
 */
export function loadSpec(path: string, sets: readonly string[], reporter: Reporter): MapTree | null {
  const source = readSource(path);
  if (!source) {
    throw new UserError('SP800', `${whyUnread(path)}; give the path of a .yaml file`, { exitCode: 2 });
  }
  return expandSpec(source, sets, reporter);
}

function whyUnread(path: string): string {
  if (!existsSync(path)) return `there is no spec file "${path}"`;
  return statSync(path).isDirectory() ? `"${path}" is a folder` : `"${path}" cannot be read as a text in UTF-8`;
}

/** The same for a spec that is already in memory. */
export function expandSpec(source: Source, sets: readonly string[], reporter: Reporter): MapTree | null {
  let tree = loadTree(source, [resolve(source.folder ?? '.', source.name)], reporter);
  if (!tree || reporter.failed) return null;
  for (const set of sets) {
    const override = overrideTree(set, process.cwd(), reporter);
    if (override) tree = mergeTrees(tree, expandText(override, reporter), reporter);
  }
  if (reporter.failed || tree.kind !== 'map') return null;
  const filled = fillStructure(tree, parse(source.name).name.replace(/[^A-Za-z0-9._-]/g, '-') || 'experiment');
  const substituted = substituteVariables(filled, reporter);
  return reporter.failed ? null : substituted;
}

/** A text with the folder that its paths are relative to, or null where it cannot be read (as UTF-8). */
export function readSource(path: string): Source | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
    return { name: path, text, folder: dirname(resolve(path)) };
  } catch {
    return null;
  }
}

function loadTree(source: Source, chain: readonly string[], reporter: Reporter): Tree | null {
  const read = readYaml(source, reporter);
  if (!read) return null;
  if (read.kind !== 'map') {
    reporter.error('SP107', 'a spec is a list of "key: value" lines; start with "sparchc: 1"', read.span);
    return null;
  }
  const tree = absolutePaths(expandText(read, reporter) as MapTree, source);
  const parent = get(tree, 'extends');
  const own = withEntry(tree, 'extends', undefined);
  if (!parent) return own;
  const below = loadParent(parent, source, chain, reporter);
  return below && mergeTrees(below, own, reporter);
}

function loadParent(parent: Tree, source: Source, chain: readonly string[], reporter: Reporter): Tree | null {
  if (parent.kind !== 'scalar' || typeof parent.value !== 'string') {
    reporter.error('SP230', '"extends" must be the path of a spec file', parent.span);
    return null;
  }
  const path = resolve(source.folder ?? '.', parent.value);
  if (chain.includes(path)) {
    return fail(
      'SP231',
      `"extends" forms a loop: "${parent.value}" already builds on this spec; remove one of them`,
      parent.span,
      reporter,
    );
  }
  const found = readSource(path);
  if (!found)
    return fail('SP232', `cannot read the spec "${parent.value}" that this one extends`, parent.span, reporter);
  const relative = { ...found, name: parent.value };
  return loadTree(relative, [...chain, path], reporter);
}

/** `import` entries name files next to the spec they are written in, also after another spec extends it. */
function absolutePaths(tree: MapTree, source: Source): MapTree {
  const imports = get(tree, 'import');
  if (imports?.kind !== 'list') return tree;
  const items = imports.items.map((item) =>
    item.kind === 'scalar' && typeof item.value === 'string'
      ? scalar(resolve(source.folder ?? '.', item.value), item.span)
      : item,
  );
  return withEntry(tree, 'import', { ...imports, items });
}

function fail(code: 'SP231' | 'SP232', message: string, span: Span, reporter: Reporter): null {
  reporter.error(code, message, span);
  return null;
}
