import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command, Option } from 'commander';
import { type Compiled, compileSpec } from '../compile.ts';
import type { Costs } from '../cost/costs.ts';
import { FileMeter } from '../cost/fileMeter.ts';
import { CostMeter } from '../cost/meter.ts';
import { addProbes } from '../cost/probes.ts';
import type { Batch } from '../data/batch.ts';
import type { SplitName } from '../data/definition.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { openOnnx } from '../targets/onnx/run.ts';
import { selectTarget } from '../targets/select.ts';
import { evaluateSplit } from '../train/loop.ts';
import type { BatchResult, SplitMetrics } from '../train/metrics.ts';
import { loadTrainedModel, spikingLayers } from '../train/run.ts';
import { RunFolder } from '../train/runFolder.ts';
import { costDocument, costTable } from './costTable.ts';
import { dataNotices } from './dataNotices.ts';
import { interruptible } from './interrupt.ts';
import { openData } from './openData.ts';
import { type OutputOptions, type SpecOptions, withOutput, withSet, withTarget } from './options.ts';
import { Output } from './output.ts';
import { progressReporter } from './progress.ts';
import { count, percent } from './text.ts';

interface EvalOptions extends SpecOptions, OutputOptions {
  readonly split: SplitName;
  readonly spec?: string;
  readonly target?: string;
  readonly cost: boolean;
}

export function evalCommand(): Command {
  const command = new Command('eval')
    .description('Accuracy, loss and cost of a trained network: the best checkpoint of a run, or an exported model.')
    .argument('<run|model.onnx>', 'a run folder, or a model that "sparchc export" or "sparchc train" wrote')
    .addOption(new Option('--split <name>', 'which samples').choices(['train', 'validation', 'test']).default('test'))
    .option('--spec <file>', 'the spec that names the data of a model (default: spec.resolved.yaml in its folder)')
    .option('--no-cost', 'accuracy, loss and firing rates only, which is faster');
  return withOutput(withTarget(withSet(command)))
    .addHelpText('after', EXAMPLES)
    .action(evaluate);
}

const EXAMPLES = `
Examples:
  sparchc eval runs/quickstart
  sparchc eval runs/quickstart --split validation --json
  sparchc eval runs/quickstart/model.onnx                       in onnxruntime
  sparchc eval elsewhere/model.onnx --spec my.yaml
  sparchc eval runs/shd --set data.source.folder=/data/shd      the data has moved`;

async function evaluate(path: string, options: EvalOptions): Promise<void> {
  const output = new Output(options);
  const isFile = isModelFile(path);
  requireFitting(isFile, options);
  const spec = compileSpec(isFile ? specOfModel(path, options) : specOfRun(path), { sets: options.set });
  const model = isFile ? await openFile(path, options) : await openRun(path, spec, options);
  try {
    const metrics = await evaluateOn(model, spec, options.split, output);
    const costs = model.costs?.();
    output.say(summary(metrics, options.split));
    if (costs) output.say(`\n${costTable(costs)}`);
    output.document({
      accuracy: metrics.accuracy,
      loss: metrics.loss,
      samples: metrics.samples,
      firing_rates: metrics.firingRates,
      split: options.split,
      ...(costs && { cost: costDocument(costs) }),
    });
  } finally {
    await model.dispose();
  }
}

function requireFitting(isFile: boolean, { target, spec }: EvalOptions): void {
  if (isFile && target !== undefined) {
    const message = 'a model file runs in onnxruntime, not in a target; leave out --target';
    throw new UserError('SP834', message, { exitCode: 2 });
  }
  if (!isFile && spec !== undefined) {
    throw new UserError('SP834', 'a run folder has its own spec; leave out --spec', { exitCode: 2 });
  }
}

export interface Scorer {
  evaluate(batch: Batch): Promise<BatchResult>;
  /** Of all batches so far, where the model counts them. */
  costs?(): Costs;
  dispose(): void | Promise<void>;
}

function isModelFile(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) {
    throw new UserError('SP830', `there is no run folder or model "${path}"; train a spec first with "sparchc train"`, {
      exitCode: 2,
    });
  }
  return stats.isFile();
}

function specOfModel(path: string, { spec }: EvalOptions): string {
  const beside = new RunFolder(dirname(path)).spec;
  if (spec !== undefined || existsSync(beside)) return spec ?? beside;
  throw new UserError('SP831', `no spec beside "${path}" says which data to evaluate it on; name one with --spec`, {
    exitCode: 2,
  });
}

function specOfRun(path: string): string {
  const { spec } = new RunFolder(path);
  if (existsSync(spec)) return spec;
  throw new UserError('SP832', `"${path}" is not a run folder: it has no spec.resolved.yaml`, { exitCode: 2 });
}

async function openFile(path: string, { cost }: EvalOptions): Promise<Scorer> {
  const model = await openOnnx(path);
  return cost ? new FileMeter(model, readFileSync(path)) : model;
}

/** The best weights of a run in the target they were trained on, or another one on request. */
async function openRun(path: string, spec: Compiled, options: EvalOptions): Promise<Scorer> {
  const probed = options.cost ? addProbes(spec.graph) : null;
  const run = { ...spec, graph: probed?.graph ?? spec.graph };
  const model = await loadTrainedModel(new RunFolder(path), run, async (trainedOn) => {
    // Both evaluate alike, to the bit, and wasm does so on every engine.
    const evaluating = trainedOn === 'wasm-relaxed' ? 'wasm' : trainedOn;
    const { target } = await selectTarget(options.target ?? evaluating);
    return target;
  });
  return probed ? new CostMeter(model, probed, await model.parameters()) : model;
}

/** Metrics on one split of the spec's data, with progress. */
export async function evaluateOn(
  model: Scorer,
  spec: Compiled,
  split: SplitName,
  output: Output,
): Promise<SplitMetrics> {
  const layers = spikingLayers(spec.graph);
  const data = await openData(spec, output);
  const observer = progressReporter(output, { epochs: 0, layers });
  try {
    const metrics = await interruptible(
      () => {},
      (signal) => evaluateSplit({ model, layers, data, observer, signal }, split),
    );
    observer.close();
    for (const line of dataNotices(data.counters)) output.warn(`warning: ${line}`);
    return metrics;
  } finally {
    observer.close();
    await data.close();
  }
}

function summary({ accuracy, loss, samples, firingRates }: SplitMetrics, split: SplitName): string {
  const rates = Object.entries(firingRates).map(([layer, rate]) => `${layer} ${percent(rate)}`);
  return [
    `${split} accuracy ${percent(accuracy)}, loss ${loss.toFixed(4)}, ${count(samples)} samples`,
    ...(rates.length > 0 ? [`firing rates ${rates.join(', ')}`] : []),
  ].join('\n');
}
