import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { lit } from '../../../src/ir/builder.ts';
import type { Var } from '../../../src/ir/step.ts';
import { GraphBuilder, type Value } from '../../../src/targets/onnx/builder.ts';
import { emitEquations, Scope } from '../../../src/targets/onnx/equations.ts';
import { emitEventProduct, emitRowMatrix } from '../../../src/targets/onnx/events.ts';
import { encodeModel, valueInfo } from '../../../src/targets/onnx/proto.ts';
import { emitRecurrence } from '../../../src/targets/onnx/recurrence.ts';

type Floats = Float32Array<ArrayBuffer>;

/** What the operators that `emit` gives make of `x`. */
async function run(x: Floats, dims: number[], emit: (builder: GraphBuilder) => readonly Value[]): Promise<Floats[]> {
  const builder = new GraphBuilder();
  builder.name('x');
  const outputs = emit(builder);
  const anyShape = (name: string, rank: number) =>
    valueInfo(
      name,
      'float32',
      Array.from({ length: rank }, (_, i) => `${name}.${i}`),
    );
  const bytes = encodeModel({
    irVersion: 8,
    producerName: 'test',
    producerVersion: '',
    docString: '',
    opsetImport: [{ domain: '', version: 17 }],
    metadataProps: [],
    graph: {
      name: 'test',
      node: builder.nodes,
      initializer: builder.initializers,
      input: [valueInfo('x', 'float32', dims)],
      output: outputs.map((name) => anyShape(name, dims.length)),
    },
  });
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const results = await session.run({ x: new Tensor('float32', x, dims) });
  await session.release();
  return outputs.map((name) => results[name].data as Floats);
}

const variable = (id: number, extent: 'rows' | 'features'): Var => ({
  kind: 'var',
  id,
  name: `v${id}`,
  type: { extent, set: 'real' },
});

/** The float32 numbers next to one, and itself. */
function around(value: number): number[] {
  const bits = new Int32Array(Float32Array.of(value).buffer)[0];
  return [-1, 0, 1].map((k) => new Float32Array(Int32Array.of(bits + k).buffer)[0]);
}

describe('a comparison with a number', () => {
  it('is exact for every float32 number', async () => {
    const finite = { noNaN: true, noDefaultInfinity: true };
    const property = fc.asyncProperty(fc.float(finite), fc.array(fc.float(finite)), async (threshold, others) => {
      const special = [0, -0, 1e-45, -1e-45, 3.4e38, -3.4e38, Infinity, -Infinity, ...around(-threshold)];
      const x = Float32Array.from([...around(threshold).filter(Number.isFinite), ...special, ...others]);
      const [input, out] = [variable(0, 'rows'), variable(1, 'rows')];
      const [actual] = await run(x, [1, x.length], (builder) => {
        const scope = new Scope(builder);
        scope.bind(input, 'x');
        emitEquations(scope, [{ out, prim: 'greater', args: [input, lit(threshold)] }]);
        return [scope.value(out)];
      });
      expect([...actual]).toEqual(Array.from(x, (v) => Number(v > threshold)));
    });
    await fc.assert(property, {
      seed: 1,
      numRuns: 50,
      examples: [
        [1, []],
        [0, []],
        [-0.5, []],
        [2 ** -100, []],
      ],
    });
  });
});

describe('an event-driven product', () => {
  it.each([7, 1023, 1024, 2050])('of %i outputs is that of the whole matrix', async (outputs) => {
    const inputs = 5;
    const matrix = Float32Array.from({ length: inputs * outputs }, (_, i) => ((i * 37) % 101) / 8 - 6);
    const operands = [
      ['spike', Float32Array.of(0, 1, 0, 1, 1)],
      ['spike', Float32Array.of(0, 0, 0, 0, 1)],
      ['spike', new Float32Array(inputs)],
      ['count', Float32Array.of(0, 1, 0, 2, 300)],
      ['count', new Float32Array(inputs)],
      ['real', Float32Array.of(0, 1, 0, -0.5, 2.25)],
    ] as const;
    for (const [set, x] of operands) {
      const expected = Array.from({ length: outputs }, (_, j) =>
        x.reduce((sum, v, i) => sum + v * matrix[i * outputs + j], 0),
      );
      const [actual] = await run(x, [1, inputs], (builder) => {
        const rows = emitRowMatrix(builder, builder.tensor('W', [inputs, outputs], matrix), inputs, outputs);
        return [emitEventProduct(builder, 'x', set, rows, 'product')];
      });
      expect([...actual]).toEqual(expected);
    }
  });
});

describe('a recurrence without a loop', () => {
  it.each([1, 2, 3, 7, 8, 9, 100])('of %i steps gives what step after step gives', async (time) => {
    const factors = Float32Array.of(0, 0.5, -0.9, 1);
    const features = factors.length;
    const start = Float32Array.of(1, 2, 3, 4);
    const x = Float32Array.from({ length: time * features }, (_, i) => Math.sin(i));
    const [current, next, drive, factor] = [0, 1, 2].map((id) => variable(id, 'rows')).concat(variable(3, 'features'));
    for (const decays of [true, false]) {
      const [sequence, last] = await run(x, [time, 1, features], (builder) => {
        const scope = new Scope(builder);
        scope.bind(drive, 'x');
        scope.bind(factor, builder.tensor('factor', [features], factors));
        const recurrence = { current, next, drive, factor: decays ? factor : null };
        const result = emitRecurrence(scope, recurrence, builder.tensor('start', [1, features], start));
        return [result.sequence, builder.op('Unsqueeze', [result.last, builder.ints([0])], 'last')];
      });
      let state = [...start];
      for (let t = 0; t < time; t++) {
        state = state.map((v, i) => (decays ? factors[i] : 1) * v + x[t * features + i]);
        const step = sequence.subarray(t * features, (t + 1) * features);
        state.forEach((v, i) => {
          expect(step[i]).toBeCloseTo(v, 4);
        });
      }
      expect([...last]).toEqual([...sequence.slice(-features)]);
    }
  });
});
