import { existsSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Compiled, compileSpec } from '../compile.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { WeightType } from '../targets/onnx/compress.ts';
import { exportOnnx, type ModelMetadata } from '../targets/onnx/export.ts';
import { openOnnxBytes } from '../targets/onnx/run.ts';
import type { Segmentation } from '../targets/onnx/stream.ts';
import type { Tensors } from '../targets/target.ts';
import { writeFileAtomically } from '../train/atomicFile.ts';
import { readCheckpoint } from '../train/checkpoint.ts';
import { RunFolder } from '../train/runFolder.ts';
import { evaluateOn } from './eval.ts';
import { exportToNir } from './exportNir.ts';
import { modelMetadata } from './modelMetadata.ts';
import { type OutputOptions, seconds, withOutput } from './options.ts';
import { Output } from './output.ts';
import { count, percent, shellQuote } from './text.ts';

interface ExportOptions extends OutputOptions {
  readonly output?: string;
  readonly mode: 'sequence' | 'step';
  readonly window?: number;
  readonly silence?: number;
  readonly threshold?: number;
  readonly input: 'features' | 'waveform';
  readonly record?: true;
  readonly fold: boolean;
  readonly quantize?: 'int8';
  readonly half?: true;
  readonly format: 'onnx' | 'nir';
  readonly dt?: number;
  readonly approximate?: true;
}

export function exportCommand(): Command {
  const command = new Command('export')
    .description(
      'Write the best checkpoint of a run as an ONNX model of whole sequences or of a stream, or as a NIR file.',
    )
    .argument('<run>', 'the run folder that "sparchc train" left')
    .option(
      '-o, --output <file>',
      'where to write it (default: in the run folder, as model.onnx, step.onnx, sound.onnx, sound-step.onnx or model.nir)',
    )
    .addOption(
      new Option('--format <name>', 'onnx: for any ONNX runtime; nir: for other spiking software and hardware')
        .choices(['onnx', 'nir'])
        .default('onnx'),
    )
    .addOption(
      new Option(
        '--mode <name>',
        'what is fed at once: a whole sequence, or a chunk of a stream, with all states in and out',
      )
        .choices(['sequence', 'step'])
        .default('sequence'),
    )
    .addOption(
      new Option('--window <steps>', 'with --mode step: the scores are those of the last time steps only')
        .argParser(timeSteps)
        .conflicts('silence'),
    )
    .addOption(
      new Option(
        '--silence <steps>',
        'with --mode step: stand still after so many steps without an event, then start afresh',
      ).argParser(timeSteps),
    )
    .addOption(
      new Option('--threshold <level>', 'with --silence: an event is a log-mel energy above this').argParser(level),
    )
    .addOption(
      new Option('--input <kind>', 'what the model takes: the features of the data pipeline, or sound')
        .choices(['features', 'waveform'])
        .default('features'),
    )
    .option('--record', "add every layer's output at every step to the outputs (activity.LAYER)")
    .addOption(
      new Option('--quantize <type>', 'store the weights as 8-bit integers, and measure what that does to the accuracy')
        .choices(['int8'])
        .conflicts('half'),
    )
    .option('--half', 'store the weights as float16, and measure what that does to the accuracy')
    .option('--no-fold', 'keep batchnorm and clamped parameters as operators instead of folding them into constants')
    .option(
      '--approximate',
      'with --format nir: write the nearest network that NIR can say, and measure the difference',
    )
    .option('--dt <duration>', "with --format nir: duration of a time step (default: the data's)", seconds);
  return withOutput(command).addHelpText('after', EXAMPLES).action(exportRun);
}

const EXAMPLES = `
Examples:
  sparchc export runs/quickstart
  sparchc export runs/quickstart -o digits.onnx
  sparchc export runs/quickstart --mode step --silence 50
  sparchc export runs/hd --input waveform                                      takes sound
  sparchc export runs/hd --input waveform --mode step --silence 30 --threshold -5
  sparchc export runs/quickstart --quantize int8 -o small.onnx
  sparchc export runs/quickstart --no-fold -o unfolded.onnx
  sparchc export runs/quickstart --format nir --approximate
  sparchc eval digits.onnx --spec runs/quickstart/spec.resolved.yaml

The model runs in any ONNX runtime. Inputs: x [batch, time, features] or, of sound, [batch, samples]; optional lengths
[batch] and one initial state per layer and state (state.LAYER.STATE). Outputs: scores [batch, classes], mean firing rates
(rate.LAYER [batch, size]) and the states after the last step (final.LAYER.STATE). A model of a stream has all states in one
tensor, state, and gives next_state. docs/deploy.md describes them all.`;

