import { callPlaces } from './calls.ts';
import { entry, get, list, type MapTree, map, scalar, type Tree, textOf, withEntry } from './tree.ts';

/**
 * Fills in what the schema needs but a user may leave out: empty sections, the `type` of calls that have a default,
 * names of layers and the order of a plain chain. Defaults of single values are filled in by `resolve.ts`.
 */
export function fillStructure(tree: MapTree, name: string): MapTree {
  let filled = get(tree, 'name') ? tree : withEntry(tree, 'name', scalar(name, tree.span));
  if (!get(filled, 'train')) filled = withEntry(filled, 'train', map([], tree.span));
  for (const place of callPlaces) filled = fillCall(filled, place.path, place.default);
  const data = get(filled, 'data');
  if (data?.kind === 'map' && !get(data, 'transforms')) {
    filled = withEntry(filled, 'data', withEntry(data, 'transforms', list([], data.span)));
  }
  return fillLayers(filled);
}

function fillCall(tree: MapTree, [sectionName, key]: readonly string[], type: string | undefined): MapTree {
  const section = get(tree, sectionName);
  if (type === undefined || section?.kind !== 'map') return tree;
  const call = get(section, key);
  if (!call) {
    const value = type === 'none' ? scalar('none', section.span) : callTree(type, section);
    return withEntry(tree, sectionName, withEntry(section, key, value));
  }
  if (call.kind !== 'map' || get(call, 'type')) return tree;
  const withType = { ...call, entries: [entry('type', call.span, scalar(type, call.span)), ...call.entries] };
  return withEntry(tree, sectionName, withEntry(section, key, withType));
}

function callTree(type: string, at: Tree): MapTree {
  return map([entry('type', at.span, scalar(type, at.span))], at.span);
}

function fillLayers(tree: MapTree): MapTree {
  const model = get(tree, 'model');
  const layers = get(model, 'layers');
  if (model?.kind !== 'map' || layers?.kind !== 'list') return tree;
  const names = layers.items.map((layer, i) => textOf(get(layer, 'name')) ?? `layer${i + 1}`);
  const items = layers.items.map((layer, i) => {
    if (layer.kind !== 'map') return layer;
    const { span } = layer;
    const named = get(layer, 'name') ? layer : withEntry(layer, 'name', scalar(names[i], span));
    const from = get(named, 'from');
    if (!from) return withEntry(named, 'from', list([scalar(i === 0 ? 'input' : names[i - 1], span)], span));
    return from.kind === 'scalar' ? withEntry(named, 'from', list([from], from.span)) : named;
  });
  return withEntry(tree, 'model', withEntry(model, 'layers', { ...layers, items }));
}
