import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Graph } from '../../src/ir/graph.ts';
import { initialParameters } from '../../src/targets/draws.ts';
import { writeCheckpoint } from '../../src/train/checkpoint.ts';
import { readPretrained } from '../../src/train/pretrained.ts';
import { RunFolder } from '../../src/train/runFolder.ts';
import { initialState } from '../../src/train/state.ts';
import { graphOf } from '../support/graphs.ts';

let root: string;
let folder: RunFolder;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'sparchc-pretrained-'));
  folder = new RunFolder(join(root, 'first'));
  await folder.prepare('');
  const graph = network();
  const info = { target: 'reference', specSha256: '', state: initialState(0.01) };
  await writeCheckpoint(folder.best, graph, { weights: initialParameters(graph, 7), optimizer: new Map(), info });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const first = network();
const firstWeights = initialParameters(first, 7);

function network({ type = 'RLIF', size = 5, classes = 3, freeze = false } = {}): Graph {
  return graphOf(
    [
      { name: 'h1', type: 'LIF', from: ['input'], size: 4 },
      { name: 'h2', type, from: ['h1'], size, freeze },
      { name: 'readout', type: 'LI', from: ['h2'], size: classes },
      { name: 'scores', type: 'softmax_sum', from: ['readout'] },
    ],
    { classes },
  );
}

const keysOf = (graph: Graph, ...layers: string[]) =>
  graph.parameters.filter((p) => layers.includes(p.layer)).map((p) => p.key);

it.each(['folder', 'file'])('all weights of the same network, from a %s', async (kind) => {
  const { weights, loaded, fresh, path } = await readPretrained(kind === 'file' ? folder.best : folder.path, network());
  expect(path).toBe(folder.best);
  expect(loaded).toEqual(['h1', 'h2', 'readout']);
  expect(fresh).toEqual([]);
  expect(new Map(weights)).toEqual(new Map(firstWeights));
});

it('with another number of classes, all but the readout', async () => {
  const graph = network({ classes: 7 });
  const { weights, fresh } = await readPretrained(folder.path, graph);
  expect([...weights.keys()]).toEqual(keysOf(graph, 'h1', 'h2'));
  expect(fresh).toEqual([{ layer: 'readout', why: '"snn.2.W.weight" is [3, 5] there and [7, 5] here' }]);
});

it('a layer that has more than was saved starts fresh as a whole', async () => {
  const graph = network({ type: 'RadLIF' });
  const { weights, fresh } = await readPretrained(folder.path, graph);
  expect([...weights.keys()]).toEqual(keysOf(graph, 'h1', 'readout'));
  expect(fresh).toEqual([{ layer: 'h2', why: 'there is no "snn.1.beta"' }]);
});

it('a frozen layer must be there', async () => {
  await readPretrained(folder.path, network({ freeze: true }));
  await expect(readPretrained(folder.path, network({ size: 6, freeze: true }))).rejects.toThrow(
    `the layer "h2" is frozen but has no weights in "${folder.best}" (train.init): ` +
      '"snn.1.W.weight" is [5, 4] there and [6, 4] here; unfreeze it, or start from a run that has it',
  );
});

it('refuses weights of which no layer fits', async () => {
  const other = graphOf([{ name: 'out', type: 'LI', from: ['input'], size: 3 }]);
  await expect(readPretrained(folder.path, other)).rejects.toThrow(
    `no layer of the network fits the weights in "${folder.best}" (train.init): out: ` +
      'there is no "ann.0.W.weight"; start from a run with a layer in common',
  );
});

it('refuses a folder without a checkpoint', async () => {
  await expect(readPretrained(root, first)).rejects.toThrow(
    `there is no readable checkpoint "${join(root, 'checkpoints', 'best.safetensors')}"`,
  );
});
