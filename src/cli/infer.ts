import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { UserError } from '../diagnostics/diagnostic.ts';
import { splitNumber } from '../syntax/quantity.ts';
import { type Provider, providers } from '../targets/onnx/load.ts';
import { type AnyModel, openAny } from '../targets/onnx/open.ts';
import { Interrupted } from '../train/loop.ts';
import { type Inference, inferFiles } from './inferFiles.ts';
import { interruptible } from './interrupt.ts';
import { listen } from './listen.ts';
import { openRunOnWasm } from './openRun.ts';
import { type OutputOptions, withOutput } from './options.ts';
import { Output } from './output.ts';
import { type PcmFormat, pcmFormats } from './pcm.ts';
import { printable } from './text.ts';

interface InferOptions extends OutputOptions {
  readonly engine: 'onnxruntime' | 'wasm';
  readonly provider?: Provider;
  readonly rate?: number;
  readonly format: PcmFormat;
}

export function inferCommand(): Command {
  const command = new Command('infer')
    .description('Classify recordings, or a stream of sound, with an exported model.')
    .argument(
      '<model.onnx|run>',
      'a model that "sparchc export" or "sparchc train" wrote; with --engine wasm, a run folder or one of its checkpoints',
    )
    .argument(
      '<file...>',
      'WAV or FLAC files, or HDF5 files in the layout of SHD, whichever the model takes; folders of them; or - for raw sound on stdin',
    )
    .addOption(
      new Option('--engine <name>', "what runs the network: onnxruntime, or sparchc's own event-driven kernels")
        .choices(['onnxruntime', 'wasm'])
        .default('onnxruntime'),
    )
    .addOption(new Option('--provider <name>', 'what computes, in onnxruntime (default: cpu)').choices(providers))
    .addOption(
      new Option(
        '--rate <Hz>',
        "with -: samples per second of the sound, such as 48kHz (default: the model's)",
      ).argParser(hertz),
    )
    .addOption(
      new Option('--format <name>', 'with -: how a sample is stored').choices(Object.keys(pcmFormats)).default('s16le'),
    );
  return withOutput(command).addHelpText('after', EXAMPLES).action(infer);
}

const EXAMPLES = `
Examples:
  sparchc infer runs/hd/model.onnx recordings/ --json > classes.json
  sparchc infer runs/hd/sound.onnx word.wav word.flac
  sparchc infer runs/shd/model.onnx data/shd/shd_test.h5
  sparchc infer --engine wasm runs/shd data/shd/shd_test.h5
  arecord -q -t raw -f S16_LE -r 16000 | sparchc infer runs/hd/sound-step.onnx -      words as they are said
  ffmpeg -i talk.mp3 -f s16le -ac 1 -ar 16000 - | sparchc infer runs/hd/sound-step.onnx -

The model knows how its input is made. Sound of another rate is resampled. Recordings are classified one by one; the time
is the model's alone. A model of a stream (--mode step) gives a word for every pause (--silence), or whenever another class
becomes the most likely one.`;

async function infer(path: string, inputs: readonly string[], options: InferOptions): Promise<void> {
  const output = new Output(options);
  const isLive = requireFittingInputs(inputs, options);
  const opened = await openEngine(path, options);
  try {
    if (!isLive) return await inferFiles(opened, inputs, output);
    const found: Inference[] = [];
    const interrupted = await interruptible(
      () => {},
      async (signal) => {
        for await (const word of listen(opened, process.stdin, options, signal)) {
          found.push(word);
          output.say(liveLine(word));
        }
        return signal.aborted;
      },
    );
    output.document(found);
    if (interrupted) throw new Interrupted();
  } finally {
    await opened.model.dispose();
  }
}

function openEngine(path: string, { engine, provider }: InferOptions): Promise<AnyModel> {
  if (engine === 'onnxruntime') {
    requireExported(path);
    return openAny(path, { provider });
  }
  if (provider === undefined) return openRunOnWasm(path);
  throw new UserError('SP838', '--provider is about onnxruntime; leave it out with --engine wasm', { exitCode: 2 });
}

function requireExported(path: string): void {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const message = `"${path}" is a folder, and onnxruntime runs exported models; give "${join(path, 'model.onnx')}", or add --engine wasm`;
  throw new UserError('SP838', message, { exitCode: 2 });
}

/** True where the input is stdin. */
function requireFittingInputs(inputs: readonly string[], { rate }: InferOptions): boolean {
  const isLive = inputs.includes('-');
  if (isLive && inputs.length > 1) {
    throw new UserError('SP837', 'stdin (-) and files cannot be classified at once; give one or the other', {
      exitCode: 2,
    });
  }
  if (!isLive && rate !== undefined) {
    throw new UserError(
      'SP837',
      '--rate is about raw sound on stdin, and files say their own; leave it out, or give -',
      {
        exitCode: 2,
      },
    );
  }
  return isLive;
}

function liveLine({ class: name, index, scores, start, end = 0 }: Inference): string {
  const time = start === undefined ? end.toFixed(2) : `${start.toFixed(2)}-${end.toFixed(2)}`;
  return printable(`${time} s  class ${name}  score ${scores[index].toPrecision(4)}`);
}

function hertz(text: string): number {
  const { si, unit } = splitNumber(text);
  if (Number.isInteger(si) && si >= 1000 && si <= 192_000 && ['', 'Hz', 'kHz'].includes(unit)) return si;
  throw new InvalidArgumentError('It must be from 1000 to 192000, such as 16000 or 16kHz.');
}
