import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { importSparch } from '../../src/import/sparch.ts';
import { referenceTarget } from '../../src/targets/reference/target.ts';
import { sparchc } from '../cli/support.ts';
import { expectClose } from '../golden/golden.ts';

/** Models that sparch itself saved; see makeFixtures.py there. */
const folder = 'test/fixtures/import';
const expected = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')) as Record<
  string,
  { shape: number[]; x: number[]; logits: number[] }
>;

const read = (name: string) => readFileSync(`${folder}/${name}.pth`);

function refusal(bytes: Uint8Array): string {
  try {
    importSparch(bytes, 'model.pth', 'model');
  } catch (error) {
    if (error instanceof UserError) return `${error.diagnostic.code}: ${error.message}`;
    throw error;
  }
  return 'imported';
}

describe('an imported model gives the logits of sparch', () => {
  it.each(Object.keys(expected))('%s', async (name) => {
    const { shape, x, logits } = expected[name];
    const { spec, weights } = importSparch(read(name), name, name);
    const { optimizer } = { optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 } as const };
    const model = await referenceTarget().compile(spec.graph, { seed: 1, optimizer, clipNorm: null });
    model.load(weights);
    const [size, steps, features] = shape;
    const states = spec.graph.parameters.filter((p) => p.role === 'initialState' && p.initializer.kind !== 'constant');
    const rows = (directions: number) => directions * size;
    const result = await model.evaluate(
      {
        size,
        steps,
        features,
        input: { kind: 'dense', values: Float32Array.from(x) },
        labels: new Int32Array(size),
        samples: new Int32Array(size),
      },
      { initialStates: new Map(states.map((p) => [p.key, new Float32Array(rows(p.shape[0]) * p.shape[1]).fill(0.5)])) },
    );
    expectClose(name, result.scores, logits, 1e-5);
  });
});

describe('what is no model of sparch is refused, and nothing of it is run', () => {
  it('a pickle that calls something', () => {
    expect(refusal(read('calls'))).toMatch(
      /^SP841: "model.pth" asks for "(builtins|__builtin__).print", which no model of sparch needs/,
    );
  });

  it('a state_dict', () => {
    expect(refusal(read('stateDict'))).toMatch(/^SP843: .* save one with torch.save\(net, path\)/);
  });

  it.each([
    ['self', /^SP842: .* one module in several/],
    ['shared', /^SP842: .* one module in several/],
    ['wide', /^SP843/],
    ['name', /^SP842: .* it asks for something by no name/],
    ['key', /^SP842: .* a key is neither text nor a number/],
    ['sizes', /^SP844: .* its layers have 108096003 weights, more than the file can hold/],
  ])('a pickle made to hang or overflow the reader: %s', (name, message) => {
    expect(refusal(read(`hostile-${name}`))).toMatch(message);
  });

  it('another file', () => {
    expect(refusal(new TextEncoder().encode('hello'))).toMatch(/^SP840: .* is no zip archive/);
  });

  it('a cut file', () => {
    expect(refusal(read('LIF').subarray(0, 5000))).toMatch(/^SP840/);
  });

  it('random damage gives a model or a UserError, nothing else', () => {
    const intact = read('LIF');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(intact.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (changes) => {
          const damaged = Uint8Array.from(intact);
          for (const [at, value] of changes) damaged[at] = value;
          expect(refusal(damaged)).toMatch(/^SP84|^imported/);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('sparchc import', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'sparchc-import-'));
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));

  it('leaves a run folder that can be exported', async () => {
    const run = join(cwd, 'run');
    const imported = await sparchc(['import', `${folder}/RadLIF.pth`, '--out', run], '.');
    expect(imported.code, imported.stderr).toBe(0);
    for (const file of ['spec.resolved.yaml', 'checkpoints/best.safetensors', 'model.onnx']) {
      expect(existsSync(join(run, file)), file).toBe(true);
    }
    expect((await sparchc(['export', run, '-o', join(cwd, 'again.onnx')], '.')).code).toBe(0);
    expect(readFileSync(join(cwd, 'again.onnx'))).toEqual(readFileSync(join(run, 'model.onnx')));
  });

  it('refuses what is no model', async () => {
    const refused = await sparchc(['import', `${folder}/calls.pth`, '--out', join(cwd, 'no')], '.');
    expect(refused.code).toBe(1);
    expect(refused.stdout).toBe('');
    expect(refused.stderr).not.toContain('never be printed');
    expect(existsSync(join(cwd, 'no'))).toBe(false);
  });

  it('refuses numbers that are not finite', async () => {
    const bytes = read('LIF');
    const weight = importSparch(bytes, 'LIF.pth', 'LIF').weights.get('snn.0.W.weight') as Float32Array;
    bytes.writeFloatLE(Number.NaN, bytes.indexOf(Buffer.from(weight.buffer, weight.byteOffset, weight.byteLength)));
    const path = join(cwd, 'diverged.pth');
    writeFileSync(path, bytes);
    const refused = await sparchc(['import', path, '--out', join(cwd, 'diverged')], '.');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('holds numbers that are not finite, in what becomes "snn.0.W.weight"');
    expect(existsSync(join(cwd, 'diverged'))).toBe(false);
  });
});
