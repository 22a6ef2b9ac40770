import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { Command } from 'commander';
import { describeDemo } from '../demo/describe.ts';
import { writeDemo } from '../demo/writeDemo.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { type OutputOptions, withOutput } from './options.ts';
import { Output } from './output.ts';
import { shellQuote } from './text.ts';

interface DemoOptions extends OutputOptions {
  readonly output?: string;
}

export function demoCommand(): Command {
  const command = new Command('demo')
    .description('Write a page that listens to the microphone or takes recordings, and shows what the network does.')
    .argument(
      '<model.onnx>',
      'a model of sound: "sparchc export RUN --input waveform --record", with or without --mode step',
    )
    .option('-o, --output <folder>', 'where to write it (default: NAME-demo beside the model)');
  return withOutput(command).addHelpText('after', EXAMPLES).action(demo);
}

const EXAMPLES = `
Examples:
  sparchc export runs/hd --input waveform --record -o hd.onnx
  sparchc demo hd.onnx -o site
  python3 -m http.server --directory site            and open http://localhost:8000

The folder holds the page, the model and onnxruntime-web. The page asks no other server and works offline. Browsers let it
listen to the microphone on localhost or over https.`;

async function demo(path: string, options: DemoOptions): Promise<void> {
  const output = new Output(options);
  const description = await describeDemo(path);
  const folder = options.output ?? join(dirname(path), `${basename(path, extname(path))}-demo`);
  requireFree(folder);
  await writeDemo(folder, path, description);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => statSync(join(folder, name)));
  const bytes = files.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
  output.say(`wrote  ${folder} (${(bytes / 1e6).toFixed(1)} MB)`);
  output.say(`next   python3 -m http.server --directory ${shellQuote(folder)}     and open http://localhost:8000`);
  output.document({ folder, bytes });
}

/** An earlier demo may be written again. */
function requireFree(folder: string): void {
  if (!existsSync(folder) || existsSync(join(folder, 'demo.json'))) return;
  if (statSync(folder).isDirectory() && readdirSync(folder).length === 0) return;
  throw new UserError('SP846', `"${folder}" exists and is no demo; give another folder with -o`, { exitCode: 2 });
}
