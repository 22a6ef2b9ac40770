import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { type Batch, toDense } from '../../../src/data/batch.ts';
import { UserError } from '../../../src/diagnostics/diagnostic.ts';
import { Stream } from '../../../src/random/stream.ts';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import { type Attribute, decodeModel, encodeModel, type Node, type Subgraph } from '../../../src/targets/onnx/proto.ts';
import { openOnnx } from '../../../src/targets/onnx/run.ts';
import { type OnnxStream, openOnnxStream } from '../../../src/targets/onnx/runStream.ts';
import type { Segmentation } from '../../../src/targets/onnx/stream.ts';
import { expectClose } from '../../golden/golden.ts';
import { type RandomNetwork, randomCase, randomNetwork } from './networks.ts';
import { exported, metadata, temporaryFolder } from './support.ts';

const folder = temporaryFolder();

type Case = ReturnType<typeof randomCase>;

function openStream({ graph, parameters }: Case, segmentation: Segmentation, fold = true): Promise<OnnxStream> {
  const path = join(folder, 'step.onnx');
  writeFileSync(path, exportOnnx(graph, parameters, { fold, segmentation, metadata }));
  return openOnnxStream(path, { threads: 1 });
}

/** Steps `from` to `to` of every row, [batch, to - from, features]. */
function cut(
  x: Float32Array,
  { size, steps, features }: Pick<Batch, 'size' | 'steps' | 'features'>,
  from: number,
  to: number,
) {
  const chunk = new Float32Array(size * (to - from) * features);
  for (let row = 0; row < size; row++) {
    const start = row * steps * features;
    chunk.set(x.subarray(start + from * features, start + to * features), row * (to - from) * features);
  }
  return chunk;
}

function denseBatch(values: Float32Array, size: number, features: number): Batch {
  const steps = values.length / size / features;
  const input = { kind: 'dense', values } as const;
  return { size, steps, features, input, labels: new Int32Array(size), samples: new Int32Array(size) };
}

const scaled = (expected: Float32Array) => 1e-5 * expected.reduce((m, v) => Math.max(m, Math.abs(v)), 1);

const common: RandomNetwork = {
  layers: [{ type: 'RadLIF', size: 8, norm: 'batchnorm', bias: true, bidirectional: false }],
  merge: null,
  head: 'softmax_sum',
  batch: 3,
  steps: 30,
  padded: false,
  seed: 3,
};

describe('a stream fed in chunks gives what the whole sequence gives', () => {
  it('on random networks and chunks, folded and unfolded', async () => {
    let active = 0;
    const property = fc.asyncProperty(
      randomNetwork,
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 9, maxLength: 9 }),
      fc.boolean(),
      async (network, sizes, fold) => {
        const layers = network.layers.map((layer) => ({ ...layer, bidirectional: false }));
        const random = randomCase({ ...network, layers, padded: false });
        const { graph, parameters, batch } = random;
        const model = await exported(folder, graph, parameters, fold);
        const whole = await model.evaluate(batch);
        const stream = await openStream(random, { kind: 'reset' }, fold);
        const x = toDense(batch);
        let last: Float32Array = new Float32Array();
        for (let from = 0, k = 0; from < batch.steps; from += sizes[k++]) {
          const to = Math.min(batch.steps, from + sizes[k]);
          const { scores, output } = await stream.feed(cut(x, batch, from, to), batch.size);
          last = scores;
          if (!whole.output || !output) continue;
          const expected = cut(whole.output, { ...batch, features: graph.classes }, from, to);
          expectClose('output', output, expected, scaled(expected));
        }
        expectClose('scores', last, whole.scores, scaled(whole.scores));
        if ([...whole.firingRates.values()].some((rates) => rates.some((r) => r > 0.05))) active++;
        await Promise.all([model.dispose(), stream.dispose()]);
      },
    );
    await fc.assert(property, { seed: 5, numRuns: 40 });
    expect(active, 'networks that were not silent').toBeGreaterThan(25);
  });

  it('starts afresh on request, also one row of a batch', async () => {
    const random = randomCase(common);
    const { graph, batch } = random;
    const stream = await openStream(random, { kind: 'reset' });
    const fed = await stream.feed(toDense(batch), batch.size);
    const again = await stream.feed(toDense(batch), batch.size);
    expect([...again.scores]).not.toEqual([...fed.scores]);
    const reset = await stream.feed(toDense(batch), batch.size, [false, true, false]);
    const row = (scores: Float32Array, k: number) => scores.subarray(k * graph.classes, (k + 1) * graph.classes);
    expect([...row(reset.scores, 1)]).toEqual([...row(fed.scores, 1)]);
    expect([...row(reset.scores, 0)]).not.toEqual([...row(fed.scores, 0)]);
    stream.restart();
    expect([...(await stream.feed(toDense(batch), batch.size)).scores]).toEqual([...fed.scores]);
  });

  it('takes whole time steps only', async () => {
    const stream = await openStream(randomCase(common), { kind: 'reset' });
    await expect(stream.feed(new Float32Array(7))).rejects.toThrow(
      'a chunk has 7 numbers but the model takes a multiple of 1 x 5 (batch, features); give whole time steps',
    );
    await stream.dispose();
  });
});

