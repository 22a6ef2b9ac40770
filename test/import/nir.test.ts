import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { importCommand } from '../../src/cli/import.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { importNir, importNirFile } from '../../src/import/nir.ts';
import type { NirGraph } from '../../src/targets/nir/graph.ts';
import { openHdf5 } from '../../src/targets/nir/hdf5.ts';
import { parseNir } from '../../src/targets/nir/parse.ts';
import { readNir } from '../../src/targets/nir/read.ts';
import { sparchc } from '../cli/support.ts';
import { array, chain, fileOf, graphOf, lif, node, outputOf, port } from '../targets/nir/support.ts';

/** Files that the NIR project published; see makeFixtures.py there. */
const folder = 'test/fixtures/nir';
const read = (name: string) => readFileSync(`${folder}/${name}`);

/** A file that is not damaged needs no thread of its own. */
async function importWhole(bytes: Uint8Array, dt: number | null = null) {
  return importNirFile(await parseNir(bytes, 'm.nir'), 'm.nir', 'm', dt);
}

function events(indices: readonly number[], length: number): Float32Array {
  const values = new Float32Array(length);
  for (const i of indices) values[i] = 1;
  return values;
}

describe('published files give what another program computes from them', () => {
  const expected = JSON.parse(read('expected.json').toString()) as Record<
    string,
    { shape: number[]; classes: number; x: number[]; y: number[] }
  >;

  it.each(Object.keys(expected))('%s', async (name) => {
    const { shape, classes, x, y } = expected[name];
    const { spec, weights } = await importWhole(read(`${name}.nir`));
    const output = await outputOf(spec, weights, events(x, shape[0] * shape[1] * shape[2]), shape);
    expect(output).toHaveLength(shape[0] * shape[1] * classes);
    expect([...output.keys()].filter((i) => output[i] !== 0)).toEqual(y);
  });

  it('lif_norse.nir: the spikes that Norse itself gave', async () => {
    const rows = read('lif_norse.csv').toString().trim().split('\n');
    const columns = rows.map((row) => row.split(',').map(Number));
    const { spec, weights } = await importWhole(read('lif_norse.nir'), 1e-4);
    const input = Float32Array.from(columns, ([x]) => x);
    const output = await outputOf(spec, weights, input, [1, columns.length, 1]);
    expect([...output]).toEqual(columns.map(([, , spike]) => spike));
    expect(output.indexOf(1)).toBe(460);
  });
});

async function outcomeOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (error instanceof UserError) return `${error.diagnostic.code}: ${error.message}`;
    throw error;
  }
  return 'imported';
}

const outcome = (bytes: Uint8Array) => outcomeOf(() => importNir(bytes, 'm.nir', 'm', null));
const outcomeOfWhole = (bytes: Uint8Array) => outcomeOf(() => importWhole(bytes));
const importGraph = (graph: NirGraph) => importNirFile({ version: '1.0', graph, dt: null }, 'm.nir', 'm', null);
const outcomeOfGraph = (graph: NirGraph) => outcomeOf(() => importGraph(graph));
const ends = { in: port('Input', 2), out: port('Output', 2) };
const square = (values: readonly number[] = [1, 2, 3, 4]) => node('Linear', { weight: array(values, [2, 2]) });

