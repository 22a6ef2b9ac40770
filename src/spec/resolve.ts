import { relative, resolve as resolvePath } from 'node:path';
import type { Call, Padding } from '../data/config.ts';
import type { AnyParams, Definition, ParamSpec } from '../definitions/params.ts';
import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { type LayerConfig, layerConfig, type ModelConfig } from '../passes/model.ts';
import { splitNumber } from '../syntax/quantity.ts';
import { alignScalar, type LocatedText, wholeSource } from '../syntax/text.ts';
import type { Selection } from '../train/config.ts';
import { type CallPlace, callPlaces, transformPlace } from './calls.ts';
import type { Experiment } from './experiment.ts';
import { readSource } from './load.ts';
import { type Entry, find, get, type ListTree, type MapTree, type ScalarTree, type Tree, textOf } from './tree.ts';

/** The experiment that a validated tree describes, every default filled in. `size: classes` needs the classes. */
export function resolveTree(
  tree: MapTree,
  classesOf: (data: Experiment['data']) => number | null,
  reporter: Reporter,
): Experiment {
  const train = get(tree, 'train') as MapTree;
  const data = {
    source: resolveCall(tree, placeAt('data', 'source'), reporter) as Call,
    transforms: (get(tree, 'data', 'transforms') as ListTree).items.map((t) =>
      callOf(t as MapTree, transformPlace, reporter),
    ),
    validation: resolveCall(tree, placeAt('data', 'validation'), reporter) as Call,
    padding: (textOf(get(tree, 'data', 'padding')) ?? 'exclude') as Padding,
  };
  const regularizer = resolveCall(tree, placeAt('train', 'regularizer'), reporter);
  return {
    name: textOf(get(tree, 'name')) as string,
    seed: numberAt(tree, 'seed', 1),
    license: textOf(get(tree, 'license')) ?? null,
    definitions: definitionTexts(tree, reporter),
    data,
    model: resolveModel(get(tree, 'model') as MapTree, classesOf(data)),
    lossPool: String((resolveCall(tree, placeAt('train', 'loss'), reporter) as Call).params.pool),
    regularizer: regularizer && (regularizer.params as unknown as Experiment['regularizer']),
    train: {
      epochs: numberAt(train, 'epochs', 30),
      batch: numberAt(train, 'batch', 128),
      optimizer: resolveCall(tree, placeAt('train', 'optimizer'), reporter) as Call,
      schedule: resolveCall(tree, placeAt('train', 'schedule'), reporter) as Call,
      select: (textOf(get(train, 'select')) ?? 'best') as Selection,
      init: pathAt(train, 'init'),
      clipNorm: nullableAt(train, 'clip_norm'),
      earlyStopping: nullableAt(train, 'early_stopping'),
      checkpointEvery: quantityOf(get(train, 'checkpoint_every') ?? null) ?? 60,
    },
  };
}

function placeAt(...path: string[]): CallPlace {
  return callPlaces.find((p) => p.path.join() === path.join()) as CallPlace;
}

// Values

function numberAt(tree: MapTree, key: string, otherwise: number): number {
  const value = get(tree, key);
  return value?.kind === 'scalar' && typeof value.value === 'number' ? value.value : otherwise;
}

function nullableAt(tree: MapTree, key: string): number | null {
  const value = get(tree, key);
  return value?.kind === 'scalar' && typeof value.value === 'number' ? value.value : null;
}

function pathAt(tree: MapTree, key: string): string | null {
  const given = get(tree, key);
  if (given?.kind !== 'scalar' || given.value === null) return null;
  return resolvePath(given.span.source.folder ?? '.', String(given.value));
}

function quantityOf(tree: Tree | null): number | null {
  if (tree?.kind !== 'scalar') return null;
  if (typeof tree.value === 'number') return tree.value;
  return typeof tree.value === 'string' ? splitNumber(tree.value).si : null;
}

// Calls

function resolveCall(tree: MapTree, place: CallPlace, reporter: Reporter): Call | null {
  const call = get(tree, ...place.path);
  return call?.kind === 'map' ? callOf(call, place, reporter) : null;
}

