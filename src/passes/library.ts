import { readdirSync, readFileSync } from 'node:fs';
import { CompileError, Reporter } from '../diagnostics/diagnostic.ts';
import type { Source } from '../diagnostics/source.ts';
import type { Definition, NeuronDefinition, SurrogateDefinition } from '../syntax/ast.ts';
import { parseDefinitions } from '../syntax/parse.ts';
import type { LocatedText } from '../syntax/text.ts';
import { wholeSource } from '../syntax/text.ts';

/** All neurons, pools and surrogates that a network can name. */
export interface Library {
  readonly neurons: ReadonlyMap<string, NeuronDefinition>;
  readonly pools: ReadonlyMap<string, NeuronDefinition>;
  readonly surrogates: ReadonlyMap<string, SurrogateDefinition>;
}

const grammarFolder = new URL('../../grammar/', import.meta.url);

let standard: Library | null = null;

/** What ships with sparchc: the `.snn` files in `grammar/`. */
export function standardLibrary(): Library {
  standard ??= withDefinitions(emptyLibrary(), standardSources().flatMap(definitionsOf), new Reporter());
  return standard;
}

/** The sources of the standard library, in a fixed order. */
export function standardSources(): Source[] {
  const neurons = readdirSync(new URL('neurons/', grammarFolder)).sort();
  const files = ['surrogates.snn', 'pools.snn', ...neurons.map((name) => `neurons/${name}`)];
  return files.map((name) => ({ name: `grammar/${name}`, text: readFileSync(new URL(name, grammarFolder), 'utf8') }));
}

function definitionsOf(source: Source): readonly Definition[] {
  const reporter = new Reporter();
  const definitions = parseDefinitions(wholeSource(source), reporter);
  if (!definitions) throw new CompileError(reporter.diagnostics);
  return definitions;
}

/** The library with a spec's own definitions added; they may replace standard ones, but not each other. */
export function extendLibrary(library: Library, texts: readonly LocatedText[], reporter: Reporter): Library {
  const definitions = texts.flatMap((text) => parseDefinitions(text, reporter) ?? []);
  return withDefinitions(library, definitions, reporter);
}

function withDefinitions(library: Library, definitions: readonly Definition[], reporter: Reporter): Library {
  const neurons = new Map(library.neurons);
  const pools = new Map(library.pools);
  const surrogates = new Map(library.surrogates);
  const seen = new Map<string, Definition>();
  for (const definition of definitions) {
    const name = definition.name.text;
    const earlier = seen.get(name);
    if (earlier) {
      const first = [{ message: 'first defined here', span: earlier.name.span }];
      reporter.error('SP401', `"${name}" is defined twice; rename one of them`, definition.name.span, first);
    }
    seen.set(name, definition);
    if (definition.kind === 'surrogate') surrogates.set(name, definition);
    else (definition.kind === 'neuron' ? neurons : pools).set(name, definition);
  }
  return { neurons, pools, surrogates };
}

function emptyLibrary(): Library {
  return { neurons: new Map(), pools: new Map(), surrogates: new Map() };
}
