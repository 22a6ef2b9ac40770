#!/usr/bin/env node
import { Command } from 'commander';
import { sparchcVersion } from '../train/versions.ts';
import { checkCommand } from './check.ts';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { emitCommand } from './emit.ts';
import { exitCodeOf, reportError } from './errors.ts';
import { evalCommand } from './eval.ts';
import { exportCommand } from './export.ts';
import { importCommand } from './import.ts';
import { inferCommand } from './infer.ts';
import { initCommand } from './init.ts';
import { trainCommand } from './train.ts';

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

const commands = [
  trainCommand(),
  evalCommand(),
  exportCommand(),
  importCommand(),
  inferCommand(),
  demoCommand(),
  checkCommand(),
  emitCommand(),
  initCommand(),
  doctorCommand(),
];
for (const command of commands) program.addCommand(command.copyInheritedSettings(program));

async function main(): Promise<void> {
  try {
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
