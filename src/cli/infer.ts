import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { openRecordings } from '../data/recordings.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { type Provider, providers } from '../targets/onnx/load.ts';
import { type OnnxModel, openOnnx } from '../targets/onnx/run.ts';
import { type OutputOptions, withOutput } from './options.ts';
import { Output } from './output.ts';
import { count } from './text.ts';

interface InferOptions extends OutputOptions {
  readonly provider: Provider;
}

/** One classified recording, as `--json` lists it. */
interface Inference {
  readonly file: string;
  /** Which recording of the file, from 0. */
  readonly sample: number;
  /** The class's name, or its index where the training data had no names. */
  readonly class: string;
  readonly index: number;
  readonly scores: readonly number[];
  /** Of the model alone, without reading and binning. */
  readonly seconds: number;
}

export function inferCommand(): Command {
  const command = new Command('infer')
    .description('Classify recordings with an exported model.')
    .argument('<model.onnx>', 'a model of whole sequences that "sparchc export" or "sparchc train" wrote')
    .argument('<file...>', 'HDF5 files in the layout of SHD, or folders of them')
    .addOption(new Option('--provider <name>', 'what computes, in onnxruntime').choices(providers).default('cpu'));
  return withOutput(command).addHelpText('after', EXAMPLES).action(infer);
}

const EXAMPLES = `
Examples:
  sparchc infer runs/shd/model.onnx data/shd/shd_test.h5
  sparchc infer runs/shd/model.onnx recordings/ --json > classes.json

The model knows how its input is made from spikes. Recordings are classified one by one; the time is the model's alone.`;

async function infer(path: string, inputs: readonly string[], options: InferOptions): Promise<void> {
  const output = new Output(options);
  const files = inputs.flatMap(filesOf);
  const model = await openOnnx(path, { provider: options.provider });
  try {
    const inferences: Inference[] = [];
    for (const [i, file] of files.entries()) {
      const found = await classify(model, file, output);
      inferences.push(...found);
      output.say(`${file}: ${count(found.length)} recordings, file ${i + 1} of ${files.length}`);
    }
    output.document(inferences);
  } finally {
    await model.dispose();
  }
}

/** A file itself, or the HDF5 files of a folder in the order of their names. */
function filesOf(input: string): string[] {
  if (!existsSync(input)) {
    const message = `there is no file or folder "${input}"; give HDF5 files in the layout of SHD`;
    throw new UserError('SP836', message, { exitCode: 2 });
  }
  if (!statSync(input).isDirectory()) return [input];
  const files = readdirSync(input).filter((name) => /\.(h5|hdf5)$/i.test(name));
  if (files.length > 0) return files.toSorted().map((name) => join(input, name));
  throw new UserError(
    'SP836',
    `the folder "${input}" has no .h5 or .hdf5 files; give HDF5 files in the layout of SHD`,
    {
      exitCode: 2,
    },
  );
}

async function classify(model: OnnxModel, file: string, output: Output): Promise<Inference[]> {
  const recordings = await openRecordings(file, model.info.preprocessing, model.info.features);
  try {
    const inferences: Inference[] = [];
    let dropped = 0;
    for (let sample = 0; sample < recordings.count; sample++) {
      const { batch, dropped: left } = await recordings.read(sample);
      dropped += left;
      const start = performance.now();
      const { scores } = await model.evaluate(batch);
      const seconds = (performance.now() - start) / 1000;
      const index = scores.indexOf(Math.max(...scores));
      const name = model.info.classNames[index];
      inferences.push({ file, sample, class: name, index, scores: [...scores], seconds });
      output.say(
        `${file} ${sample}  class ${name}  score ${scores[index].toPrecision(4)}  ${(1000 * seconds).toFixed(1)} ms`,
      );
    }
    if (dropped > 0)
      output.warn(`warning: ${count(dropped)} events of "${file}" lay outside of the time window and were left out`);
    return inferences;
  } finally {
    recordings.close();
  }
}
