import type { Definition } from '../definitions/params.ts';
import type { Reporter } from '../diagnostics/diagnostic.ts';
import { layerOptions } from '../passes/model.ts';
import type { Call, Chain, Network, Stage, Value } from '../syntax/ast.ts';
import { parseNetwork, parsePipeline } from '../syntax/parse.ts';
import { alignScalar, type LocatedText } from '../syntax/text.ts';
import { type CallPlace, callPlaces, sourcePlace, transformPlace } from './calls.ts';
import {
  type Entry,
  entry,
  get,
  list,
  type MapTree,
  map,
  type ScalarTree,
  scalar,
  type Tree,
  withEntry,
} from './tree.ts';

/**
 * Turns DSL text in a spec into the same structure that YAML keys give: `model: |` becomes layers, a pipeline in
 * `data.source` a source with transforms, `adam(lr=0.01)` a map with a type.
 */
export function expandText(tree: Tree, reporter: Reporter): Tree {
  if (tree.kind !== 'map') return tree;
  let expanded: MapTree = tree;
  const model = get(expanded, 'model');
  if (isText(model)) expanded = setPath(expanded, ['model'], modelOf(model, reporter));
  const source = get(expanded, ...sourcePlace.path);
  if (isText(source)) expanded = expandSource(expanded, source, reporter);
  for (const place of callPlaces) {
    const value = get(expanded, ...place.path);
    if (isText(value) && !isVariable(value) && !(place.optional && value.value === 'none')) {
      expanded = setPath(expanded, place.path, callOf(value, place.definitions, reporter));
    }
  }
  return expandSurrogates(expanded, reporter);
}

function isText(tree: Tree | undefined): tree is ScalarTree & { value: string } {
  return tree?.kind === 'scalar' && typeof tree.value === 'string';
}

function isVariable(tree: ScalarTree): boolean {
  return typeof tree.value === 'string' && /^\$\w+$/.test(tree.value);
}

function located(tree: ScalarTree & { value: string }): LocatedText {
  return tree.text ?? alignScalar(tree.value, tree.span.source, tree.span.start, tree.span.end);
}

function setPath(tree: MapTree, path: readonly string[], value: Tree): MapTree {
  const [key, ...rest] = path;
  if (rest.length === 0) return withEntry(tree, key, value);
  const inner = get(tree, key);
  return inner?.kind === 'map' ? withEntry(tree, key, setPath(inner, rest, value)) : tree;
}

// Data and calls

function expandSource(tree: MapTree, source: ScalarTree & { value: string }, reporter: Reporter): MapTree {
  const pipeline = parsePipeline(located(source), reporter);
  const data = get(tree, 'data') as MapTree;
  if (!pipeline) return setPath(tree, sourcePlace.path, map([], source.span));
  const [first, ...rest] = pipeline.calls;
  const withSource = withEntry(data, 'source', treeOfCall(first, sourcePlace.definitions, reporter));
  // A source alone leaves the transforms as they are: those of the spec that this one extends, or none.
  if (rest.length === 0) return withEntry(tree, 'data', withSource);
  const given = get(data, 'transforms');
  if (given) {
    reporter.error('SP210', 'the pipeline in "source" already has its transforms; remove "transforms"', given.span);
  }
  const transforms = list(
    rest.map((call) => treeOfCall(call, transformPlace.definitions, reporter)),
    source.span,
  );
  return withEntry(tree, 'data', withEntry(withSource, 'transforms', transforms));
}

function callOf(text: ScalarTree & { value: string }, definitions: CallPlace['definitions'], reporter: Reporter): Tree {
  const call = singleCall(text, reporter);
  return call ? treeOfCall(call, definitions, reporter) : map([], text.span);
}

function singleCall(text: ScalarTree & { value: string }, reporter: Reporter): Call | null {
  const pipeline = parsePipeline(located(text), reporter);
  if (pipeline && pipeline.calls.length > 1) {
    reporter.error('SP211', 'expected one call here, not a pipeline; remove the rest', pipeline.calls[1].span);
  }
  return pipeline ? pipeline.calls[0] : null;
}

