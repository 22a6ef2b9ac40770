import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stringify } from 'yaml';
import type { Batch } from '../../src/data/batch.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import type { CompiledModel, Target } from '../../src/targets/target.ts';
import { readCheckpoint } from '../../src/train/checkpoint.ts';
import type { TrainConfig } from '../../src/train/config.ts';
import { type BatchSource, Interrupted, type TrainingObserver } from '../../src/train/loop.ts';
import {
  checkpointToResume,
  compileOptions,
  type Run,
  type RunSpec,
  requireTrainable,
  trainRun,
} from '../../src/train/run.ts';
import { RunFolder, requireNewFolder } from '../../src/train/runFolder.ts';
import { requireSameRun } from '../../src/train/specChanges.ts';
import { fakeData } from './fakeData.ts';
import { fakeTarget, LinearModel, linearGraph } from './fakeTarget.ts';

const graph = linearGraph(6, 3);

const config: TrainConfig = {
  epochs: 4,
  batch: 16,
  optimizer: { type: 'sgd', params: { lr: 0.05, momentum: 0.9, weight_decay: 0 } },
  schedule: { type: 'plateau', params: { factor: 0.7, patience: 0, threshold: 1e-4, min_lr: 1e-6 } },
  init: null,
  clipNorm: null,
  select: 'best',
  earlyStopping: null,
  checkpointEvery: 1e9,
};
const BATCHES = 7;

function specWith(train: Partial<TrainConfig>): RunSpec {
  const experiment = { name: 'fake', seed: 3, train: { ...config, ...train } };
  return { experiment, graph, resolvedYaml: stringify(experiment), specSha256: 'abc' };
}

const silent: TrainingObserver = { batchDone() {}, epochDone() {} };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sparchc-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

type Changes = Omit<Partial<Run>, 'target'> & { train?: Partial<TrainConfig>; target?: Target };

async function run(name: string, changes: Changes = {}) {
  const folder = new RunFolder(join(root, name));
  const { train = {}, target = fakeTarget, checkpoint = null, ...rest } = changes;
  const spec = specWith(train);
  requireTrainable(spec, target, checkpoint);
  const result = await trainRun({
    spec,
    folder,
    model: target.compile(graph, compileOptions(spec.experiment)),
    target: target.name,
    data: fakeData(config.batch),
    checkpoint,
    pretrained: null,
    observer: silent,
    signal: new AbortController().signal,
    exportModel: async () => Uint8Array.of(1, 2, 3),
    ...rest,
  });
  return { result, folder };
}

async function resume(name: string, changes: Parameters<typeof run>[1] = {}) {
  const checkpoint = await checkpointToResume(new RunFolder(join(root, name)), graph);
  return run(name, { ...changes, checkpoint });
}

/** Aborts after `count` batches of a split, as Ctrl-C does. */
function interruptAfter(count: number, split = 'train') {
  const controller = new AbortController();
  let seen = 0;
  const observer: TrainingObserver = {
    ...silent,
    batchDone: (progress) => {
      if (progress.split === split && ++seen === count) controller.abort();
    },
  };
  return { observer, signal: controller.signal };
}

const lines = (folder: RunFolder) => readFileSync(folder.metrics, 'utf8').trim().split('\n');
const untimed = (folder: RunFolder) =>
  lines(folder).map((line) => ({ ...JSON.parse(line), seconds: 0, samples_per_second: 0 }));
const tensorsIn = async (path: string) => {
  const { weights, optimizer } = await readCheckpoint(path, graph);
  return [...weights, ...optimizer].map(([key, data]) => [key, Buffer.from(data.buffer).toString('hex')]);
};

async function expectSameRun(a: RunFolder, b: RunFolder) {
  expect(untimed(b)).toEqual(untimed(a));
  expect(await tensorsIn(b.last)).toEqual(await tensorsIn(a.last));
  expect(await tensorsIn(b.best)).toEqual(await tensorsIn(a.best));
  const result = (folder: RunFolder) => ({ ...JSON.parse(readFileSync(folder.result, 'utf8')), seconds: 0 });
  expect(result(b)).toEqual(result(a));
}

