import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Batch } from '../../../src/data/batch.ts';
import { UserError } from '../../../src/diagnostics/diagnostic.ts';
import { Stream } from '../../../src/random/stream.ts';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import { metadataKeys } from '../../../src/targets/onnx/metadata.ts';
import { decodeModel, encodeModel, floatTensor, type Model, valueInfo } from '../../../src/targets/onnx/proto.ts';
import { type OnnxModel, openOnnx, openOnnxBytes } from '../../../src/targets/onnx/run.ts';
import { expectClose } from '../../golden/golden.ts';
import { randomCase } from './networks.ts';
import { metadata, sampleOf, stateRow, temporaryFolder } from './support.ts';

const folder = temporaryFolder();
const path = join(folder, 'model.onnx');

function caseOf(bidirectional: boolean, padded: boolean) {
  const layer = { type: 'RadLIF', size: 6, norm: 'batchnorm', bias: true, bidirectional } as const;
  const network = { layers: [layer, layer], merge: null, head: 'softmax_sum', batch: 4, steps: 12, padded, seed: 2 };
  return randomCase(network);
}

const { graph, parameters, batch } = caseOf(false, true);
const bytes = exportOnnx(graph, parameters, { fold: true, metadata });
let model: OnnxModel;

beforeAll(async () => {
  writeFileSync(path, bytes);
  model = await openOnnx(path);
});

function cut({ input, steps, lengths, ...rest }: Batch, from: number, to: number): Batch {
  if (input.kind !== 'dense') throw new Error('dense batches only');
  const { features, size } = rest;
  const row = (r: number) => [...input.values.subarray((r * steps + from) * features, (r * steps + to) * features)];
  const values = Float32Array.from(Array.from({ length: size }, (_, r) => row(r)).flat());
  return { ...rest, steps: to - from, input: { kind: 'dense', values } };
}

describe('a loaded model', () => {
  it('says what it is', () => {
    expect(model.info).toEqual({
      ...metadata,
      mode: 'sequence',
      segmentation: null,
      state: null,
      input: 'features',
      classNames: ['0', '1', '2'],
      features: 5,
      classes: 3,
      layers: [
        { layer: 'h0', features: 6, spiking: true },
        { layer: 'h1', features: 6, spiking: true },
        { layer: 'readout', features: 3, spiking: false },
      ],
    });
  });

  it('goes on from its final states as if the sequence were one', async () => {
    const { lengths: _, ...unpadded } = batch;
    const whole = await model.evaluate(unpadded);
    const first = await model.evaluate(cut(unpadded, 0, 5));
    const second = await model.evaluate(cut(unpadded, 5, 12), first.finalStates);
    expect([...whole.finalStates.keys()]).toEqual(
      ['h0', 'h1'].flatMap((h) => ['u', 'w', 's'].map((s) => `state.${h}.${s}`)).concat('state.readout.u'),
    );
    for (const [name, values] of whole.finalStates) {
      expectClose(name, second.finalStates.get(name) as Float32Array, values, 1e-6);
    }
    // The pool sums over time, so the parts add up.
    expectClose(
      'scores',
      first.scores.map((v, i) => v + second.scores[i]),
      whole.scores,
      1e-5,
    );
  });

  it.each([false, true])('treats padded samples as if they were alone (bidirectional: %s)', async (bidirectional) => {
    const other = caseOf(bidirectional, true);
    const file = join(folder, `padded-${bidirectional}.onnx`);
    writeFileSync(file, exportOnnx(other.graph, other.parameters, { fold: true, metadata }));
    const padded = await openOnnx(file);
    const together = await padded.evaluate(other.batch);
    for (let row = 0; row < other.batch.size; row++) {
      const alone = await padded.evaluate(sampleOf(other.batch, row));
      const { classes } = padded.info;
      expectClose('scores', alone.scores, together.scores.subarray(row * classes, (row + 1) * classes), 1e-6);
      const states = stateRow(together.finalStates, other.graph, row, other.batch.size);
      for (const [name, values] of alone.finalStates) {
        const largest = Math.max(1, ...values.map(Math.abs));
        expectClose(name, states.get(name) as Float32Array, values, 1e-6 * largest);
      }
    }
    expect(new Set(other.batch.lengths).size, 'different lengths').toBeGreaterThan(1);
  });

  it('takes one initial state per sample', async () => {
    const states = new Map([['state.h0.u', Float32Array.from({ length: 4 * 6 }, (_, i) => i / 5)]]);
    const given = await model.evaluate(batch, states);
    const fixed = await model.evaluate(batch);
    expect(given.scores).not.toEqual(fixed.scores);
    for (let row = 0; row < batch.size; row++) {
      const own = new Map([['state.h0.u', (states.get('state.h0.u') as Float32Array).slice(row * 6, (row + 1) * 6)]]);
      const alone = await model.evaluate(sampleOf(batch, row), own);
      expectClose('scores', alone.scores, given.scores.subarray(row * 3, (row + 1) * 3), 1e-6);
    }
  });

  it('gives the same bits whatever the number of threads', async () => {
    const single = await openOnnx(path, { threads: 1 });
    expect((await single.evaluate(batch)).scores).toEqual((await model.evaluate(batch)).scores);
  });
});