function callOf(tree: MapTree, place: CallPlace, reporter: Reporter): Call {
  const type = textOf(get(tree, 'type')) as string;
  const definition = place.definitions.find((d) => d.name === type) as Definition;
  const params: AnyParams = Object.fromEntries(
    Object.entries(definition.params).map(([name, spec]) => [name, paramValue(spec, get(tree, name))]),
  );
  const wrong = definition.check?.(params);
  if (wrong) reporter.error('SP209', wrong.message, get(tree, wrong.parameter)?.span ?? tree.span);
  return { type, params };
}

function paramValue(spec: ParamSpec, tree: Tree | undefined): AnyParams[string] {
  const given = tree as ScalarTree | undefined;
  if (!given || given.value === null) return spec.default ?? null;
  if (spec.type === 'quantity') return quantityOf(given);
  if (spec.type === 'path') return resolvePath(given.span.source.folder ?? '.', String(given.value));
  return given.value;
}

// Neurons of its own

function definitionTexts(tree: MapTree, reporter: Reporter): LocatedText[] {
  const texts: LocatedText[] = [];
  const imports = get(tree, 'import');
  for (const item of imports?.kind === 'list' ? imports.items : []) {
    const path = textOf(item) as string;
    const source = readSource(path);
    const shown = relative(process.cwd(), path);
    if (source) texts.push(wholeSource({ ...source, name: shown }));
    else
      reporter.error(
        'SP233',
        `cannot read the neuron file "${shown}"; check the path, which is relative to the spec`,
        item.span,
      );
  }
  const own = get(tree, 'define') as ScalarTree | undefined;
  if (own) {
    texts.push(own.text ?? alignScalar(String(own.value), own.span.source, own.span.start, own.span.end));
  }
  return texts;
}

// Layers

function resolveModel(tree: MapTree, classes: number | null): ModelConfig {
  const layers = get(tree, 'layers') as ListTree;
  return { layers: layers.items.map((layer) => resolveLayer(layer as MapTree, classes)), span: tree.span };
}

const layerKeys = [
  'name',
  'type',
  'from',
  'size',
  'norm',
  'dropout',
  'bias',
  'bidirectional',
  'surrogate',
  'operation',
  'freeze',
  'lr_scale',
];

function resolveLayer(tree: MapTree, classes: number | null): LayerConfig {
  const value = <T>(key: string): T | undefined => {
    const given = get(tree, key);
    return given?.kind === 'scalar' ? (given.value as T) : undefined;
  };
  const size = value<number | string>('size');
  const consts = tree.entries
    .filter((e) => !layerKeys.includes(e.key))
    .map((e) => [e.key, quantityOf(e.value) as number]);
  return layerConfig({
    name: value<string>('name') as string,
    type: value<string>('type') as string,
    from: (get(tree, 'from') as ListTree).items.map((item) => textOf(item) as string),
    size: size === 'classes' ? classes : ((size as number | undefined) ?? null),
    norm: value<LayerConfig['norm']>('norm') ?? 'batchnorm',
    dropout: value<number>('dropout') ?? 0,
    bias: value<boolean>('bias') ?? false,
    bidirectional: value<boolean>('bidirectional') ?? false,
    surrogate: surrogateOf(get(tree, 'surrogate')),
    operation: value<LayerConfig['operation']>('operation') ?? null,
    freeze: value<boolean>('freeze') ?? false,
    lrScale: value<number>('lr_scale') ?? 1,
    consts: Object.fromEntries(consts),
    spanOf: (field) => layerSpan(tree, field),
  });
}

function surrogateOf(tree: Tree | undefined): LayerConfig['surrogate'] {
  if (tree?.kind !== 'map') return null;
  const type = find(tree, 'type') as Entry;
  const args = get(tree, 'args');
  const positional = args?.kind === 'list' ? args.items : [];
  const named = tree.entries.filter((e) => e.key !== 'type' && e.key !== 'args');
  return {
    name: textOf(type.value) as string,
    nameSpan: type.value.span,
    span: tree.span,
    args: [
      ...positional.map((value) => ({ name: null, value: quantityOf(value) as number, span: value.span })),
      ...named.map(({ key, keySpan, value }) => ({ name: key, value: quantityOf(value) as number, span: keySpan })),
    ],
  };
}

/** A field is blamed at its value; an unknown constant at its key; the layer itself at its type. */
function layerSpan(tree: MapTree, field: string | undefined): Span {
  const wanted = find(tree, field ?? 'type');
  if (!wanted) return find(tree, 'type')?.value.span ?? tree.span;
  return layerKeys.includes(wanted.key) ? wanted.value.span : wanted.keySpan;
}
