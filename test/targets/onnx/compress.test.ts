import { describe, expect, it } from 'vitest';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import { decodeModel, tensorValues } from '../../../src/targets/onnx/proto.ts';
import { openOnnxBytes } from '../../../src/targets/onnx/run.ts';
import { type RandomNetwork, randomCase } from './networks.ts';
import { metadata } from './support.ts';

const network: RandomNetwork = {
  layers: [{ type: 'RNN', size: 40, norm: 'none', bias: true, bidirectional: false }],
  merge: null,
  head: 'mean',
  batch: 4,
  steps: 10,
  padded: false,
  seed: 4,
};
const { graph, parameters, batch } = randomCase(network);
const exportAs = (weights: 'float32' | 'float16' | 'int8') =>
  exportOnnx(graph, parameters, { fold: true, weights, metadata });

describe('weights in fewer bits', () => {
  it.each([
    ['float16', 10, 0.52, 2e-3],
    ['int8', 3, 0.35, 3e-2],
  ] as const)('%s: all matrices are stored so, and the scores stay near', async (type, code, size, tolerance) => {
    const bytes = exportAs(type);
    const stored = decodeModel(bytes).graph.initializer.filter(({ dataType }) => dataType === code);
    expect(stored.map(({ dims }) => dims.map(Number))).toEqual([
      [5, 40],
      [40, 40],
      [40, 3],
    ]);
    const weights = (b: Uint8Array) =>
      decodeModel(b).graph.initializer.reduce(
        (sum, { dims, rawData }) => sum + (dims.length === 2 ? rawData.length : 0),
        0,
      );
    expect(weights(bytes) / weights(exportAs('float32'))).toBeLessThan(size);

    const [before, after] = [await openOnnxBytes(exportAs('float32'), 'before'), await openOnnxBytes(bytes, 'after')];
    const [expected, actual] = [await before.evaluate(batch), await after.evaluate(batch)];
    const largest = Math.max(...expected.scores.map(Math.abs));
    const difference = Math.max(...expected.scores.map((v, i) => Math.abs(v - actual.scores[i])));
    expect(difference / largest).toBeLessThan(tolerance);
    expect(difference).toBeGreaterThan(0);
    await Promise.all([before.dispose(), after.dispose()]);
  });

  it('int8: each weight is off by at most half a step of its own channel', () => {
    const initializers = (b: Uint8Array) => decodeModel(b).graph.initializer;
    const original = initializers(exportAs('float32'));
    const compressed = initializers(exportAs('int8'));
    const int8 = compressed.filter(({ dataType }) => dataType === 3);
    for (const { name, dims, rawData } of int8) {
      const source = name.replace('.int8', '');
      const find = (list: typeof original, wanted: string) => {
        const tensor = list.find((t) => t.name === wanted);
        if (!tensor) throw new Error(`no tensor ${wanted}`);
        return tensorValues(tensor) as Float32Array;
      };
      const [values, scales] = [find(original, source), find(compressed, `${source}.scale`)];
      const channels = Number(dims[1]);
      Int8Array.from(rawData).forEach((q, i) => {
        const scale = scales[i % channels];
        expect(Math.abs(q * scale - values[i])).toBeLessThanOrEqual(scale * 0.5001);
      });
    }
    expect(int8.length).toBe(3);
  });
});