describe('files that are no NIR', () => {
  it('another file', async () => {
    expect(await outcome(new TextEncoder().encode('hello'))).toMatch(/^SP870: "m.nir" is no NIR file/);
  });

  it.each([100, 2000, 30000])('a file cut after %i bytes', async (length) => {
    expect(await outcome(read('braille_noDelay_bias_zero.nir').subarray(0, length))).toMatch(/^SP870: .* is damaged/);
  });

  it('another HDF5 file', async () => {
    const bytes = readFileSync('test/fixtures/data/valid.h5');
    expect(await outcome(bytes)).toMatch(/^SP871: .* it has no "version" and "node"/);
  });

  it.each(['2.0.0', '', 'new'])('version "%s"', async (version) => {
    const bytes = await fileOf(chain({ in: ends.in, lif: lif(2), out: ends.out }), version);
    expect(await outcomeOfWhole(bytes)).toMatch(
      /^SP871: .* of version ".*" of NIR, and sparchc knows versions 0 and 1/,
    );
  });

  it('a value that is not a number', async () => {
    const graph = chain({ in: ends.in, lif: lif(2, { r: array([1, Number.NaN]) }), out: ends.out });
    expect(await outcomeOfWhole(await fileOf(graph))).toBe(
      'SP872: "m.nir" is no valid NIR file: "r" of the node "lif" has a value that is not a finite number',
    );
  });

  it('an edge to a node that is not there, in a published file', async () => {
    expect(await outcomeOfWhole(read('braille_noDelay_bias_zero_subgraph.nir'))).toBe(
      'SP872: "m.nir" is no valid NIR file: an edge of the graph "lif1" names the node "lif", which is not there',
    );
  });

  it('graphs that contain themselves', async () => {
    const { File, fileSystem } = await openHdf5();
    const file = new File('/loop.nir', 'w');
    const text = (group: typeof file, name: string, value: string | string[], shape: number[]) =>
      group.create_dataset({ name, data: value, shape, dtype: 'S' });
    text(file, 'version', '1.0', []);
    const graph = file.create_group('node') as typeof file;
    text(graph, 'type', 'NIRGraph', []);
    text(graph, 'edges', ['a', 'a'], [1, 2]);
    graph.create_group('nodes');
    file.create_hard_link('/node', '/node/nodes/a');
    file.close();
    expect(await outcomeOfWhole(fileSystem.readFile('/loop.nir'))).toMatch(/^SP872: .* graphs nested more than 8 deep/);
  });

  it('a file that HDF5 reads without end', async () => {
    await expect(readNir(read('endless.nir'), 'm.nir', 1)).rejects.toMatchObject({
      message: '"m.nir" is damaged: HDF5 cannot read it; copy or download it again',
      cause: 'no end after 1 s',
    });
  });

  it('random damage gives a network or a UserError, nothing else', async () => {
    const intact = read('lif_norse.nir');
    const change = fc.tuple(fc.nat(intact.length - 1), fc.nat(255));
    const property = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
      const damaged = Uint8Array.from(intact);
      for (const [at, value] of changes) damaged[at] = value;
      expect(await outcome(damaged)).toMatch(/^SP87|^imported/);
    });
    await fc.assert(property, { numRuns: 8 });
  });
});

