import { join } from 'node:path';
import { Command } from 'commander';
import { type Compiled, compileSpec } from '../compile.ts';
import type { DataFacts } from '../data/pipeline.ts';
import { selectTarget } from '../targets/select.ts';
import type { Tensors } from '../targets/target.ts';
import type { CheckpointInfo } from '../train/checkpoint.ts';
import { Interrupted } from '../train/loop.ts';
import { type Pretrained, readPretrained } from '../train/pretrained.ts';
import {
  checkpointToResume,
  compileOptions,
  requireTrainable,
  spikingLayers,
  trainableParameters,
  trainRun,
} from '../train/run.ts';
import { RunFolder, type RunResult, requireNewFolder } from '../train/runFolder.ts';
import { requireSameRun } from '../train/specChanges.ts';
import { dataNotices } from './dataNotices.ts';
import { describeError } from './errors.ts';
import { interruptible } from './interrupt.ts';
import { modelMetadata } from './modelMetadata.ts';
import { openData } from './openData.ts';
import { type OutputOptions, type SpecOptions, withOutput, withSet, withTarget } from './options.ts';
import { Output } from './output.ts';
import { progressReporter } from './progress.ts';
import { count, duration, percent, shellQuote } from './text.ts';

interface TrainOptions extends SpecOptions, OutputOptions {
  readonly out?: string;
  readonly target?: string;
  readonly resume?: boolean;
}

export function trainCommand(): Command {
  const command = new Command('train')
    .description('Train the network of a spec and leave everything in a run folder.')
    .argument('<spec>', 'the experiment, a YAML file')
    .option('--out <dir>', 'the run folder (default: runs/NAME, with the name in the spec)')
    .option('--log <file>', 'append what would be shown to a file instead; warnings and errors are shown, too')
    .option('--resume', 'go on from the batch at which the run in the folder was stopped');
  return withOutput(withTarget(withSet(command)))
    .addHelpText('after', EXAMPLES)
    .action(trainSpec);
}

const EXAMPLES = `
Examples:
  sparchc train specs/quickstart.yaml
  sparchc train my.yaml --out runs/second --set seed=2 --set train.epochs=50
  sparchc train my.yaml --resume                            after Ctrl-C, a crash or a reboot
  sparchc train my.yaml --resume --set train.epochs=100     a finished run, longer
  sparchc train my.yaml --out runs/tuned --set train.init=runs/first --set model.layers.h1.freeze=true
  sparchc train my.yaml --json > result.json

The run folder holds spec.resolved.yaml, metrics.jsonl, checkpoints/{last,best}.safetensors, result.json, model.onnx.
Ctrl-C finishes the batch and saves it; a second Ctrl-C ends at once.`;

async function trainSpec(path: string, options: TrainOptions): Promise<void> {
  const output = new Output(options);
  const spec = compileSpec(path, { sets: options.set });
  output.diagnostics(spec.warnings);
  const folder = new RunFolder(options.out ?? join('runs', spec.experiment.name));
  await (options.resume ? requireSameRun(folder, spec.resolvedYaml) : requireNewFolder(folder));
  const unlock = await folder.lock();
  try {
    await trainIn(folder, spec, path, options, output);
  } catch (error) {
    if (!(error instanceof Interrupted)) output.note(describeError(error));
    throw error;
  } finally {
    await unlock();
  }
}