describe('a run', () => {
  it('learns, and leaves spec, metrics, checkpoints, result and model', async () => {
    const { result, folder } = await run('a');
    expect(readdirSync(folder.path).sort()).toEqual([
      'checkpoints',
      'metrics.jsonl',
      'model.onnx',
      'result.json',
      'spec.resolved.yaml',
    ]);
    expect(readdirSync(join(folder.path, 'checkpoints')).sort()).toEqual(['best.safetensors', 'last.safetensors']);
    expect(readFileSync(folder.spec, 'utf8')).toBe(specWith({}).resolvedYaml);
    const metrics = lines(folder).map((line) => JSON.parse(line));
    expect(metrics.map((m) => m.epoch)).toEqual([1, 2, 3, 4]);
    expect(metrics.at(-1).train_loss).toBeLessThan(metrics[0].train_loss);
    expect(metrics[0].train_firing_rates.linear).toBeCloseTo(0.02);
    expect(result).toMatchObject({ epochs: 4, parameters: 21, target: 'fake', seed: 3, spec_sha256: 'abc' });
    expect(result.test_accuracy).toBeGreaterThan(0.5);
    expect(JSON.parse(readFileSync(folder.result, 'utf8'))).toEqual(result);
  });

  it('is the same twice', async () => {
    const [a, b] = [await run('a'), await run('b')];
    await expectSameRun(a.folder, b.folder);
  });

  it('tests the epoch with the best validation accuracy, the first of equals', async () => {
    const { result, folder } = await run('a', { train: { epochs: 8 } });
    const accuracies = untimed(folder).map((m) => m.valid_accuracy);
    expect(result.best_epoch).toBe(accuracies.indexOf(Math.max(...accuracies)) + 1);
    expect(result.best_epoch).toBeLessThan(8);
    expect(result.valid_accuracy).toBe(Math.max(...accuracies));
    const shorter = await run('b', { train: { epochs: result.best_epoch } });
    expect(shorter.result.test_loss).toBe(result.test_loss);
  });

  it('tests the last epoch where the spec selects it, also after early stopping and when resumed', async () => {
    const { result, folder } = await run('a', { train: { epochs: 50, earlyStopping: 3, select: 'last' } });
    const metrics = untimed(folder);
    expect(metrics.at(-4).best).toBe(true);
    expect(result.best_epoch).toBe(metrics.length);
    expect(result.valid_accuracy).toBe(metrics.at(-1).valid_accuracy);
    const [best, last] = await Promise.all([folder.best, folder.last].map((file) => readCheckpoint(file, graph)));
    expect(best.weights).toEqual(last.weights);
    const again = await resume('a', { train: { epochs: 50, earlyStopping: 3, select: 'last' } });
    expect({ ...again.result, seconds: 0 }).toEqual({ ...result, seconds: 0 });
  });

  it('lowers the learning rate after an epoch that was no better', async () => {
    const { folder } = await run('a', { train: { epochs: 8 } });
    const metrics = untimed(folder);
    metrics.slice(1).forEach((m, i) => {
      const before = metrics[i];
      expect(m.learning_rate).toBe(before.best ? before.learning_rate : before.learning_rate * 0.7);
    });
    expect(metrics.at(-1).learning_rate).toBeLessThan(0.05);
  });

  it('stops early after as many epochs without a better accuracy as the spec tolerates', async () => {
    const { result, folder } = await run('a', { train: { epochs: 50, earlyStopping: 3 } });
    expect(result.epochs).toBe(result.best_epoch + 3);
    expect(lines(folder)).toHaveLength(result.epochs);
  });

  it('weighs every sample alike, also those of a smaller last batch', async () => {
    let last = { samples: 0, accuracy: 0 };
    const observer = { ...silent, batchDone: ({ metrics }: { metrics: typeof last }) => (last = metrics) };
    const { result } = await run('a', { observer });
    expect(last.samples).toBe(40);
    expect(result.test_accuracy * 40).toBeCloseTo(Math.round(result.test_accuracy * 40), 9);
  });
});

