import { Command, Option } from 'commander';
import { type Compiled, compileSpec } from '../compile.ts';
import type { PopulationNode, ReadoutNode } from '../ir/graph.ts';
import { printAdjoint, printGraph, printStep } from '../ir/print.ts';
import { verifyAdjoint } from '../ir/verify.ts';
import { differentiate } from '../passes/differentiate.ts';
import { printDefinition } from '../syntax/print.ts';
import { printKernels } from '../targets/wasm/print.ts';
import { compileOptions } from '../train/run.ts';
import { type SpecOptions, withSet } from './options.ts';

interface EmitOptions extends SpecOptions {
  readonly stage: keyof typeof stages;
}

export function emitCommand(): Command {
  const stage = new Option('--stage <name>', 'which stage of the compilation').choices(Object.keys(stages));
  const command = new Command('emit')
    .description('Print what a stage of the compiler makes of a spec.')
    .argument('<spec>', 'the experiment, a YAML file')
    .addOption(stage.makeOptionMandatory());
  return withSet(command)
    .addHelpText('after', EXAMPLES)
    .action((path: string, options: EmitOptions) => {
      process.stdout.write(stages[options.stage](compileSpec(path, { sets: options.set })));
    });
}

const EXAMPLES = `
Stages: ast (the neurons as parsed), resolved (the spec with all defaults), graph (layers and parameters),
step (the equations of each neuron), adjoint (their derivatives, as training uses them), kernels (what the target wasm
compiles them to, and the calls of a training step).

Examples:
  sparchc emit specs/quickstart.yaml --stage graph
  sparchc emit specs/quickstart.yaml --stage adjoint`;

/** Time steps of the calls that are printed where the data does not say. */
const typicalSteps = 100;

const stages = {
  ast: ({ experiment, library }: Compiled) => {
    const used = [...new Set(experiment.model.layers.map((l) => l.type))];
    const definitions = used.map((name) => library.neurons.get(name) ?? library.pools.get(name));
    return definitions.map((d) => (d ? printDefinition(d) : '')).join('\n');
  },
  resolved: ({ resolvedYaml }: Compiled) => resolvedYaml,
  graph: ({ graph }: Compiled) => printGraph(graph),
  step: (compiled: Compiled) =>
    stepNodes(compiled)
      .map((n) => headed(n, printStep(n.step)))
      .join('\n'),
  adjoint: (compiled: Compiled) =>
    stepNodes(compiled)
      .map((n) => {
        const adjoint = differentiate(n.step);
        verifyAdjoint(adjoint);
        return headed(n, printAdjoint(adjoint));
      })
      .join('\n'),
  kernels: ({ graph, experiment, data }: Compiled) => {
    const size = { batch: experiment.train.batch, steps: data.steps ?? typicalSteps };
    return printKernels(graph, compileOptions(experiment), size);
  },
};

function stepNodes({ graph }: Compiled): (PopulationNode | ReadoutNode)[] {
  return graph.nodes.filter((n) => n.kind === 'population' || n.kind === 'readout');
}

function headed(node: PopulationNode | ReadoutNode, text: string): string {
  return `# layer ${node.layer}\n${text}`;
}
