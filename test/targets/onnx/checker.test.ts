import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../../src/data/config.ts';
import { fbank } from '../../../src/data/transforms/fbank.ts';
import { type ExportOptions, exportOnnx } from '../../../src/targets/onnx/export.ts';
import type { Segmentation } from '../../../src/targets/onnx/stream.ts';
import { defaultParams } from '../../data/defaultParams.ts';
import { randomCase } from './networks.ts';
import { metadata, temporaryFolder } from './support.ts';

/** A Python with the official `onnx` package: SPARCHC_PYTHON, or what `python3` is. */
const python = process.env.SPARCHC_PYTHON ?? 'python3';
const available = spawnSync(python, ['-c', 'import onnx']).status === 0;
if (!available) {
  console.warn(
    `skipped: the official ONNX checker needs a Python with the package onnx; set SPARCHC_PYTHON (tried ${python})`,
  );
}

const script = `
import json, sys, onnx
for path in sys.argv[1:]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    def nodes(graph):
        for node in graph.node:
            yield node
            for attribute in node.attribute:
                if attribute.HasField("g"): yield from nodes(attribute.g)
    shape = lambda value: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
    print(json.dumps({
        "domains": sorted({node.domain for node in nodes(model.graph)}),
        "shapes": {value.name: shape(value) for value in list(inferred.graph.input) + list(inferred.graph.output)},
        "defaults": sorted({value.name for value in model.graph.input} & {t.name for t in model.graph.initializer}),
    }))
`;

const folder = temporaryFolder();

interface Report {
  readonly domains: string[];
  readonly shapes: Record<string, (string | number)[]>;
  readonly defaults: string[];
}

function check(network: Parameters<typeof randomCase>[0], fold: boolean, segmentation?: Segmentation): Report {
  return checkWith(network, { fold, segmentation, metadata });
}

function checkWith(network: Parameters<typeof randomCase>[0], options: ExportOptions): Report {
  const { graph, parameters } = randomCase(network);
  const path = join(folder, 'model.onnx');
  writeFileSync(path, exportOnnx(graph, parameters, options));
  const { stdout, stderr, status } = spawnSync(python, ['-c', script, path], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

const spiking = { type: 'RadLIF', size: 4, norm: 'batchnorm', bias: true, bidirectional: false } as const;
const common = { batch: 1, steps: 1, padded: false, seed: 1 };

describe.skipIf(!available)('the official checker accepts', () => {
  it.each([true, false])('a bidirectional network that is pooled (fold: %s)', (fold) => {
    const layer = { type: 'RadLIF', size: 4, norm: 'batchnorm', bias: true, bidirectional: true } as const;
    const report = check({ ...common, layers: [layer], merge: null, head: 'softmax_sum' }, fold);
    expect(report.domains).toEqual(['']);
    expect(report.shapes).toMatchObject({
      x: ['batch', 'time', 5],
      'state.h0.u': [2, 'state.h0.u.batch_or_1', 4],
      'state.readout.u': ['state.readout.u.batch_or_1', 3],
      scores: ['batch', 3],
      'rate.h0': ['batch', 8],
      'final.h0.u': [2, 'batch', 4],
      'final.readout.u': ['batch', 3],
    });
    expect(report.defaults).toEqual(['lengths', 'state.h0.s', 'state.h0.u', 'state.h0.w', 'state.readout.u']);
  });

  it.each([true, false])('gated layers, merged, that give a sequence (fold: %s)', (fold) => {
    const gated = ['GRU', 'LiGRU'].map((type) => ({
      type,
      size: 4,
      norm: 'layernorm' as const,
      bias: false,
      bidirectional: false,
    }));
    const report = check({ ...common, layers: gated, merge: 'concat', head: 'steps' }, fold);
    expect(report.domains).toEqual(['']);
    expect(report.shapes).toMatchObject({ scores: ['batch', 3], output: ['batch', 'time', 3] });
  });

  it.each(['float32', 'float16', 'int8'] as const)('two layers in one loop, weights stored as %s', (weights) => {
    const { graph, parameters } = randomCase({ ...common, layers: [spiking, spiking], merge: null, head: 'mean' });
    const path = join(folder, 'small.onnx');
    writeFileSync(path, exportOnnx(graph, parameters, { fold: true, weights, metadata }));
    const { stderr, status } = spawnSync(python, ['-c', script, path], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it.each<Segmentation>([{ kind: 'reset' }, { kind: 'window', steps: 6 }, { kind: 'silence', steps: 6 }])(
    'a stream: $kind',
    (segmentation) => {
      const layer = { type: 'RadLIF', size: 4, norm: 'batchnorm', bias: true, bidirectional: false } as const;
      for (const head of ['softmax_sum', 'mean', 'dense', 'steps']) {
        const report = check({ ...common, layers: [layer], merge: null, head }, true, segmentation);
        expect(report.domains).toEqual(['']);
        expect(report.shapes).toMatchObject({ state: ['state.batch_or_1', expect.any(Number)], scores: ['batch', 3] });
        expect(report.defaults).toEqual(['reset', 'state']);
      }
    },
  );

  it.each<[string, Segmentation | undefined]>([
    ['recordings', undefined],
    ['a stream', { kind: 'silence', steps: 6, threshold: -5 }],
  ])('sound, %s', (_, segmentation) => {
    for (const over of segmentation ? ['past'] : ['past', 'utterance']) {
      const preprocessing: Call[] = [
        { type: 'fbank', params: { ...defaultParams(fbank), mels: 5, snip_edges: segmentation !== undefined } },
        { type: 'normalize', params: { over, variance: true } },
      ];
      const network = { ...common, layers: [spiking], merge: null, head: 'softmax_sum' };
      const options = { fold: true, input: 'waveform', record: true, segmentation } as const;
      const report = checkWith(network, { ...options, metadata: { ...metadata, preprocessing } });
      expect(report.domains).toEqual(['']);
      expect(report.shapes).toMatchObject({
        x: ['batch', 'samples'],
        features: ['batch', 'time', 5],
        'activity.h0': ['batch', 'time', 4],
        scores: ['batch', 3],
      });
    }
  });
});