async function exportRun(path: string, options: ExportOptions): Promise<void> {
  const output = new Output(options);
  const segmentation = segmentationOf(options);
  const weightType = weightTypeOf(options);
  requireFitting(options);
  const folder = new RunFolder(path);
  requireRun(folder);
  const spec = compileSpec(folder.spec);
  const { graph, specSha256, warnings } = spec;
  output.diagnostics(warnings);
  const { weights, info } = await readCheckpoint(folder.best, graph);
  const about = { epoch: info.state.best?.epoch, spec_sha256: specSha256 };
  if (options.format === 'nir') {
    const written = await exportToNir(spec, weights, options.output ?? folder.nirModel, options, output);
    output.document({ ...written, ...about });
    return;
  }
  const file = options.output ?? folder.exported(options.mode, options.input);
  const metadata = modelMetadata(spec, info.data);
  const { fold, input, record } = options;
  const bytes = exportOnnx(graph, weights, { fold, input, record, segmentation, weights: weightType, metadata });
  await writeFileAtomically(file, [bytes]);
  output.say(`wrote ${file} (${count(bytes.length / 1024)} KiB)`);
  const change = weightType === 'float32' ? {} : await accuracyChange(spec, weights, weightType, metadata, output);
  const next = nextCommandFor(file, folder, options);
  if (next) output.say(`next   ${next}`);
  output.document({ file, bytes: bytes.length, ...about, ...change });
}

/** What storing the weights in fewer bits does to the accuracy on the test split: of whole sequences, in both modes. */
async function accuracyChange(
  spec: Compiled,
  weights: Tensors,
  weightType: WeightType,
  metadata: ModelMetadata,
  output: Output,
): Promise<Record<string, number>> {
  const accuracies: number[] = [];
  for (const type of ['float32', weightType] as const) {
    const bytes = exportOnnx(spec.graph, weights, { fold: true, weights: type, metadata });
    const model = await openOnnxBytes(bytes, 'the exported model');
    try {
      accuracies.push((await evaluateOn(model, spec, 'test', output)).accuracy);
    } finally {
      await model.dispose();
    }
  }
  const [before, after] = accuracies;
  const points = (100 * (after - before)).toFixed(2);
  output.say(
    `test accuracy ${percent(after)} with ${weightType} weights, ${percent(before)} before (${points} points)`,
  );
  return { accuracy: after, accuracy_float32: before, accuracy_change: after - before };
}

function timeSteps(text: string): number {
  const steps = Number(text);
  if (Number.isInteger(steps) && steps >= 1 && steps <= 65536) return steps;
  throw new InvalidArgumentError('It must be a whole number of time steps from 1 to 65536.');
}

function level(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a number.');
}

function segmentationOf({ mode, window, silence, threshold }: ExportOptions): Segmentation | undefined {
  if (threshold !== undefined && silence === undefined) {
    throw new UserError('SP627', '--threshold says what silence is; add --silence', { exitCode: 2 });
  }
  if (mode === 'step') {
    if (window !== undefined) return { kind: 'window', steps: window };
    return silence === undefined ? { kind: 'reset' } : { kind: 'silence', steps: silence, threshold };
  }
  if (window === undefined && silence === undefined) return undefined;
  const option = window === undefined ? '--silence' : '--window';
  throw new UserError('SP627', `${option} is about streams; add --mode step`, { exitCode: 2 });
}

function weightTypeOf({ quantize, half, fold }: ExportOptions): WeightType {
  const type = quantize ?? (half ? 'float16' : 'float32');
  if (type === 'float32' || fold) return type;
  throw new UserError('SP628', 'only folded weights can be stored in fewer bits; leave out --no-fold', { exitCode: 2 });
}

/** Throws UserError SP662 where an option belongs to the other format. */
function requireFitting({ format, mode, input, record, quantize, half, fold, dt, approximate }: ExportOptions): void {
  const given = (options: Record<string, boolean>) => Object.keys(options).find((name) => options[name]);
  const ofOnnx = given({
    '--mode step': mode === 'step',
    '--input waveform': input === 'waveform',
    '--record': !!record,
    '--quantize': !!quantize,
    '--half': !!half,
    '--no-fold': !fold,
  });
  const ofNir = given({ '--approximate': !!approximate, '--dt': dt !== undefined });
  const wrong = format === 'nir' ? ofOnnx : ofNir;
  if (wrong === undefined) return;
  const message = `${wrong} is not about the format ${format}; leave it out`;
  throw new UserError('SP662', message, { exitCode: 2 });
}

/** What to try with the file; a stream of features has no command. */
function nextCommandFor(file: string, folder: RunFolder, { mode, input }: ExportOptions): string | null {
  if (input === 'waveform') return `sparchc infer ${shellQuote(file)} ${mode === 'step' ? '-' : 'RECORDING.wav'}`;
  if (mode === 'step') return null;
  // A model elsewhere has no spec beside it that names the data.
  const spec = dirname(file) === dirname(folder.spec) ? [] : ['--spec', folder.spec];
  return ['sparchc', 'eval', file, ...spec].map(shellQuote).join(' ');
}

/** Throws UserError SP625 where the folder was not left by a run that finished an epoch. */
function requireRun(folder: RunFolder): void {
  const missing = [folder.spec, folder.best].find((file) => !existsSync(file));
  if (missing === undefined) return;
  const message = existsSync(folder.path)
    ? `"${folder.path}" has no "${relative(folder.path, missing)}"; give the folder of a run that finished an epoch`
    : `there is no run folder "${folder.path}"; give the one that "sparchc train" wrote`;
  throw new UserError('SP625', message, { exitCode: 2 });
}
