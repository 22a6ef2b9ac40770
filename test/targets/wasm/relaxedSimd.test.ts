import { expect, it } from 'vitest';
import type { CompiledModel, CompileOptions } from '../../../src/targets/target.ts';
import { relaxedMultiplyAdd, splat } from '../../../src/targets/wasm/assembler/expr.ts';
import { ModelCode } from '../../../src/targets/wasm/modelCode.ts';
import { eventBatch, graphOf } from '../../support/graphs.ts';
import { wasmTargets } from '../../support/wasmTargets.ts';

const options: CompileOptions = {
  seed: 5,
  optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
  clipNorm: 1,
};

/** Products of spikes and of numbers, with lists of their own and dense, gated and not. */
const graph = graphOf(
  [
    { name: 'h0', type: 'RadLIF', norm: 'batchnorm', size: 40, dropout: 0.2, from: ['input'] },
    { name: 'h1', type: 'RadLIF', norm: 'batchnorm', size: 40, from: ['h0'] },
    { name: 'h2', type: 'GRU', norm: 'layernorm', size: 36, from: ['h1'] },
    { name: 'h3', type: 'GRU', norm: 'batchnorm', size: 36, from: ['h2'] },
    { name: 'readout', type: 'LI', norm: 'batchnorm', size: 3, from: ['h3'] },
    { name: 'pool', type: 'softmax_sum', from: ['readout'] },
  ],
  { features: 50 },
);

async function train(model: CompiledModel): Promise<unknown[]> {
  const seen: unknown[] = [];
  for (let epoch = 0; epoch < 3; epoch++) {
    seen.push(await model.trainStep(eventBatch(epoch), { epoch, learningRate: 0.01, wantGradients: true }));
  }
  return [...seen, await model.parameters(), await model.optimizerState()];
}

async function compiled(threads: number): Promise<{ plain: CompiledModel; relaxed: CompiledModel }> {
  const [plain, relaxed] = await Promise.all(wasmTargets(threads).map((target) => target.compile(graph, options)));
  return { plain, relaxed };
}

it('encodes f32x4.relaxed_madd', () => {
  const [a, b, c] = [1, 2, 3].map(splat);
  const { code, text } = relaxedMultiplyAdd(a, b, c);
  expect(code).toEqual([...a.code, ...b.code, ...c.code, 0xfd, 0x85, 0x02]);
  expect(text).toBe('multiplyAdd(1, 2, 3)');
});

it('fuses products of training, and nothing else', () => {
  const fusing = (relaxedSimd: boolean) => {
    const { funcs } = new ModelCode(graph, options, { threads: 1, relaxedSimd }).kernels.module;
    return funcs.filter((f) => f.print().includes('multiplyAdd(')).map((f) => f.name.replace(/_.*/, ''));
  };
  expect(fusing(false)).toEqual([]);
  expect(new Set(fusing(true))).toEqual(
    new Set(['gather', 'denseDots', 'gatedDots', 'gatedDotsMasked', 'weightGradientReal']),
  );
});

it.each([1, 2, 8])('gives the same bits with %d threads as with one, and from run to run', async (threads) => {
  const { relaxed: one } = await compiled(1);
  const { relaxed: many } = await compiled(threads);
  expect(await train(many)).toEqual(await train(one));
  one.dispose();
  many.dispose();
});

it('evaluates weights as "wasm" does, to the bit', async () => {
  const { plain, relaxed } = await compiled(2);
  await train(relaxed);
  plain.load(await relaxed.parameters());
  const request = { wantOutput: true, wantTraces: true };
  for (const seed of [7, 8]) {
    const batch = eventBatch(seed);
    expect(await relaxed.evaluate(batch, request)).toEqual(await plain.evaluate(batch, request));
    expect(await relaxed.predict(batch)).toEqual(await plain.predict(batch));
  }
  plain.dispose();
  relaxed.dispose();
});

it('says whether it fused', async () => {
  const { plain, relaxed } = await compiled(1);
  expect(plain.execution?.relaxedSimd).toBe(false);
  expect(relaxed.execution?.relaxedSimd).toBe(true);
  plain.dispose();
  relaxed.dispose();
});