describe('resuming', () => {
  it.each([
    ['inside the first epoch', 3],
    ['at the last batch of an epoch', BATCHES],
    ['inside a later epoch', 2 * BATCHES + 1],
  ])('an interruption %s gives the uninterrupted run, bit for bit', async (_, batches) => {
    const whole = await run('whole');
    await expect(run('stopped', interruptAfter(batches))).rejects.toThrow(Interrupted);
    expect(existsSync(join(root, 'stopped', 'result.json'))).toBe(false);
    const resumed = await resume('stopped');
    await expectSameRun(whole.folder, resumed.folder);
  });

  it.each(['validation', 'test'])('an interruption in %s gives the uninterrupted run', async (split) => {
    const whole = await run('whole');
    await expect(run('stopped', interruptAfter(2, split))).rejects.toThrow(Interrupted);
    await expectSameRun(whole.folder, (await resume('stopped')).folder);
  });

  it('goes on from the last checkpoint after a failure between two, and drops later metrics', async () => {
    const whole = await run('whole');
    let batches = 0;
    const failing = () => {
      if (++batches === 2 * BATCHES + 7) throw new Error('killed');
    };
    const observer = { ...silent, batchDone: failing };
    await expect(run('killed', { observer })).rejects.toThrow('killed');
    writeFileSync(join(root, 'killed', 'metrics.jsonl'), '{"epoch":9}\n{"ep', { flag: 'a' });
    await expectSameRun(whole.folder, (await resume('killed')).folder);
  });

  it('writes checkpoints inside an epoch when it is time', async () => {
    const states: number[] = [];
    const observer = { ...silent, batchDone: () => states.push(stateOf('a')) };
    const stateOf = (name: string) => {
      const path = join(root, name, 'checkpoints', 'last.safetensors');
      const text = existsSync(path) ? readFileSync(path).toString('latin1') : '';
      return Number(/\\"batch\\":(\d+)/.exec(text)?.[1] ?? -1);
    };
    const data = fakeData(config.batch);
    /** Each batch takes as long as the writing of the checkpoint before. */
    async function* batches(...args: Parameters<BatchSource['batches']>) {
      let made = 0;
      for await (const batch of data.batches(...args)) {
        if (args[0] === 'train' && made > 0) await vi.waitUntil(() => stateOf('a') === made, { interval: 1 });
        made++;
        yield batch;
      }
    }
    await run('a', { data: { ...data, batches }, observer, train: { checkpointEvery: 0, epochs: 1 } });
    expect(states.slice(0, BATCHES)).toEqual([-1, 1, 2, 3, 4, 5, 6]);
  });

  it('with more epochs goes on where the shorter run ended', async () => {
    const whole = await run('whole', { train: { epochs: 6 } });
    await run('grown', { train: { epochs: 2 } });
    await requireSameRun(new RunFolder(join(root, 'grown')), specWith({ epochs: 6 }).resolvedYaml);
    const grown = await resume('grown', { train: { epochs: 6 } });
    await expectSameRun(whole.folder, grown.folder);
  });

  it('a finished run changes nothing', async () => {
    const { folder, result } = await run('a');
    const before = await tensorsIn(folder.last);
    expect((await resume('a')).result).toEqual(result);
    expect(await tensorsIn(folder.last)).toEqual(before);
  });

  it('refuses another target', async () => {
    await run('a');
    const other: Target = { ...fakeTarget, name: 'other' };
    await expect(resume('a', { target: other })).rejects.toThrow(
      'the run was trained on "fake" and cannot go on exactly on "other"; leave out --target',
    );
  });
});

describe('saving', () => {
  it.each([1e9, 0])('never holds up training, and loses nothing, saving every %d s', async (checkpointEvery) => {
    const folder = new RunFolder(join(root, 'a'));
    const written: number[][] = [];
    let goOn = () => {};
    const stuck = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const append = folder.appendMetrics.bind(folder);
    folder.appendMetrics = async (metrics) => {
      await stuck;
      written.push(metrics.map(({ epoch }) => epoch));
      await append(metrics);
    };
    const epochDone = ({ epoch }: { epoch: number }) => {
      if (epoch === config.epochs) goOn();
    };
    const slow = await run('a', { folder, observer: { ...silent, epochDone }, train: { checkpointEvery } });
    expect(written.flat()).toEqual([1, 2, 3, 4]);
    // What had waited is appended at once.
    expect(written.length).toBeLessThanOrEqual(2);
    await expectSameRun((await run('b')).folder, slow.folder);
  });

  it('that fails ends training', async () => {
    const folder = new RunFolder(join(root, 'a'));
    folder.appendMetrics = () => Promise.reject(new UserError('SP811', 'the disk is full'));
    let epochs = 0;
    const epochDone = () => epochs++;
    const running = run('a', { folder, observer: { ...silent, epochDone }, train: { epochs: 200 } });
    await expect(running).rejects.toThrow('the disk is full');
    expect(epochs).toBeLessThan(200);
  });
});

