#!/usr/bin/env node
import { Command } from 'commander';
import { sparchcVersion } from '../train/versions.ts';
import { exitCodeOf, reportError } from './errors.ts';

const program = new Command('sparchc')
  .description(
    'A compiler for spiking neural networks: one declarative file in, a trained network and an ONNX file out.',
  )
  .version(sparchcVersion())
  .showSuggestionAfterError()
  .showHelpAfterError('Run with --help for examples.')
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  sparchc init my.yaml                 write a first spec, with comments
  sparchc check my.yaml                validate it and show the network
  sparchc train my.yaml                train it; everything is left in runs/NAME
  sparchc eval runs/NAME               accuracy of its best checkpoint on the test data
  sparchc eval runs/NAME/model.onnx    the same of the exported model
  sparchc infer MODEL.onnx FILE        classes of recordings
  sparchc demo MODEL.onnx              a page that listens and shows what the network does

Exit codes: 0 done, 1 failed while running, 2 the request is wrong, 130 interrupted.`,
  );

const commands: Readonly<Record<string, () => Promise<Command>>> = {
  train: async () => (await import('./train.ts')).trainCommand(),
  eval: async () => (await import('./eval.ts')).evalCommand(),
  export: async () => (await import('./export.ts')).exportCommand(),
  import: async () => (await import('./import.ts')).importCommand(),
  infer: async () => (await import('./infer.ts')).inferCommand(),
  demo: async () => (await import('./demo.ts')).demoCommand(),
  check: async () => (await import('./check.ts')).checkCommand(),
  emit: async () => (await import('./emit.ts')).emitCommand(),
  init: async () => (await import('./init.ts')).initCommand(),
  doctor: async () => (await import('./doctor.ts')).doctorCommand(),
};

/** The command that was asked for, without the code of the others, which takes long to load; all, where it is none. */
function wanted(name = ''): (() => Promise<Command>)[] {
  return Object.hasOwn(commands, name) ? [commands[name]] : Object.values(commands);
}

async function main(): Promise<void> {
  try {
    for (const load of wanted(process.argv[2])) program.addCommand((await load()).copyInheritedSettings(program));
    await program.parseAsync();
  } catch (error) {
    fail(error);
  }
}

function fail(error: unknown): void {
  reportError(error);
  process.exitCode = exitCodeOf(error);
}

// Whoever reads the output may leave early (`| head`); what was asked for is done all the same.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
process.on('uncaughtException', (error) => {
  fail(error);
  process.exit();
});

await main();
