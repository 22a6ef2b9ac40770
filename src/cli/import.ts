import { readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { Command } from 'commander';
import { UserError } from '../diagnostics/diagnostic.ts';
import { importSparch } from '../import/sparch.ts';
import { exportOnnx } from '../targets/onnx/export.ts';
import { writeCheckpoint } from '../train/checkpoint.ts';
import { trainableParameters } from '../train/run.ts';
import { RunFolder, requireNewFolder } from '../train/runFolder.ts';
import { initialState } from '../train/state.ts';
import { modelMetadata } from './modelMetadata.ts';
import { type OutputOptions, withOutput } from './options.ts';
import { Output } from './output.ts';
import { count, shellQuote } from './text.ts';

interface ImportOptions extends OutputOptions {
  readonly out?: string;
}

export function importCommand(): Command {
  const command = new Command('import')
    .description('Turn a model that sparch saved (best_model.pth) into a run folder: spec, weights and ONNX model.')
    .argument('<model.pth>', 'a whole model saved with torch.save, as sparch does')
    .option('-o, --out <dir>', 'the run folder (default: runs/NAME, with the name of the file)');
  return withOutput(command).addHelpText('after', EXAMPLES).action(importModel);
}

const EXAMPLES = `
The file is read as data: nothing in it is run, and a file that asks for anything but a model of sparch is refused.

Examples:
  sparchc import exp/best_model.pth --out runs/imported
  sparchc eval runs/imported --set 'data.source=shd(folder="data/shd") |> bin(steps=100, window=1.4s)'`;

async function importModel(path: string, options: ImportOptions): Promise<void> {
  const output = new Output(options);
  const name =
    basename(path, extname(path))
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .slice(0, 100) || 'imported';
  const folder = new RunFolder(options.out ?? join('runs', name));
  await requireNewFolder(folder);
  const { spec, weights } = importSparch(await readModel(path), path, name);
  await folder.prepare(spec.resolvedYaml);
  const info = { target: 'auto', specSha256: spec.specSha256, state: initialState(0.01) };
  await writeCheckpoint(folder.best, spec.graph, { weights, optimizer: new Map(), info });
  await folder.writeModel(exportOnnx(spec.graph, weights, { fold: true, metadata: modelMetadata(spec, undefined) }));
  output.say(`imported ${path}: ${count(trainableParameters(spec.graph))} parameters\nrun folder ${folder.path}`);
  output.say(`next       sparchc check ${shellQuote(folder.spec)}`);
  output.document({ run: folder.path, parameters: trainableParameters(spec.graph), spec_sha256: spec.specSha256 });
}

async function readModel(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UserError('SP840', `cannot read "${path}"; give the path of a model that sparch saved`, {
      exitCode: 2,
      cause: error,
    });
  }
}