describe('a sliding window', () => {
  it.each(['softmax_sum', 'mean', 'max', 'last', 'dense'])('pools exactly the last steps: %s', async (head) => {
    const random = randomCase({ ...common, head });
    const { graph, parameters, batch } = random;
    const x = toDense(batch);
    const steps = 7;
    const windowed = await openStream(random, { kind: 'window', steps });
    // The same network with the pool restarted: its layers' states at the window's start come from the model itself.
    const model = await exported(folder, graph, parameters, true);
    for (let to = 1; to <= batch.steps; to++) {
      const { scores } = await windowed.feed(cut(x, batch, to - 1, to), batch.size);
      const from = Math.max(0, to - steps);
      const before = from > 0 ? await model.evaluate(denseBatch(cut(x, batch, 0, from), batch.size, 5)) : null;
      const window = denseBatch(cut(x, batch, from, to), batch.size, 5);
      const expected = await model.evaluate(window, before?.finalStates);
      expectClose(`after ${to} steps`, scores, expected.scores, scaled(expected.scores));
    }
    await Promise.all([windowed.dispose(), model.dispose()]);
  });

  it('may be fed chunks longer than itself', async () => {
    const random = randomCase(common);
    const x = toDense(random.batch);
    const [byStep, atOnce] = [
      await openStream(random, { kind: 'window', steps: 4 }),
      await openStream(random, { kind: 'window', steps: 4 }),
    ];
    const whole = await atOnce.feed(x, 3);
    let last = whole;
    for (let t = 0; t < 30; t++) last = await byStep.feed(cut(x, random.batch, t, t + 1), 3);
    expectClose('scores', last.scores, whole.scores, 1e-6);
  });
});

describe('ten minutes of words and pauses', () => {
  it('the silence gate gives each word the scores it has alone, and holds them through the pause', async () => {
    const random = randomCase({ ...common, batch: 1 });
    const { graph, parameters } = random;
    const gate = 12;
    const stream = await openStream(random, { kind: 'silence', steps: gate });
    const model = await exported(folder, graph, parameters, true);
    const draws = new Stream(11, 'ten minutes');
    // Steps of 10 ms.
    const total = 60_000;
    let words = 0;
    let fed = 0;
    let previous: Float32Array | null = null;
    while (fed < total) {
      const pause = new Float32Array((gate + draws.integer(200)) * 5);
      const word = wordOf(draws, 20 + draws.integer(80), gate - 1);
      const spoken = new Float32Array([...word, ...new Float32Array((gate - 1) * 5)]);
      const alone = await model.evaluate(denseBatch(spoken, 1, 5));
      const held = await feedInChunks(stream, pause, draws);
      if (previous) expect([...held.scores]).toEqual([...previous]);
      const heard = await feedInChunks(stream, new Float32Array([...word, ...new Float32Array(gate * 5)]), draws);
      expectClose(`word ${words}`, heard.scores, alone.scores, scaled(alone.scores));
      previous = heard.scores;
      fed += (pause.length + word.length) / 5 + gate;
      words++;
    }
    expect(words).toBeGreaterThan(250);
    await Promise.all([stream.dispose(), model.dispose()]);
  });
});

/** Random counts that begin and end with an event and never pause for longer than `longest` steps. */
function wordOf(draws: Stream, steps: number, longest: number): Float32Array {
  const word = Float32Array.from({ length: steps * 5 }, () => Math.max(0, draws.integer(6) - 3));
  for (const t of [0, steps - 1, ...Array.from({ length: steps }, (_, i) => i).filter((i) => i % longest === 0)]) {
    word[t * 5] = 1;
  }
  return word;
}

async function feedInChunks(stream: OnnxStream, x: Float32Array, draws: Stream) {
  let result = null;
  for (let from = 0; from < x.length; ) {
    const to = Math.min(x.length, from + 5 * (1 + draws.integer(40)));
    result = await stream.feed(x.slice(from, to));
    from = to;
  }
  if (!result) throw new Error('nothing to feed');
  return result;
}

