import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../../src/data/config.ts';
import { fbank } from '../../../src/data/transforms/fbank.ts';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import { readInfo } from '../../../src/targets/onnx/info.ts';
import { metadataKeys } from '../../../src/targets/onnx/metadata.ts';
import { dataTypes, decodeModel, toNumber, type ValueInfo } from '../../../src/targets/onnx/proto.ts';
import type { Segmentation } from '../../../src/targets/onnx/stream.ts';
import { defaultParams } from '../../data/defaultParams.ts';
import { type RandomNetwork, randomCase } from './networks.ts';
import { metadata } from './support.ts';

const text = readFileSync('docs/deploy.md', 'utf8');

interface Row {
  readonly name: string;
  readonly type: string;
  readonly shape: string;
}

/** The first table after `heading`, then `label`. */
function tableOf(heading: string, label: string): Row[] {
  const section = text.slice(text.indexOf(`## ${heading}\n`));
  const lines = section.slice(section.indexOf(`${label}:\n`)).split('\n');
  const start = lines.findIndex((line) => line.startsWith('|')) + 2;
  const rows = lines.slice(start, start + lines.slice(start).findIndex((line) => !line.startsWith('|')));
  return rows.map((line) => {
    const [, name, type, shape] = line.split('|').map((cell) => cell.trim().replaceAll('`', ''));
    return { name, type, shape };
  });
}

const network: RandomNetwork = {
  layers: [{ type: 'RadLIF', size: 8, norm: 'batchnorm', bias: true, bidirectional: false }],
  merge: null,
  head: 'softmax_sum',
  batch: 1,
  steps: 1,
  padded: false,
  seed: 1,
};
const numbers: Record<string, number[]> = { features: [3, 5, 8], size: [3, 8], classes: [3], window: [6], '1': [1] };

const segmentations: (Segmentation | undefined)[] = [
  { kind: 'reset' },
  { kind: 'window', steps: 6 },
  { kind: 'silence', steps: 6 },
];

function modelsOf(streams: boolean) {
  const plain = ['softmax_sum', 'sequence'].flatMap((head) =>
    (streams ? segmentations : [undefined]).map((segmentation) => {
      const { graph, parameters } = randomCase({ ...network, head });
      return decodeModel(exportOnnx(graph, parameters, { fold: true, segmentation, metadata, record: true }));
    }),
  );
  const { graph, parameters } = randomCase(network);
  const preprocessing: Call[] = [
    { type: 'fbank', params: { ...defaultParams(fbank), mels: 5 } },
    { type: 'normalize', params: { over: 'past', variance: true } },
  ];
  const options = {
    fold: true,
    input: 'waveform',
    metadata: { ...metadata, preprocessing, classNames: ['yes', 'no', 'other'] },
  } as const;
  const segmentation = streams ? ({ kind: 'reset' } as const) : undefined;
  return [...plain, decodeModel(exportOnnx(graph, parameters, { ...options, segmentation }))];
}

/** Names in the tables as patterns; those of states that sparchc adds are not also STATE. */
function matches(row: Row, name: string): boolean {
  const pools = '(?:pool|readout\\.mean)';
  const pattern = row.name
    .replaceAll('.', '\\.')
    .replace('LAYER', '(?:h0|readout)')
    .replace('POOL', pools)
    .replace('NORM', '(?:n|average|squares)')
    .replace('STATE', '[A-Za-z]+')
    .replace('product-N', 'product-[0-9]+');
  return new RegExp(`^${pattern}$`).test(name) && !(row.name.includes('LAYER.STATE') && name.includes('.mean.'));
}

function expectDocumented(row: Row, { name, type }: ValueInfo): void {
  const { elemType, shape } = type.tensorType;
  expect(row.type, name).toBe(Object.entries(dataTypes).find(([, code]) => code === elemType)?.[0]);
  const shapes = row.shape.split(' or [').map((text) => text.replace(/[[\]]/g, '').split(', '));
  const documented = shapes.find((dims) => dims.length === shape.dim.length) ?? [];
  expect(documented.length, name).toBe(shape.dim.length);
  shape.dim.forEach(({ dimParam, dimValue }, i) => {
    if (dimParam)
      expect(documented[i], name).toBe(/batch_or_1$/.test(dimParam) ? 'batch or 1' : dimParam.split('.').at(-1));
    else if (documented[i] !== 'states')
      expect(numbers[documented[i]], `${name}: ${documented[i]}`).toContain(toNumber(dimValue as number));
  });
}

describe.each([
  ['Whole sequences', false],
  ['Streams', true],
])('docs/deploy.md, %s', (heading, streams) => {
  it.each([
    ['Inputs', 'input'],
    ['Outputs', 'output'],
  ] as const)('%s: every one has a row, and every row is one', (label, side) => {
    const table = tableOf(heading, label);
    const used = new Set<Row>();
    for (const model of modelsOf(streams)) {
      for (const info of model.graph[side]) {
        const rows = table.filter((row) => matches(row, info.name));
        expect(rows.length, `rows that describe ${info.name}`).toBe(1);
        expectDocumented(rows[0], info);
        used.add(rows[0]);
      }
    }
    expect(table.filter((row) => !used.has(row))).toEqual([]);
  });
});

it('docs/deploy.md, Streams: every part of the state has a row, and every row is one', () => {
  const table = tableOf('Streams', 'in order');
  const used = new Set<Row>();
  for (const model of modelsOf(true)) {
    const read = readInfo(model);
    if (!('info' in read)) throw new Error('no model of ours');
    const { state } = read.info;
    for (const { name, shape } of state ?? []) {
      const rows = table.filter((row) => matches(row, name));
      expect(rows.length, `rows that describe ${name}`).toBe(1);
      const documented = rows[0].type.replace(/[[\]]/g, '').split(', ');
      expect(documented.length, name).toBe(shape.length);
      shape.forEach((size, i) => {
        expect(numbers[documented[i]], `${name}: ${documented[i]}`).toContain(size);
      });
      used.add(rows[0]);
    }
    const vector = model.graph.input.find(({ name }) => name === 'state') as ValueInfo;
    const width = (state ?? []).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(toNumber(vector.type.tensorType.shape.dim[1].dimValue ?? 0)).toBe(width);
  }
  expect(table.filter((row) => !used.has(row))).toEqual([]);
});

it('docs/deploy.md names every key of the metadata', () => {
  const documented = [...text.matchAll(/^\| `(sparchc\.\w+)` /gm)].map(([, key]) => key);
  expect(documented.toSorted()).toEqual(Object.values(metadataKeys).toSorted());
  const written = modelsOf(true).flatMap((model) => (model.metadataProps ?? []).map(({ key }) => key));
  expect([...new Set(written)].toSorted()).toEqual(documented.toSorted());
});
