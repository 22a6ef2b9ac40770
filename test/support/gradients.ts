import { expect } from 'vitest';
import type { Batch } from '../../src/data/batch.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { referenceTarget } from '../../src/targets/reference/target.ts';
import type { CompileOptions } from '../../src/targets/target.ts';
import { wasmTargets } from './wasmTargets.ts';

const options: CompileOptions = { seed: 3, optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 }, clipNorm: null };

/** The targets `wasm` and `wasm-relaxed` give the gradients of the interpreter, but for rounding. */
export async function expectGradientsOfInterpreter(graph: Graph, batch: Batch): Promise<void> {
  const [reference, ...own] = await Promise.all(
    [referenceTarget(), ...wasmTargets(2)].map(async (target) => {
      const model = await target.compile(graph, options);
      const { gradients } = await model.trainStep(batch, { epoch: 0, learningRate: 0, wantGradients: true });
      model.dispose();
      return gradients as ReadonlyMap<string, Float32Array>;
    }),
  );
  for (const [key, gradient] of reference) {
    const scale = Math.max(...gradient.map(Math.abs), 1e-6);
    for (const gradients of own) {
      const errors = gradient.map((x, i) => Math.abs(x - gradients.get(key)![i]) / scale);
      expect(Math.max(...errors), key).toBeLessThan(1e-4);
    }
  }
}
