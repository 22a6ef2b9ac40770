import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileSource } from '../../src/compile.ts';
import { Reporter } from '../../src/diagnostics/diagnostic.ts';
import { formatDiagnostics } from '../../src/diagnostics/format.ts';
import { functionNames } from '../../src/passes/expressions.ts';
import { standardLibrary, standardSources } from '../../src/passes/library.ts';
import { lowerNeuron } from '../../src/passes/lowerNeuron.ts';
import { layerConfig } from '../../src/passes/model.ts';
import { parseDefinitions, parseNetwork, parsePipeline } from '../../src/syntax/parse.ts';
import { printDefinition } from '../../src/syntax/print.ts';
import { wholeSource } from '../../src/syntax/text.ts';
import { randomNeuron } from '../support/randomNeuron.ts';

const reference = readFileSync('grammar/README.md', 'utf8');
const examples = [...reference.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)].map(([, language, text]) => ({
  language,
  text,
}));

function definitionsIn(text: string) {
  const reporter = new Reporter();
  const definitions = parseDefinitions(wholeSource({ name: 'example', text }), reporter);
  expect(formatDiagnostics(reporter.diagnostics)).toBe('');
  return definitions ?? [];
}

/** A syntax tree without the places it came from. */
const withoutSpans = (tree: unknown) =>
  JSON.parse(JSON.stringify(tree, (key, value) => (key === 'span' ? undefined : value)));

describe('the language reference', () => {
  it('has examples of everything', () => {
    expect(new Set(examples.map((e) => e.language))).toEqual(new Set(['ebnf', 'snn', 'network', 'pipeline', 'yaml']));
  });

  it.each(examples.filter((e) => e.language === 'snn'))('defines what it says: $text', ({ text }) => {
    const library = standardLibrary();
    for (const definition of definitionsIn(text)) {
      if (definition.kind === 'surrogate') continue;
      const reporter = new Reporter();
      const settings = { consts: new Map(), surrogate: null, stepDuration: 0.014 };
      const step = lowerNeuron(definition, settings, library, reporter);
      expect(formatDiagnostics(reporter.diagnostics)).toBe('');
      expect(step?.name).toBe(definition.name.text);
    }
  });

  it.each(examples.filter((e) => e.language === 'network'))('parses the network $text', ({ text }) => {
    const reporter = new Reporter();
    expect(parseNetwork(wholeSource({ name: 'example', text }), reporter)?.chains.length).toBeGreaterThan(0);
    const spec = `sparchc: 1\ndata: { source: "randman |> bin(steps=40, window=40ms)" }\nmodel: |\n${text.replace(/^/gm, '  ')}`;
    expect(compileSource({ name: 'example', text: spec }).graph.classes).toBe(10);
  });

  it.each(examples.filter((e) => e.language === 'pipeline'))('parses the pipeline $text', ({ text }) => {
    const reporter = new Reporter();
    expect(parsePipeline(wholeSource({ name: 'example', text }), reporter)?.calls).toHaveLength(
      text.split('|>').length,
    );
  });

  it.each(examples.filter((e) => e.language === 'yaml'))('compiles the experiment $text', ({ text }) => {
    const sets = text.includes('name: wider')
      ? ['model.layers.h.size=256', 'data.transforms.bin.steps=20', 'train.optimizer=sgd']
      : [];
    const { experiment } = compileSource({ name: 'example', text, folder: '.' }, { sets });
    if (sets.length > 0) expect(experiment.model.layers[0].size).toBe(256);
  });

  it('lists every function, surrogate and layer option', () => {
    for (const name of functionNames) expect(reference).toMatch(new RegExp(`[\`\\s]${name}[\`\\s(]`));
    for (const name of standardLibrary().surrogates.keys()) expect(reference).toContain(`\`${name}`);
    const config = layerConfig({ name: '', type: '', from: [] });
    for (const option of Object.keys(config)) {
      if (!['name', 'type', 'from', 'operation', 'consts', 'spanOf'].includes(option))
        expect(reference).toContain(`\`${option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}\``);
    }
  });
});

describe('the printer of definitions', () => {
  const texts = [
    ...standardSources().map((s) => s.text),
    ...examples.filter((e) => e.language === 'snn').map((e) => e.text),
  ];

  it.each(texts)('round-trips %s', (text) => {
    const definitions = definitionsIn(text);
    expect(withoutSpans(definitionsIn(definitions.map(printDefinition).join('\n')))).toEqual(withoutSpans(definitions));
  });

  it('round-trips random neurons', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), (seed) => {
        const definitions = definitionsIn(randomNeuron(seed));
        expect(withoutSpans(definitionsIn(definitions.map(printDefinition).join('\n')))).toEqual(
          withoutSpans(definitions),
        );
      }),
      { numRuns: 50 },
    );
  });
});