describe('what is wrong with a file is said in a sentence', () => {
  async function messageOf(name: string, content: Uint8Array | string | null): Promise<string> {
    const file = join(folder, name);
    if (content !== null) writeFileSync(file, content);
    const error = await openOnnx(file).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    const { code, message } = (error as UserError).diagnostic;
    return `${code} ${(error as UserError).exitCode}: ${message.replace(folder, '')}`;
  }

  function changed(change: (model: Model) => void): Uint8Array {
    const decoded = decodeModel(readFileSync(path));
    change(decoded);
    return encodeModel(decoded);
  }

  it('a missing file', async () => {
    expect(await messageOf('none.onnx', null)).toMatchInlineSnapshot(
      `"SP621 2: cannot read the model "/none.onnx": there is no such file; give the path of a file that "sparchc export" wrote"`,
    );
  });

  it('text', async () => {
    expect(await messageOf('text.onnx', 'sparchc: 1\nname: x\n')).toMatchInlineSnapshot(
      `"SP622 1: "/text.onnx" is not an ONNX model, or was cut off or damaged; export it again with "sparchc export RUN""`,
    );
  });

  it('an empty file', async () => {
    expect(await messageOf('empty.onnx', '')).toMatchInlineSnapshot(
      `"SP623 1: "/empty.onnx" was not exported by sparchc, or is incomplete; give a model that "sparchc export RUN" wrote"`,
    );
  });

  it("another program's model", async () => {
    const foreign = changed((m) => {
      m.metadataProps = [];
    });
    expect(await messageOf('foreign.onnx', foreign)).toMatchInlineSnapshot(
      `"SP623 1: "/foreign.onnx" was not exported by sparchc, or is incomplete; give a model that "sparchc export RUN" wrote"`,
    );
  });

  it('a later format', async () => {
    const later = changed((m) => {
      m.metadataProps.find(({ key }) => key === metadataKeys.format)!.value = '7';
    });
    expect(await messageOf('later.onnx', later)).toMatchInlineSnapshot(
      `"SP623 1: "/later.onnx" has the format 7 of another version of sparchc and this one reads 2; export it again with "sparchc export RUN""`,
    );
  });

  it('a graph that is damaged', async () => {
    const damaged = changed((m) => {
      m.graph.node[5].opType = 'Nonsense';
    });
    expect(await messageOf('damaged.onnx', damaged)).toMatchInlineSnapshot(
      `"SP622 1: "/damaged.onnx" is not an ONNX model, or was cut off or damaged; export it again with "sparchc export RUN""`,
    );
    const truncatedDefault = changed((m) => {
      const state = m.graph.initializer.find(({ name }) => name === 'state.h0.u')!;
      state.rawData = state.rawData.subarray(0, 10);
    });
    expect(await messageOf('default.onnx', truncatedDefault)).toMatch(/^SP622/);
  });

  it('an image classifier', async () => {
    const tensor = (name: string, dims: number[]) => {
      const values = new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(0.1);
      return floatTensor(name, dims, values);
    };
    const node = (opType: string, input: string[], output: string) => ({
      name: output,
      opType,
      input,
      output: [output],
      attribute: [],
    });
    const classifier = encodeModel({
      irVersion: 8,
      producerName: 'pytorch',
      producerVersion: '2.1',
      docString: '',
      opsetImport: [{ domain: '', version: 17 }],
      metadataProps: [],
      graph: {
        name: 'main',
        node: [
          node('Conv', ['image', 'w'], 'maps'),
          node('Relu', ['maps'], 'positive'),
          node('GlobalAveragePool', ['positive'], 'pooled'),
          node('Flatten', ['pooled'], 'flat'),
          node('MatMul', ['flat', 'v'], 'logits'),
        ],
        initializer: [tensor('w', [4, 3, 3, 3]), tensor('v', [4, 10])],
        input: [valueInfo('image', 'float32', ['n', 3, 32, 32])],
        output: [valueInfo('logits', 'float32', ['n', 10])],
      },
    });
    await InferenceSession.create(classifier);
    expect(await messageOf('classifier.onnx', classifier)).toMatchInlineSnapshot(
      `"SP623 1: "/classifier.onnx" was not exported by sparchc, or is incomplete; give a model that "sparchc export RUN" wrote"`,
    );
  });

  it('but not with a file of an earlier version, which says less', async () => {
    const required: string[] = ['format', 'version', 'spec_sha256', 'classes', 'preprocessing', 'layers'];
    const earlier = changed((m) => {
      m.metadataProps = m.metadataProps.filter(({ key }) => required.includes(key.replace('sparchc.', '')));
      m.metadataProps.find(({ key }) => key === metadataKeys.format)!.value = '1';
    });
    const opened = await openOnnxBytes(earlier, 'earlier.onnx');
    expect(opened.info).toMatchObject({ spec: null, mode: 'sequence', input: 'features', classNames: ['0', '1', '2'] });
    expect((await opened.evaluate(batch)).scores).toEqual((await model.evaluate(batch)).scores);
    await opened.dispose();
  });

  it('metadata that makes no sense', async () => {
    const damaged: [string, string][] = [
      [metadataKeys.classes, '-3'],
      [metadataKeys.classNames, '["one"]'],
      [metadataKeys.sampleRate, '[]'],
      [metadataKeys.preprocessing, '{"type": 3}'],
      [metadataKeys.layers, '7'],
      [metadataKeys.mode, 'sideways'],
      [metadataKeys.input, 'waveform'],
      [metadataKeys.segmentation, '{"kind": "silence", "steps": 1e99}'],
    ];
    for (const [key, value] of damaged) {
      const wrong = changed((m) => {
        m.metadataProps = [...m.metadataProps.filter((p) => p.key !== key), { key, value }];
      });
      expect(await messageOf('metadata.onnx', wrong), key).toMatch(/^SP622 1:/);
    }
  });

  it('or it runs, whatever bytes are changed', async () => {
    const draws = new Stream(1, 'bytes');
    const file = join(folder, 'changed.onnx');
    let refused = 0;
    for (let k = 0; k < 60; k++) {
      const wrong = bytes.slice();
      for (let n = 0; n < 3; n++) wrong[draws.integer(wrong.length)] = draws.integer(256);
      writeFileSync(file, wrong);
      try {
        const opened = await openOnnx(file, { threads: 1 });
        await opened.evaluate(batch);
        await opened.dispose();
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(10);
  });

  it('a file cut off anywhere', async () => {
    for (let share = 0.02; share < 1; share += 0.07) {
      const cutOff = bytes.subarray(0, Math.floor(bytes.length * share));
      expect(await messageOf('cut.onnx', cutOff)).toMatch(/^SP62[23] 1:/);
    }
  });
});

it('refuses data of another kind', async () => {
  const wider = { ...batch, features: 6, input: { kind: 'dense', values: new Float32Array(4 * 12 * 6) } } as const;
  await expect(model.evaluate(wider)).rejects.toThrow(
    'the model takes 5 features per time step but the data has 6; use the data it was trained on',
  );
  await expect(model.evaluate({ ...batch, labels: Int32Array.of(0, 1, 2, 3) })).rejects.toThrow(
    'the model knows 3 classes but the data has the label 3; use the data it was trained on',
  );
});

it('refuses parameters that are not of the model', () => {
  const missing = new Map(parameters);
  missing.delete('snn.1.W.weight');
  expect(() => exportOnnx(graph, missing, { fold: true, metadata })).toThrow(
    'parameter "snn.1.W.weight" of the model needs 36 numbers and the checkpoint has nothing; export from the run that trained this model',
  );
});
