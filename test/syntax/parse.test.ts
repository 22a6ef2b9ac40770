import { describe, expect, it } from 'vitest';
import { Reporter } from '../../src/diagnostics/diagnostic.ts';
import { parseDefinitions, parseNetwork, parsePipeline } from '../../src/syntax/parse.ts';
import { alignScalar, wholeSource } from '../../src/syntax/text.ts';

const source = (text: string) => wholeSource({ name: 'test.snn', text });

function parsed<T>(parse: (located: ReturnType<typeof source>, reporter: Reporter) => T | null, text: string): T {
  const reporter = new Reporter();
  const tree = parse(source(text), reporter);
  expect(reporter.diagnostics).toEqual([]);
  return tree as T;
}

describe('the parser', () => {
  it('reads a neuron', () => {
    const [neuron] = parsed(
      parseDefinitions,
      `neuron LIF "doc" {
        input I
        param alpha in [exp(-1/5), exp(-1/25)], scalar frozen k = 0.5
        const theta = 1
        recurrent V = orthogonal(diagonal=0)
        state u = uniform(0, 1), s = 0
        u' = alpha * (u - s) + (1 - alpha) * (I + V @ s)
        s' = spike(u' - theta, boxcar(0.5))
        output s'
      }`,
    );
    expect(neuron.kind).toBe('neuron');
    expect(neuron.kind === 'neuron' && neuron.items.map((i) => i.kind)).toEqual([
      'input',
      'param',
      'param',
      'const',
      'recurrent',
      'state',
      'state',
      'update',
      'update',
      'output',
    ]);
  });

  it('gives products precedence over sums and @ the rank of *', () => {
    const [definition] = parsed(parseDefinitions, `neuron N { output a + V @ s - w' }`);
    const output = definition.kind === 'neuron' ? definition.items[0] : null;
    expect(output).toMatchObject({
      value: { operator: '-', left: { operator: '+', right: { operator: '@' } }, right: { name: 'w', primed: true } },
    });
  });

  it('reads a network with named chains, merges and repeats', () => {
    const network = parsed(
      parseNetwork,
      `h1 = input |> 2 * LIF(128, norm=batchnorm)\nmerge(add, h1, h1) |> LI(classes) |> softmax_sum`,
    );
    expect(network.chains).toHaveLength(2);
    expect(network.chains[0].name?.text).toBe('h1');
    expect(network.chains[0].stages[0].repeat.value).toBe(2);
    expect(network.chains[1].head.args).toHaveLength(3);
  });

  it('reads units as part of numbers', () => {
    const pipeline = parsed(parsePipeline, `shd(folder="data/shd") |> bin(steps=100, window=1.4s)`);
    expect(pipeline.calls[1].args[1].value).toMatchObject({ kind: 'number', value: 1.4, unit: 's', text: '1.4s' });
  });

  it('reports several mistakes in one go, each with its span', () => {
    const reporter = new Reporter();
    const text = `neuron N {\n input I J\n output I +\n}\nneuron M { output 3 sec § }`;
    expect(parseDefinitions(source(text), reporter)).toBeNull();
    expect(reporter.diagnostics.length).toBeGreaterThan(1);
    expect(reporter.diagnostics.map((d) => text.slice(d.span!.start, d.span!.end))).toContain('J');
  });
});

describe('alignScalar', () => {
  it('maps an indented block to its source', () => {
    const text = 'model: |\n  input |>\n    LIF(128)\n';
    const value = 'input |>\n  LIF(128)\n';
    const located = alignScalar(value, { name: 'a', text }, text.indexOf('|'), text.length);
    const at = value.indexOf('LIF');
    expect(text.slice(located.offsetOf(at), located.offsetOf(at) + 3)).toBe('LIF');
  });

  it('maps a quoted scalar with escapes', () => {
    const text = 'source: "shd(folder=\\"data\\")"';
    const value = 'shd(folder="data")';
    const located = alignScalar(value, { name: 'a', text }, text.indexOf('"'), text.length);
    expect(text.slice(located.offsetOf(value.indexOf('data')), located.offsetOf(value.indexOf('data')) + 4)).toBe(
      'data',
    );
  });
});
