import { Command } from 'commander';
import { type Compiled, compileSpec } from '../compile.ts';
import { trainableParameters } from '../train/run.ts';
import { layerTable } from './layerTable.ts';
import { memoryDocument, memoryTable, trainingMemory } from './memoryTable.ts';
import { type OutputOptions, type SpecOptions, withOutput, withSet } from './options.ts';
import { Output } from './output.ts';
import { count, table } from './text.ts';

interface CheckOptions extends SpecOptions, OutputOptions {}

export function checkCommand(): Command {
  const command = new Command('check')
    .description(
      'Validate a spec and show what it means: all its settings, the layers, the number of parameters and the memory.',
    )
    .argument('<spec>', 'the experiment, a YAML file');
  return withOutput(withSet(command)).addHelpText('after', EXAMPLES).action(check);
}

const EXAMPLES = `
Examples:
  sparchc check specs/quickstart.yaml
  sparchc check my.yaml --set model.layers.h1.size=512
  sparchc check my.yaml --quiet && echo valid`;

function check(path: string, options: CheckOptions): void {
  const output = new Output(options);
  const spec = compileSpec(path, { sets: options.set });
  output.diagnostics(spec.warnings);
  output.say(description(spec));
  output.document({
    name: spec.experiment.name,
    spec_sha256: spec.specSha256,
    parameters: trainableParameters(spec.graph),
    layers: layerTable(spec.graph),
    memory: memoryDocument(trainingMemory(spec)),
    warnings: spec.warnings.map(({ code, message }) => ({ code, message })),
  });
}

function description(spec: Compiled): string {
  const { resolvedYaml, graph } = spec;
  const layers = layerTable(graph).map((l) => [l.layer, l.kind, l.output, count(l.parameters)]);
  return [
    resolvedYaml.trimEnd(),
    '',
    table([['layer', 'kind', 'output', 'parameters'], ...layers]),
    '',
    `${count(trainableParameters(graph))} trainable parameters`,
    '',
    memoryTable(trainingMemory(spec)),
  ].join('\n');
}