describe('networks that cannot be', () => {
  const vector = (...values: number[]) => array(values);

  it.each<[string, NirGraph, RegExp]>([
    [
      'a cycle without neurons',
      graphOf({ ...ends, a: square(), b: square() }, [
        ['in', 'a'],
        ['a', 'b'],
        ['b', 'a'],
        ['b', 'out'],
      ]),
      /^SP872: .* "b" depends on itself with no neuron in between/,
    ],
    [
      'a cycle through two neurons',
      graphOf({ ...ends, a: lif(2), b: lif(2) }, [
        ['in', 'a'],
        ['a', 'b'],
        ['b', 'a'],
        ['b', 'out'],
      ]),
      /^SP873: .* "b" and "a" read each other/,
    ],
    [
      'sizes that differ',
      chain({ in: ends.in, lif: lif(3), out: port('Output', 3) }),
      /^SP872: .* sizes at the node "lif" differ: 3 and 2/,
    ],
    [
      'parameters of different sizes',
      chain({ in: ends.in, lif: lif(2, { r: vector(1) }), out: ends.out }),
      /^SP873: .* "r" of "lif" has the shape \[1\], but "tau" \[2\]/,
    ],
    [
      'a time constant of 0',
      chain({ in: ends.in, lif: lif(2, { tau: vector(1, 0) }), out: ends.out }),
      /^SP873: .* "tau" of "lif" is 0 and must be greater than 0/,
    ],
    [
      'a time constant below the time step',
      chain({ in: ends.in, lif: lif(2, { tau: vector(1, 5e-5) }), out: ends.out }),
      /^SP873: .* shorter than the time step of 0.0001s; give a smaller --dt/,
    ],
    [
      'an absurd size',
      chain({ in: port('Input', 1e9), out: port('Output', 1e9) }),
      /^SP873: .* "in" has 1000000000 values, which is too large/,
    ],
    [
      'a size that needs absurd weights',
      chain({
        in: port('Input', 60000),
        s: node('Scale', { scale: array(Array(60000).fill(2)) }),
        out: port('Output', 60000),
      }),
      /^SP873: .* "s" has 60000 neurons and can have 8192/,
    ],
    [
      'two inputs',
      graphOf({ ...ends, more: port('Input', 2), lif: lif(2) }, [
        ['in', 'lif'],
        ['more', 'lif'],
        ['lif', 'out'],
      ]),
      /^SP873: .* has 2 nodes of the type Input/,
    ],
    ['no output', graphOf({ in: ends.in, lif: lif(2) }, [['in', 'lif']]), /^SP872: .* no node of the type Output/],
    [
      'nothing before a neuron',
      graphOf({ ...ends, lif: lif(2) }, [['lif', 'out']]),
      /^SP872: .* nothing leads to the node "lif"/,
    ],
    [
      'other primitives',
      chain({ in: ends.in, conv: node('Conv2d'), delay: node('Delay'), out: ends.out }),
      /^SP873: .*\n {2}- "conv" is of the type Conv2d.*\n {2}- "delay" is of the type Delay/,
    ],
  ])('%s', async (_, graph, message) => {
    expect(await outcomeOfGraph(graph)).toMatch(message);
  });

  it('random graphs give a network or a UserError, nothing else', async () => {
    const kinds = {
      lif: lif(2),
      threshold: node('Threshold', { threshold: array([0, 0]) }),
      square: square(),
      scale: node('Scale', { scale: array([1, 2]) }),
      inner: chain({ in: ends.in, lif: lif(2), out: ends.out }),
      wide: node('Linear', { weight: array([1, 2, 3], [1, 3]) }),
    };
    const names = ['a', 'b', 'c', 'd', 'in', 'out'];
    const name = fc.constantFrom(...names);
    const kind = fc.constantFrom(...Object.keys(kinds).flatMap((key) => (key === 'wide' ? [key] : [key, key, key])));
    const found = new Map<string, number>();
    const property = fc.asyncProperty(
      fc.tuple(kind, kind, kind, kind),
      fc.array(fc.tuple(name, name), { minLength: 4, maxLength: 10 }),
      async (chosen, edges) => {
        const nodes = Object.fromEntries(chosen.map((key, i) => [names[i], kinds[key as keyof typeof kinds]]));
        const result = await outcomeOfGraph(graphOf({ ...ends, ...nodes }, [...edges, ['in', 'a'], ['d', 'out']]));
        expect(result).toMatch(/^SP87[23]: |^imported$/);
        found.set(result.slice(0, 5), (found.get(result.slice(0, 5)) ?? 0) + 1);
      },
    );
    await fc.assert(property, { numRuns: 200 });
    expect(found.get('impor')).toBeGreaterThan(5);
  });

  it('a long chain', async () => {
    const nodes = Object.fromEntries(
      Array.from({ length: 990 }, (_, i) => [`s${i}`, node('Scale', { scale: array([1, 1]) })]),
    );
    expect(await outcomeOfGraph(chain({ in: ends.in, ...nodes, out: ends.out }))).toBe('imported');
  });

  it('many paths', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `s${i}`);
    const nodes = Object.fromEntries(names.map((name) => [name, node('Scale', { scale: array([0.5, 0.5]) })]));
    const path = ['in', ...names, 'out'];
    const twice = path.slice(1).flatMap(
      (name, i) =>
        [
          [path[i], name],
          [path[i], name],
        ] as [string, string][],
    );
    expect(await outcomeOfGraph(graphOf({ ...ends, ...nodes }, twice))).toBe('imported');
  });
});