async function trainIn(
  folder: RunFolder,
  spec: Compiled,
  path: string,
  options: TrainOptions,
  output: Output,
): Promise<void> {
  const { experiment, graph } = spec;
  const checkpoint = options.resume ? await checkpointToResume(folder, graph) : null;
  const { init } = experiment.train;
  const pretrained = init !== null && checkpoint === null ? await readPretrained(init, graph) : null;
  const { target, reason } = await selectTarget(options.target ?? checkpoint?.info.target ?? 'auto');
  requireTrainable(spec, target, checkpoint);

  const observer = progressReporter(output, { epochs: experiment.train.epochs, layers: spikingLayers(graph) });
  const onNotice = (sentence: string) => {
    observer.pause();
    output.warn(`note: ${sentence}`);
  };
  // A thread of its own opens the data; the model is compiled meanwhile.
  const opening = openData(spec, output);
  const compiling = target.compile(graph, { ...compileOptions(experiment), onNotice });
  // What it throws is thrown where it is awaited.
  compiling.catch(() => {});
  try {
    const data = await opening;
    output.say(introduction(spec, reason, data.splits));
    if (pretrained) output.say(pretrainedStart(pretrained));
    if (checkpoint) output.say(resumption(checkpoint.info, experiment.train.epochs));
    output.say('');
    const notice = () => {
      observer.pause();
      output.warn('finishing this batch and saving it; Ctrl-C again ends at once');
    };
    const result = await interruptible(notice, (signal) =>
      trainRun({
        spec,
        folder,
        model: compiling,
        target: target.name,
        data,
        checkpoint,
        pretrained: pretrained?.weights ?? null,
        observer,
        signal,
        exportModel: (weights) => exportModel(spec, weights, data.facts),
      }),
    );
    observer.close();
    for (const line of dataNotices(data.counters)) output.warn(`warning: ${line}`);
    output.say(summary(result, folder));
    output.document({ ...result, run: folder.path });
  } catch (error) {
    observer.close();
    if (error instanceof Interrupted) output.warn(`interrupted; go on with\n  ${resumeCommand(path, options)}`);
    throw error;
  } finally {
    await opening.then(
      (data) => data.close(),
      () => {},
    );
    await compiling.then(
      (model) => model.dispose(),
      () => {},
    );
  }
}

/** The code that writes ONNX is loaded when it is needed, so that training starts sooner. */
async function exportModel(spec: Compiled, weights: Tensors, facts: DataFacts): Promise<Uint8Array> {
  const { exportOnnx } = await import('../targets/onnx/export.ts');
  return exportOnnx(spec.graph, weights, { fold: true, metadata: modelMetadata(spec, facts) });
}

type Sizes = Readonly<Record<'train' | 'validation' | 'test', { readonly samples: number }>>;

function introduction({ experiment, graph }: Compiled, reason: string, sizes: Sizes): string {
  const { train, validation, test } = sizes;
  return [
    `training  ${experiment.name}, ${count(trainableParameters(graph))} parameters, ${experiment.train.epochs} epochs`,
    `data      ${count(train.samples)} training, ${count(validation.samples)} validation, ${count(test.samples)} test samples`,
    `target    ${reason}`,
  ].join('\n');
}

function pretrainedStart({ path, loaded, fresh }: Pretrained): string {
  const drawn = fresh.map(({ layer, why }) => `\n          ${layer} starts fresh: ${why}`);
  return `init      ${loaded.join(', ')} from ${path}${drawn.join('')}`;
}

function resumption({ state: { epoch, batch }, target }: CheckpointInfo, epochs: number): string {
  if (epoch > epochs)
    return 'resuming  all epochs are trained, so only the test is run; give more with --set train.epochs=N';
  // Of all targets, this one alone computes in more digits than checkpoints have.
  const rounded =
    target === 'reference' ? '; from float32 checkpoints, not to the bits of a run that was never stopped' : '';
  return `resuming  epoch ${epoch}${batch > 0 ? ` after batch ${batch}` : ''}${rounded}`;
}

function summary(result: RunResult, folder: RunFolder): string {
  const run = shellQuote(folder.path);
  return [
    '',
    `test accuracy ${percent(result.test_accuracy)} (loss ${result.test_loss.toFixed(4)}) with the weights of epoch ` +
      `${result.best_epoch} (validation ${percent(result.valid_accuracy)}); trained in ${duration(result.seconds)}`,
    `run folder    ${folder.path}`,
    `next          sparchc eval ${run}`,
    `              sparchc eval ${shellQuote(folder.model)}`,
  ].join('\n');
}

function resumeCommand(path: string, { set, out, target, log }: TrainOptions): string {
  const sets = set.flatMap((value) => ['--set', value]);
  const outs = out === undefined ? [] : ['--out', out];
  const targets = target === undefined ? [] : ['--target', target];
  const logs = log === undefined ? [] : ['--log', log];
  return ['sparchc', 'train', path, ...sets, ...outs, ...targets, ...logs, '--resume'].map(shellQuote).join(' ');
}
