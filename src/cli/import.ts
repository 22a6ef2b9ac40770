import { readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { Command } from 'commander';
import type { Compiled } from '../compile.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { importNir } from '../import/nir.ts';
import { importSparch } from '../import/sparch.ts';
import { isHdf5 } from '../targets/nir/read.ts';
import { exportOnnx } from '../targets/onnx/export.ts';
import type { Tensors } from '../targets/target.ts';
import { notFinite, writeCheckpoint } from '../train/checkpoint.ts';
import { trainableParameters } from '../train/run.ts';
import { RunFolder, requireNewFolder } from '../train/runFolder.ts';
import { initialState } from '../train/state.ts';
import { modelMetadata } from './modelMetadata.ts';
import { type OutputOptions, seconds, withOutput } from './options.ts';
import { Output } from './output.ts';
import { count, milliseconds, shellQuote } from './text.ts';

interface ImportOptions extends OutputOptions {
  readonly out?: string;
  readonly dt?: number;
}

export function importCommand(): Command {
  const command = new Command('import')
    .description(
      'Turn a model of sparch (best_model.pth) or a NIR file into a run folder: spec, weights and ONNX model.',
    )
    .argument('<file>', 'a whole model saved with torch.save, as sparch does, or a .nir file')
    .option('-o, --out <dir>', 'the run folder (default: runs/NAME, with the name of the file)')
    .option(
      '--dt <duration>',
      "duration of a time step of a NIR file's network (default: the file's, or 0.1ms)",
      seconds,
    );
  return withOutput(command).addHelpText('after', EXAMPLES).action(importModel);
}

const EXAMPLES = `
The file is read as data: nothing in it is run, and a file that asks for anything but a network is refused.

Examples:
  sparchc import braille.nir --dt 0.1ms --out runs/braille
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
  const { spec, weights } = await importFile(await readModel(path), path, name, options, output);
  const broken = notFinite(weights);
  if (broken)
    throw new UserError(
      'SP875',
      `"${path}" holds numbers that are not finite, in what becomes "${broken}"; import a model whose training has not diverged`,
    );
  await folder.prepare(spec.resolvedYaml);
  const info = { target: 'auto', specSha256: spec.specSha256, state: initialState(0.01) };
  await writeCheckpoint(folder.best, spec.graph, { weights, optimizer: new Map(), info });
  await folder.writeModel(exportOnnx(spec.graph, weights, { fold: true, metadata: modelMetadata(spec, undefined) }));
  output.say(`imported ${path}: ${count(trainableParameters(spec.graph))} parameters\nrun folder ${folder.path}`);
  output.say(`next       sparchc check ${shellQuote(folder.spec)}`);
  output.document({ run: folder.path, parameters: trainableParameters(spec.graph), spec_sha256: spec.specSha256 });
}

async function importFile(
  bytes: Uint8Array,
  path: string,
  name: string,
  { dt }: ImportOptions,
  output: Output,
): Promise<{ spec: Compiled; weights: Tensors }> {
  if (extname(path) !== '.nir' && !isHdf5(bytes)) {
    if (dt === undefined) return importSparch(bytes, path, name);
    throw new UserError('SP874', '--dt is about NIR files; a model of sparch has no duration', { exitCode: 2 });
  }
  const imported = await importNir(bytes, path, name, dt ?? null);
  output.say(`time steps of ${milliseconds(imported.dt)}, forward Euler`);
  const unused = imported.unused.map((node) => `"${node}"`).join(', ');
  if (unused) output.warn(`warning: left out, as nothing on the way to the output reads them: ${unused}`);
  return imported;
}

async function readModel(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UserError(
      'SP840',
      `cannot read "${path}"; give the path of a model that sparch saved, or of a NIR file`,
      {
        exitCode: 2,
        cause: error,
      },
    );
  }
}