it('rates are 0 in a chunk that the silence gate holds back', async () => {
  const { graph, parameters } = randomCase(common);
  const segmentation = { kind: 'silence', steps: 2 } as const;
  // Optional inputs are left out: the gate is closed at the start.
  const session = await InferenceSession.create(exportOnnx(graph, parameters, { fold: true, segmentation, metadata }));
  const rateOf = async (value: number) => {
    const { 'rate.h0': rate } = await session.run({ x: new Tensor('float32', Array(15).fill(value), [1, 3, 5]) });
    return [...(rate.data as Float32Array)];
  };
  expect(await rateOf(0)).toEqual(Array(8).fill(0));
  expect((await rateOf(1)).some((rate) => rate > 0)).toBe(true);
  await session.release();
});

it('a single step adds up a bias after the product: no runtime makes one operator of the two', () => {
  const { graph, parameters } = randomCase({ ...common, layers: [{ ...common.layers[0], size: 400 }] });
  const bytes = exportOnnx(graph, parameters, { fold: true, segmentation: { kind: 'reset' }, metadata });
  const choice = decodeModel(bytes).graph.node.find(({ opType }) => opType === 'If');
  const oneStep = choice?.attribute.find(({ name }) => name === 'then_branch');
  const { node } = (oneStep as Attribute).g as Subgraph;
  const products = new Set(node.flatMap(({ opType, output }) => (opType === 'MatMul' ? output : [])));
  const sums = node.filter(({ input }) => input.some((value) => products.has(value)));
  expect(sums.length).toBeGreaterThan(1);
  expect(sums.map(({ opType }) => opType)).not.toContain('Add');
});

it.each<Segmentation>([{ kind: 'reset' }, { kind: 'window', steps: 6 }, { kind: 'silence', steps: 6 }])(
  'holds no constant that nothing reads, of which runtimes would warn: $kind',
  (segmentation) => {
    for (const size of [8, 400]) {
      const { graph, parameters } = randomCase({ ...common, layers: [{ ...common.layers[0], size }] });
      const { initializer, input, node } = decodeModel(
        exportOnnx(graph, parameters, { fold: true, segmentation, metadata }),
      ).graph;
      const read = new Set([...allNodes(node).flatMap((n) => n.input), ...input.map(({ name }) => name)]);
      expect(initializer.map(({ name }) => name).filter((name) => !read.has(name))).toEqual([]);
    }
  },
);

function allNodes(nodes: readonly Node[]): Node[] {
  return nodes.flatMap((node) => [node, ...node.attribute.flatMap(({ g }) => (g ? allNodes(g.node) : []))]);
}

describe('a stream refuses', () => {
  it('bidirectional layers', () => {
    const [layer] = common.layers;
    const { graph, parameters } = randomCase({ ...common, layers: [{ ...layer, bidirectional: true }] });
    const attempt = () => exportOnnx(graph, parameters, { fold: true, segmentation: { kind: 'reset' }, metadata });
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(
      'layer "h0" is bidirectional: it reads the sequence from its end, which a stream does not have; export with --mode sequence, or train the network without "bidirectional"',
    );
  });

  it('features that are normalized over the whole utterance', () => {
    const { graph, parameters } = randomCase(common);
    const attempt = (over: string) => () => {
      const preprocessing = [{ type: 'normalize', params: { over, variance: true } }];
      const segmentation = { kind: 'reset' } as const;
      return exportOnnx(graph, parameters, { fold: true, segmentation, metadata: { ...metadata, preprocessing } });
    };
    expect(attempt('utterance')).toThrow(/normalized over the whole utterance.*normalize\(over=past\)/);
    expect(attempt('past')).not.toThrow();
  });

  it('a file without the next state', async () => {
    const { graph, parameters } = randomCase(common);
    const model = decodeModel(exportOnnx(graph, parameters, { fold: true, segmentation: { kind: 'reset' }, metadata }));
    model.graph.output = model.graph.output.filter(({ name }) => name !== 'next_state');
    const path = join(folder, 'damaged.onnx');
    writeFileSync(path, encodeModel(model));
    await expect(openOnnxStream(path)).rejects.toMatchObject({ diagnostic: { code: 'SP622' } });
  });

  it('models of the other mode', async () => {
    const { graph, parameters } = randomCase(common);
    const path = join(folder, 'mode.onnx');
    writeFileSync(path, exportOnnx(graph, parameters, { fold: true, metadata }));
    await expect(openOnnxStream(path)).rejects.toThrow('is a model of whole sequences and this takes streams');
    writeFileSync(path, exportOnnx(graph, parameters, { fold: true, segmentation: { kind: 'reset' }, metadata }));
    await expect(openOnnx(path)).rejects.toThrow('is a model of a stream and this takes whole sequences');
  });
});