function treeOfCall(call: Call, definitions: readonly Definition[], reporter: Reporter): MapTree {
  const definition = definitions.find((d) => d.name === call.name.text);
  const positions = definition ? Object.keys(definition.params) : null;
  return map([typeEntry(call), ...argumentsOf(call, positions, reporter)], call.span);
}

function typeEntry(call: Call): Entry {
  return entry('type', call.name.span, scalar(call.name.text, call.name.span));
}

/** Arguments by name; positional ones take the definition's parameters in order. `null`: positions are unknown. */
function argumentsOf(call: Call, positions: readonly string[] | null, reporter: Reporter): Entry[] {
  const entries: Entry[] = [];
  call.args.forEach((argument, i) => {
    const key = argument.name?.text ?? positions?.[i];
    const span = argument.name?.span ?? argument.value.span;
    if (key === undefined) {
      // An unknown definition is reported by its name.
      if (positions)
        reporter.error('SP212', `"${call.name.text}" takes no argument at this position; remove it or name it`, span);
      return;
    }
    if (entries.some((e) => e.key === key)) {
      reporter.error('SP213', `"${key}" is given twice; remove one of them`, span);
      return;
    }
    entries.push(entry(key, span, treeOfValue(argument.value, reporter)));
  });
  return entries;
}

function treeOfValue(value: Value, reporter: Reporter): Tree {
  switch (value.kind) {
    case 'number':
      return scalar(value.unit ? value.text : value.value, value.span);
    case 'string':
      return scalar(value.value, value.span);
    case 'variable':
      return scalar(`$${value.value}`, value.span);
    case 'word':
      return scalar(value.value === 'true' ? true : value.value === 'false' ? false : value.value, value.span);
    case 'call':
      return treeOfSurrogate(value, reporter);
  }
}

/** Calls inside calls are surrogates: `RadLIF(128, surrogate=arctan(2))`. Only their definition knows the positions. */
function treeOfSurrogate(call: Call, reporter: Reporter): MapTree {
  const positional = call.args.filter((a) => !a.name).map((a) => treeOfValue(a.value, reporter));
  const named = call.args.filter((a) => a.name);
  const entries = argumentsOf({ ...call, args: named }, [], reporter);
  return map([typeEntry(call), entry('args', call.span, list(positional, call.span)), ...entries], call.span);
}

function expandSurrogates(tree: MapTree, reporter: Reporter): MapTree {
  const layers = get(tree, 'model', 'layers');
  if (layers?.kind !== 'list') return tree;
  const items = layers.items.map((layer) => {
    const surrogate = get(layer, 'surrogate');
    if (layer.kind !== 'map' || !isText(surrogate) || isVariable(surrogate)) return layer;
    const call = singleCall(surrogate, reporter);
    return call ? withEntry(layer, 'surrogate', treeOfSurrogate(call, reporter)) : layer;
  });
  return setPath(tree, ['model', 'layers'], { ...layers, items });
}

// Networks

function modelOf(text: ScalarTree & { value: string }, reporter: Reporter): MapTree {
  const network = parseNetwork(located(text), reporter);
  const layers = network ? layersOf(network, reporter) : [];
  return map([entry('layers', text.span, list(layers, text.span))], text.span);
}

function layersOf(network: Network, reporter: Reporter): MapTree[] {
  const names = new LayerNames(network);
  return network.chains.flatMap((chain) => layersOfChain(chain, names, reporter));
}

