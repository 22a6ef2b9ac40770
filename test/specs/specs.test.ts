import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compileSpec } from '../../src/compile.ts';
import { openLoader } from '../../src/data/loader.ts';
import { selectTarget } from '../../src/targets/select.ts';
import { sparchc } from '../cli/support.ts';
import { wavFile } from '../data/audio/wavFile.ts';
import { hasEspeak } from '../data/espeak.ts';

/** Every example spec is trained for an epoch, made smaller, and its exported model evaluated, as a user would do it. */
const folder = mkdtempSync(join(tmpdir(), 'sparchc-specs-'));
const data = join(folder, 'data');
mkdirSync(data);
for (const file of ['shd_train.h5', 'shd_test.h5', 'ssc_train.h5', 'ssc_valid.h5', 'ssc_test.h5']) {
  copyFileSync('test/fixtures/data/valid.h5', join(data, file));
}
writeRecordings(data);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cache = { XDG_CACHE_HOME: join(folder, 'cache') };
const smallTask = ['data.source.train=64', 'data.source.validation=20', 'data.source.test=20'];
const smallFiles = [`data.source.folder=${data}`, 'data.validation=test'];
const smallLayers = ['model.layers.h1.size=16', 'model.layers.h2.size=16'];

const overrides: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    ['shd', 'ssc', 'shd-mini', 'hd', 'sc', 'hd-mini'].map((name) => [`${name}.yaml`, [...smallFiles, ...smallLayers]]),
  ),
  'quickstart.yaml': ['train', 'validation', 'test', 'takes'].map((name) => `data.source.${name}=1`),
};

/** A few tones in the layouts of HD and SC, side by side. */
function writeRecordings(to: string): void {
  const hd = Array.from({ length: 12 }, (_, i) => `lang-english_speaker-0${i % 3}_trial-${i}_digit-${i % 10}.wav`);
  const sc = ['yes', 'no'].flatMap((word) => [0, 1, 2, 3].map((i) => `${word}/0a7c2a8${i}_nohash_0.wav`));
  const files = [...hd.map((name) => join('audio', name)), ...sc];
  for (const [i, file] of files.entries()) {
    const samples = Float32Array.from({ length: 1600 + 160 * i }, (_, k) => 0.4 * Math.sin(k / (i + 3)));
    mkdirSync(dirname(join(to, file)), { recursive: true });
    writeFileSync(join(to, file), wavFile(samples, 16000));
  }
  writeFileSync(join(to, 'train_filenames.txt'), hd.slice(0, 8).join('\n'));
  writeFileSync(join(to, 'test_filenames.txt'), hd.slice(8).join('\n'));
  writeFileSync(join(to, 'validation_list.txt'), [sc[2], sc[6]].join('\n'));
  writeFileSync(join(to, 'testing_list.txt'), [sc[3], sc[7]].join('\n'));
}

describe('example specs train and export', () => {
  const specs = readdirSync('specs').filter((f) => f.endsWith('.yaml') && (hasEspeak || f !== 'quickstart.yaml'));

  it.each(specs)('%s', async (name) => {
    const sets = [...(overrides[name] ?? smallTask), 'train.epochs=1'].flatMap((set) => ['--set', set]);
    const run = join(folder, name);
    const trained = await sparchc(['train', `specs/${name}`, '--out', run, '--json', ...sets], '.', cache);
    expect(trained.stderr).not.toMatch(/error/);
    expect(trained.code).toBe(0);
    const result = JSON.parse(readFileSync(join(run, 'result.json'), 'utf8'));
    const evaluated = await sparchc(['eval', join(run, 'model.onnx'), '--json'], '.', cache);
    expect(evaluated.code, evaluated.stderr).toBe(0);
    // Rounding may move a sample or two across a decision boundary after one epoch.
    expect(Math.abs(JSON.parse(evaluated.stdout).accuracy - result.test_accuracy)).toBeLessThanOrEqual(0.1);
  });
});

/** The specs of the paper's experiments, each for two small steps. */
describe("the paper's specs", () => {
  const specs = readdirSync('specs/paper').filter((f) => f.endsWith('.yaml'));

  it('are there for every dataset and neuron', () => {
    const neurons = ['LIF', 'adLIF', 'RLIF', 'RadLIF', 'LiGRU', 'GRU'];
    const named = ['shd', 'ssc', 'hd', 'sc'].flatMap((d) => neurons.map((n) => `${d}-${n.toLowerCase()}.yaml`));
    expect(specs.toSorted()).toEqual(named.toSorted());
  });

  it.each(specs)('%s', async (name) => {
    const {
      experiment,
      graph,
      data: info,
    } = compileSpec(`specs/paper/${name}`, {
      sets: [`data.source.folder=${data}`, 'vars.hidden=8'],
    });
    const [dataset, neuron] = name.replace('.yaml', '').split('-');
    expect(experiment.data.source.type).toBe(dataset);
    const layers = experiment.model.layers.map((l) => l.type.toLowerCase());
    expect(layers.slice(0, 2)).toEqual([neuron, neuron]);
    expect(info.classes).toBe(graph.classes);
    const { target } = await selectTarget('tfjs/cpu');
    const model = await target.compile(graph, { seed: 1, optimizer: adam, clipNorm: null });
    const loader = await openLoader(experiment.data, { batch: 2, seed: 1 });
    let steps = 0;
    for await (const { batch } of loader.batches({ split: 'train', epoch: 1, shuffle: true, augment: true, from: 0 })) {
      const { loss } = await model.trainStep(batch, { epoch: 1, learningRate: 1e-3 });
      expect(Number.isFinite(loss)).toBe(true);
      expect(batch.lengths).toBeUndefined();
      if (++steps === 2) break;
    }
    expect(steps).toBe(2);
    loader.close();
    model.dispose();
  });
});

const adam = { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 } as const;
