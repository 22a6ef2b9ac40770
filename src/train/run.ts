import { existsSync } from 'node:fs';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { Graph } from '../ir/graph.ts';
import type { CompiledModel, CompileOptions, Target, Tensors } from '../targets/target.ts';
import { type Checkpoint, readCheckpoint } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { definitionNamed, optimizers, schedules } from './definitions.ts';
import { type BatchSource, evaluateSplit, firstBatches, type TrainingObserver, train } from './loop.ts';
import type { RunFolder, RunResult } from './runFolder.ts';
import { initialState, type TrainingState } from './state.ts';
import { storeIn } from './store.ts';
import { versions } from './versions.ts';

/** A compiled spec, as far as a run needs it. */
export interface RunSpec {
  readonly experiment: { readonly name: string; readonly seed: number; readonly train: TrainConfig };
  readonly graph: Graph;
  readonly resolvedYaml: string;
  readonly specSha256: string;
}

export interface Run {
  readonly spec: RunSpec;
  readonly folder: RunFolder;
  /** With `compileOptions`, on the target of that name; the first batch is made while it is still being compiled. */
  readonly model: Promise<CompiledModel>;
  readonly target: string;
  readonly data: BatchSource;
  /** Where to go on from; null starts anew. */
  readonly checkpoint: Checkpoint | null;
  /** Weights to start anew from, of some parameters; what is absent is drawn. */
  readonly pretrained: Tensors | null;
  readonly observer: TrainingObserver;
  readonly signal: AbortSignal;
  /** Turns the best weights into the bytes of `model.onnx`. */
  exportModel(weights: Checkpoint['weights']): Promise<Uint8Array>;
}

/** The checkpoint that a resumed run goes on from, or null where it was stopped before its first one. */
export async function checkpointToResume(folder: RunFolder, graph: Graph): Promise<Checkpoint | null> {
  return existsSync(folder.last) ? readCheckpoint(folder.last, graph) : null;
}

/** Throws UserError SP824 where the checkpoint is another target's, SP825 where nothing is to be trained. */
export function requireTrainable({ graph }: RunSpec, target: Target, checkpoint: Checkpoint | null): void {
  if (checkpoint && checkpoint.info.target !== target.name) {
    throw new UserError(
      'SP824',
      `the run was trained on "${checkpoint.info.target}" and cannot go on exactly on "${target.name}"; leave out --target`,
      { exitCode: 2 },
    );
  }
  if (graph.parameters.some((p) => p.trainable)) return;
  throw new UserError('SP825', 'every layer is frozen, so there is nothing to train; unfreeze one', { exitCode: 2 });
}

/**
 * Trains, tests the selected weights and leaves everything in the run's folder, or nothing where it never began. Where other
 * processes might train there, the caller locks it before reading the checkpoint (`folder.lock()`). Throws what `train`
 * throws.
 */
export async function trainRun(run: Run): Promise<RunResult> {
  try {
    return await trainAndTest(run);
  } catch (error) {
    await run.folder.removeUnlessBegun();
    throw error;
  }
}

async function trainAndTest(run: Run): Promise<RunResult> {
  const { spec, folder, data, checkpoint, pretrained, observer, signal } = run;
  const config = spec.experiment.train;
  const schedule = definitionNamed(schedules, config.schedule.type).create(config.schedule.params);
  const start = checkpoint?.info.state ?? initialState(config.optimizer.params.lr as number);
  const batches = firstBatches(data, config, start);
  const model = await run.model;
  await folder.prepare(spec.resolvedYaml);
  await folder.truncateMetrics(start.epoch - 1);
  if (checkpoint) restore(model, checkpoint);
  else if (pretrained) model.load(pretrained);

  const evaluation = { model, layers: spikingLayers(spec.graph), data, observer, signal };
  const { facts } = data;
  const about = { target: run.target, specSha256: spec.specSha256, ...(facts && { data: facts }) };
  const store = storeIn(folder, spec.graph, about, model);
  const end = await train({ ...evaluation, config, schedule, store }, start, batches);

  const { weights } = await readCheckpoint(folder.best, spec.graph);
  model.load(weights);
  const test = await evaluateSplit(evaluation, 'test');
  const result = resultOf(run, model, end, test);
  await folder.writeResult(result);
  await folder.writeModel(await run.exportModel(weights));
  return result;
}

/**
 * The tested weights of a run, ready to evaluate; `select` gives the target, knowing the name of the one that trained
 * them. Throws what `readCheckpoint` throws.
 */
export async function loadTrainedModel(
  folder: RunFolder,
  { experiment, graph }: RunSpec,
  select: (trainedOn: string) => Promise<Target>,
): Promise<CompiledModel> {
  const { weights, info } = await readCheckpoint(folder.best, graph);
  const target = await select(info.target);
  const model = await target.compile(graph, compileOptions(experiment));
  model.load(weights);
  return model;
}

/** What a target needs of an experiment besides its graph. */
export function compileOptions({ seed, train }: Omit<RunSpec['experiment'], 'name'>): CompileOptions {
  const optimizer = definitionNamed(optimizers, train.optimizer.type).config(train.optimizer.params);
  return { seed, optimizer, clipNorm: train.clipNorm };
}

function restore(model: CompiledModel, { weights, optimizer }: Checkpoint): void {
  model.load(weights);
  model.loadOptimizerState(optimizer);
}

function resultOf(
  { spec, target }: Run,
  model: CompiledModel,
  { epoch, best, last, seconds }: TrainingState,
  test: { readonly accuracy: number; readonly loss: number },
): RunResult {
  const tested = spec.experiment.train.select === 'last' ? last : best;
  if (!tested) throw new Error('a run ended without an epoch');
  return {
    name: spec.experiment.name,
    test_accuracy: test.accuracy,
    test_loss: test.loss,
    valid_accuracy: tested.accuracy,
    best_epoch: tested.epoch,
    epochs: epoch - 1,
    parameters: trainableParameters(spec.graph),
    seconds,
    target,
    backend: model.backend,
    ...(model.execution && {
      micro_batches: model.execution.microBatches,
      relaxed_simd: model.execution.relaxedSimd,
    }),
    seed: spec.experiment.seed,
    spec_sha256: spec.specSha256,
    versions: versions(),
  };
}

/** The layers that fire. */
export function spikingLayers(graph: Graph): string[] {
  return graph.layers.filter((l) => l.spiking).map((l) => l.layer);
}

export function trainableParameters(graph: Graph): number {
  const sizes = graph.parameters.filter((p) => p.trainable).map((p) => p.shape.reduce((product, n) => product * n, 1));
  return sizes.reduce((sum, n) => sum + n, 0);
}