function layersOfChain(chain: Chain, names: LayerNames, reporter: Reporter): MapTree[] {
  const layers: MapTree[] = [];
  const isMerge = chain.head.name.text === 'merge' && chain.head.args.length > 0;
  let previous: { name: string; span: ScalarTree['span'] } = { name: chain.head.name.text, span: chain.head.span };
  const calls = chain.stages.flatMap((stage) => callsOf(stage));
  for (const stage of chain.stages) checkStage(stage, reporter);
  const count = calls.length + (isMerge ? 1 : 0);
  const nameOf = (call: Call, i: number) =>
    i === count - 1 && chain.name
      ? { text: chain.name.text, span: chain.name.span }
      : { text: names.next(call), span: call.name.span };

  if (isMerge) {
    const name = nameOf(chain.head, 0);
    layers.push(mergeLayer(chain.head, name, reporter));
    previous = { name: name.text, span: chain.head.span };
  } else if (chain.head.args.length > 0) {
    reporter.error('SP214', 'a chain starts at "input", a layer\'s name or merge(add, a, b)', chain.head.span);
  } else if (count === 0) {
    reporter.error('SP215', 'nothing follows here; continue with "|>" and a layer', chain.head.span);
  }
  calls.forEach((call, i) => {
    const name = nameOf(call, i + (isMerge ? 1 : 0));
    const from = list([scalar(previous.name, previous.span)], previous.span);
    layers.push(
      map(
        [
          entry('name', name.span, scalar(name.text, name.span)),
          typeEntry(call),
          entry('from', previous.span, from),
          // Positions of a misplaced merge were reported with it.
          ...argumentsOf(call, call.name.text === 'merge' ? null : ['size'], reporter),
        ],
        call.span,
      ),
    );
    previous = { name: name.text, span: call.name.span };
  });
  return layers;
}

const mostRepeats = 100;

/** One call for every repetition; a wrong number of them is reported by `checkStage`. */
function callsOf({ repeat, call }: Stage): Call[] {
  const isCount = Number.isInteger(repeat.value) && repeat.value >= 1 && repeat.value <= mostRepeats;
  return Array.from({ length: isCount ? repeat.value : 1 }, () => call);
}

function checkStage({ repeat, call }: Stage, reporter: Reporter): void {
  const { value, span } = repeat;
  if (!(Number.isInteger(value) && value >= 1 && value <= mostRepeats)) {
    reporter.error('SP216', `a layer is repeated a whole number of times from 1 to ${mostRepeats}, not ${value}`, span);
  }
  const { text } = call.name;
  if (text === 'merge') {
    const message =
      'merge starts a chain, as in "both = merge(add, a, b)", and cannot follow "|>"; name the chain before it';
    reporter.error('SP217', message, call.name.span);
  } else if (layerOptions.includes(text)) {
    reporter.error(
      'SP217',
      `"${text}" is an option of a layer, as in LIF(64, ${text}=...), and no layer`,
      call.name.span,
    );
  }
}

function mergeLayer(call: Call, name: { text: string; span: ScalarTree['span'] }, reporter: Reporter): MapTree {
  const [operation, ...from] = call.args.map((a) => treeOfValue(a.value, reporter));
  return map(
    [
      entry('name', name.span, scalar(name.text, name.span)),
      typeEntry(call),
      entry('from', call.span, list(from, call.span)),
      entry('operation', operation.span, operation),
    ],
    call.span,
  );
}

/** `li` for the only layer of its type, `radlif1`, `radlif2` for several. */
class LayerNames {
  private readonly totals = new Map<string, number>();
  private readonly used = new Map<string, number>();

  constructor(network: Network) {
    for (const chain of network.chains) {
      const calls = chain.stages.flatMap(callsOf);
      const isMerge = chain.head.name.text === 'merge';
      const all = isMerge ? [chain.head, ...calls] : calls;
      for (const call of chain.name ? all.slice(0, -1) : all) this.count(this.totals, call);
    }
  }

  next(call: Call): string {
    const base = call.name.text.toLowerCase();
    const index = this.count(this.used, call);
    return this.totals.get(base) === 1 ? base : `${base}${index}`;
  }

  private count(counts: Map<string, number>, call: Call): number {
    const base = call.name.text.toLowerCase();
    const count = (counts.get(base) ?? 0) + 1;
    counts.set(base, count);
    return count;
  }
}
