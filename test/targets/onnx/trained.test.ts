import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Compiled, compileSource } from '../../../src/compile.ts';
import type { Batch } from '../../../src/data/batch.ts';
import { openPipeline } from '../../../src/data/pipeline.ts';
import { selectTarget } from '../../../src/targets/select.ts';
import type { CompiledModel, Tensors } from '../../../src/targets/target.ts';
import { unexplained } from '../../support/divergence.ts';
import { classAgreement, classesOf, divergencesOf, type FreeRun } from '../../support/freeRunning.ts';
import { openTraced } from './support.ts';

const source = {
  name: 'small.yaml',
  text: `
sparchc: 1
name: small
data:
  source: randman(classes=4, train=480, test=120)
  transforms: [{ type: bin, steps: 40, window: 40ms }]
model: input |> 2 * RadLIF(24) |> LI(classes) |> softmax_sum
train: { epochs: 3, batch: 16, optimizer: adam(lr=0.02) }
`,
};

let spec: Compiled;
let model: CompiledModel;
let parameters: Tensors;

beforeAll(async () => {
  spec = compileSource(source);
  const { train, data: config } = spec.experiment;
  const { target } = await selectTarget('tfjs/wasm');
  const optimizer = { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 } as const;
  model = await target.compile(spec.graph, { seed: 1, optimizer, clipNorm: null });
  const data = await openPipeline(config, { batch: train.batch, seed: 1 });
  for (let epoch = 1; epoch <= train.epochs; epoch++) {
    for await (const batch of data.batches('train', { epoch, shuffle: true })) {
      await model.trainStep(batch, { epoch, learningRate: train.optimizer.params.lr as number });
    }
  }
  await data.close();
  parameters = await model.parameters();
});

afterAll(() => model.dispose());

/** The test split in batches, binned to a number of steps (the spec says 40). */
async function testSplit(size: number, steps: number): Promise<Batch[]> {
  const { experiment } = compileSource(source, { sets: [`data.transforms.bin.steps=${steps}`] });
  const data = await openPipeline(experiment.data, { batch: size, seed: 1 });
  const batches = [];
  for await (const batch of data.batches('test')) batches.push(batch);
  await data.close();
  return batches;
}

function correct(run: FreeRun, batch: Batch, classes: number): number {
  return classesOf(run.scores, classes).filter((c, i) => c === batch.labels[i]).length;
}

describe.each([
  [1, 40],
  [32, 40],
  [1, 25],
  [32, 25],
])('a trained model on the whole test split in batches of %i, %i steps', (size, steps) => {
  it('agrees with its exports, folded and unfolded', async () => {
    const { graph } = spec;
    const exports = await Promise.all([true, false].map((fold) => openTraced(graph, parameters, fold)));
    const totals = exports.map(() => ({ same: 0, own: 0, exported: 0 }));
    let samples = 0;
    for (const batch of await testSplit(size, steps)) {
      const { scores, traces } = await model.evaluate(batch, { wantTraces: true });
      const own = { scores, traces: traces as Tensors };
      for (const [k, exported] of exports.entries()) {
        const other = await exported.run(batch);
        expect(unexplained(divergencesOf(graph, parameters, batch, own, other))).toEqual([]);
        totals[k].same += batch.size * classAgreement(own, other, graph.classes);
        totals[k].own += correct(own, batch, graph.classes);
        totals[k].exported += correct(other, batch, graph.classes);
      }
      samples += batch.size;
    }
    for (const exported of exports) await exported.dispose();
    for (const { same, own, exported } of totals) {
      expect(same / samples, 'share of samples in the same class').toBeGreaterThanOrEqual(0.99);
      expect(Math.abs(own - exported) / samples, 'difference in accuracy').toBeLessThanOrEqual(0.005);
    }
    // Otherwise agreeing would be easy.
    if (steps === 40) expect(totals[0].own / samples, 'accuracy').toBeGreaterThan(0.5);
  });
});