describe('the folder of a run', () => {
  it('holds nothing where the first batch cannot be made, nor where the model cannot be compiled', async () => {
    const data = fakeData(config.batch);
    // biome-ignore lint/correctness/useYield: fails before its first batch
    const noBatches = async function* () {
      throw new UserError('SP707', 'the file is damaged');
    };
    await expect(run('a', { data: { ...data, batches: noBatches } })).rejects.toThrow('damaged');
    const target: Target = { name: 'fake', compile: () => Promise.reject(new UserError('SP605', 'too large')) };
    await expect(run('b', { target })).rejects.toThrow('too large');
    expect(['a', 'b'].flatMap((name) => (existsSync(join(root, name)) ? readdirSync(join(root, name)) : []))).toEqual(
      [],
    );
  });

  it('is new, or empty', async () => {
    const { folder } = await run('a');
    await expect(requireNewFolder(folder)).rejects.toThrow(/a" exists already; go on with that run with --resume/);
    await requireNewFolder(new RunFolder(join(root, 'nothing here')));
    await requireNewFolder(new RunFolder(mkdtempSync(join(root, 'empty'))));
  });

  it('to resume must hold a run with the same spec; the message says what differs', async () => {
    const { folder } = await run('a');
    await requireSameRun(folder, specWith({}).resolvedYaml);
    await expect(requireSameRun(folder, specWith({ batch: 8, clipNorm: 1 }).resolvedYaml)).rejects.toThrow(
      'train.batch was 16 and is 8; train.clipNorm was null and is 1;',
    );
    await expect(requireSameRun(folder, specWith({ epochs: 3 }).resolvedYaml)).rejects.toThrow(
      'train.epochs was 4 and is 3',
    );
    await expect(requireSameRun(new RunFolder(root), '')).rejects.toThrow('there is no run to resume');
    await expect(requireSameRun(new RunFolder(join(root, 'b')), '')).rejects.toThrow('there is no run to resume');
  });
});

it('a resumed run may find its data elsewhere', async () => {
  const folder = new RunFolder(join(root, 'a'));
  const specOn = (path: string, seed = 1) => stringify({ data: { source: { type: 'shd', folder: path, seed } } });
  await folder.prepare(specOn('/old/shd'));
  await requireSameRun(folder, specOn('/new/place/shd'));
  await expect(requireSameRun(folder, specOn('/new/ssc'))).rejects.toThrow('data.source.folder was "/old/shd"');
  await expect(requireSameRun(folder, specOn('/old/shd', 2))).rejects.toThrow('data.source.seed was 1 and is 2');
});

describe('divergence', () => {
  /** The fake target with a fault in one of its methods. */
  const faulty = (change: (model: CompiledModel) => Partial<CompiledModel>): Target => ({
    name: 'fake',
    compile: async (g, options) => {
      const model = new LinearModel(g, options);
      return Object.assign(model, change(model));
    },
  });

  it('of the loss stops with advice and keeps the last good checkpoint', async () => {
    let steps = 0;
    const target = faulty((model) => {
      const step = model.trainStep.bind(model);
      return {
        trainStep: async (batch, request) => ({
          ...(await step(batch, request)),
          loss: ++steps === BATCHES + 3 ? Number.NaN : 1,
        }),
      };
    });
    await expect(run('a', { target })).rejects.toThrow(
      'the loss became NaN in training batch 3 of epoch 2: training diverged; lower the learning rate',
    );
    const { info } = (await checkpointToResume(new RunFolder(join(root, 'a')), graph)) ?? {};
    expect(info?.state).toMatchObject({ epoch: 2, batch: 0 });
  });

  it('of a weight is not written to a checkpoint', async () => {
    let saves = 0;
    const target = faulty((model) => {
      const parameters = model.parameters.bind(model);
      return {
        parameters: async () => {
          const weights = await parameters();
          if (++saves === 2) weights.get('linear.bias')?.fill(Number.POSITIVE_INFINITY);
          return weights;
        },
      };
    });
    await expect(run('a', { target })).rejects.toThrow('parameter "linear.bias" is no longer finite');
    const { info } = (await checkpointToResume(new RunFolder(join(root, 'a')), graph)) ?? {};
    expect(info?.state).toMatchObject({ epoch: 2, batch: 0 });
  });
});

describe('a checkpoint that cannot be used', () => {
  it.each([
    ['cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 5), /file may be cut short/],
    ['empty', () => Buffer.alloc(0), /0 bytes/],
    ['of something else', () => Buffer.from('PK\u0003\u0004 and so on, for a while'), /header claims/],
  ])('because it is %s is a UserError', async (_, damage, message) => {
    const { folder } = await run('a', { train: { epochs: 1 } });
    writeFileSync(folder.last, damage(readFileSync(folder.last)));
    const reading = readCheckpoint(folder.last, graph);
    await expect(reading).rejects.toThrow(UserError);
    await expect(reading).rejects.toThrow(message);
  });

  it('because its state is not valid, or it is of another network', async () => {
    const { folder } = await run('a', { train: { epochs: 1 } });
    await expect(readCheckpoint(folder.last, linearGraph(6, 4))).rejects.toThrow(
      'its "linear.weight" is [3,6] and the network\'s is [4,6]',
    );
    const bytes = readFileSync(folder.last);
    const at = bytes.indexOf('\\"epoch\\":2');
    bytes.write('\\"epoch\\":0', at);
    writeFileSync(folder.last, bytes);
    await expect(readCheckpoint(folder.last, graph)).rejects.toThrow('its metadata has no valid training state');
    await expect(readCheckpoint(join(root, 'none'), graph)).rejects.toThrow('there is no readable checkpoint');
  });
});

it('the data is asked for exactly what is left of an interrupted epoch', async () => {
  await expect(run('a', interruptAfter(3))).rejects.toThrow(Interrupted);
  const asked: unknown[] = [];
  const source = fakeData(config.batch);
  const data: BatchSource = {
    splits: source.splits,
    batches: (split, options) => {
      asked.push([split, options]);
      return source.batches(split, options);
    },
  };
  await resume('a', { data, train: { epochs: 1 } });
  expect(asked).toEqual([
    ['train', { epoch: 1, shuffle: true, augment: true, from: 3 }],
    ['validation', undefined],
    ['test', undefined],
  ]);
});

it('batches go back once each, when they are done with', async () => {
  const whole = await run('whole');
  const source = fakeData(config.batch);
  const [given, back] = [[] as Batch[], [] as Batch[]];
  const data: BatchSource = {
    splits: source.splits,
    async *batches(split, options) {
      for await (const batch of source.batches(split, options)) {
        given.push(batch);
        yield batch;
      }
    },
    recycle(batch) {
      back.push(batch);
      if (batch.input.kind === 'dense') batch.input.values.fill(Number.NaN);
      batch.labels.fill(0);
    },
  };
  await expectSameRun(whole.folder, (await run('recycled', { data })).folder);
  expect(back).toHaveLength(given.length);
  expect(given.every((batch) => back.includes(batch))).toBe(true);
});

it('data that fails is reported where it is used, with what was trained before it saved', async () => {
  const source = fakeData(config.batch);
  const data: BatchSource = {
    splits: source.splits,
    async *batches(split, options) {
      if (split === 'validation') throw new UserError('SP700', 'unreadable');
      yield* source.batches(split, options);
    },
  };
  await expect(run('a', { data })).rejects.toThrow('unreadable');
  const { info } = await readCheckpoint(new RunFolder(join(root, 'a')).last, graph);
  expect(info.state).toMatchObject({ epoch: 1, batch: BATCHES });
});