describe('linear nodes', () => {
  const x = Float32Array.of(1, -2, 0.5, 3);
  const run = async (graph: NirGraph) => {
    const imported = importGraph(graph);
    return { ...imported, y: [...(await outputOf(imported.spec, imported.weights, x, [1, 2, 2]))] };
  };

  it('compose, and add up where several edges meet', async () => {
    const nodes = {
      ...ends,
      a: node('Affine', { weight: array([1, 2, 0, 1], [2, 2]), bias: array([1, 1]) }),
      b: square([0, 1, 1, 0]),
      scale: node('Scale', { scale: array([10, 100]) }),
    };
    const { y, spec } = await run(
      graphOf(nodes, [
        ['in', 'a'],
        ['a', 'b'],
        ['b', 'scale'],
        ['scale', 'out'],
        ['in', 'out'],
      ]),
    );
    // b(a(x)) swaps a(x) = (x0 + 2 x1 + 1, x1 + 1).
    expect(y).toEqual([-10 + 1, -200 - 2, 40 + 0.5, 750 + 3]);
    expect(spec.experiment.model.layers.map(({ type }) => type)).toEqual(['dense', 'merge', 'dense']);
  });

  it('leave out what leads nowhere, and say so', async () => {
    const { unused } = await run(
      graphOf({ ...ends, a: square(), dead: lif(2) }, [
        ['in', 'a'],
        ['a', 'out'],
        ['a', 'dead'],
      ]),
    );
    expect(unused).toEqual(['dead']);
  });
});

describe('the time step', () => {
  const graph = chain({ in: ends.in, lif: lif(2), out: ends.out });

  it.each([
    ['is what was asked for', { dt: 2e-4 }, 5e-4, 5e-4],
    ['is what the file hints at', { dt: 2e-4 }, null, 2e-4],
    ['is the usual one', {}, null, 1e-4],
    ['ignores nonsense in the metadata', { dt: 'soon' }, null, 1e-4],
  ])('%s', async (_, metadata, wanted, dt) => {
    const imported = await importWhole(await fileOf(graph, '1.0', metadata), wanted);
    expect(imported.dt).toBe(dt);
    expect(imported.spec.data.stepDuration).toBe(dt);
    expect(imported.weights.get('snn.0.alpha')).toEqual(Float32Array.of(1 - dt / 0.001, 1 - dt / 0.001));
  });
});

describe('sparchc import', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'sparchc-nir-'));
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));

  it('leaves a run folder whose export is the same file again', async () => {
    const run = join(cwd, 'run');
    const imported = await sparchc(['import', `${folder}/braille_noDelay_bias_zero.nir`, '-o', run], '.');
    expect(imported.code, imported.stderr).toBe(0);
    expect(imported.stdout).toContain('time steps of 0.1 ms, forward Euler');
    for (const file of ['spec.resolved.yaml', 'checkpoints/best.safetensors', 'model.onnx']) {
      expect(existsSync(join(run, file)), file).toBe(true);
    }
    const exported = await sparchc(['export', run, '--format', 'nir', '--json'], '.');
    expect(exported.code, exported.stderr).toBe(0);
    expect(JSON.parse(exported.stdout)).toMatchObject({ exact: true, dt: 1e-4, deviations: [] });
    const again = await importWhole(readFileSync(join(run, 'model.nir')));
    const first = await importWhole(read('braille_noDelay_bias_zero.nir'));
    const layers = ({ spec }: typeof first) => spec.experiment.model.layers.map(({ type, size }) => ({ type, size }));
    expect(layers(again)).toEqual(layers(first));
    expect([...again.weights.keys()]).toEqual([...first.weights.keys()]);
    for (const [key, values] of first.weights) expect(again.weights.get(key), key).toEqual(values);
  });

  it('knows time steps of NIR files only', async () => {
    const args = ['test/fixtures/import/LIF.pth', '--dt', '1ms', '-o', join(cwd, 'none')];
    await expect(importCommand().exitOverride().parseAsync(args, { from: 'user' })).rejects.toMatchObject({
      message: '--dt is about NIR files; a model of sparch has no duration',
      exitCode: 2,
    });
  });

  it('refuses what is no network in one sentence', async () => {
    const path = join(cwd, 'bad.nir');
    writeFileSync(path, 'nothing');
    const refused = await sparchc(['import', path, '-o', join(cwd, 'no')], '.');
    expect(refused.code).toBe(1);
    expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    expect(existsSync(join(cwd, 'no'))).toBe(false);
  });
});
