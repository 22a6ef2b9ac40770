import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { UserError } from '../diagnostics/diagnostic.ts';
import { writeError } from '../train/atomicFile.ts';
import { shellQuote } from './text.ts';

export function initCommand(): Command {
  return new Command('init')
    .description('Write a first spec, with comments: it trains in minutes on data that sparchc makes up itself.')
    .argument('[file]', 'the file to write', 'experiment.yaml')
    .addHelpText('after', EXAMPLES)
    .action(init);
}

const EXAMPLES = `
Examples:
  sparchc init
  sparchc init my.yaml && sparchc train my.yaml`;

async function init(path: string): Promise<void> {
  try {
    await writeFile(path, STARTER_SPEC, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new UserError('SP833', `"${path}" exists already; name another file`, { exitCode: 2 });
    }
    throw writeError(path, error);
  }
  console.log(`wrote ${path}; next\n  sparchc check ${shellQuote(path)}\n  sparchc train ${shellQuote(path)}`);
}

export const STARTER_SPEC = `# An experiment for sparchc: data, network and training in one file.
# "sparchc check" shows every setting that is left out here, with its value.
sparchc: 1 # version of the format; the run folder will be called after this file
seed: 1 # equal seeds give equal runs

data:
  # A synthetic benchmark: each class is a pattern in the timing of spikes (Zenke & Vogels 2021). Recorded data instead:
  #   source: shd(folder="data/shd") |> bin(steps=100, window=1.4s)
  source: randman |> bin(steps=40, window=40ms)

# Two recurrent layers of adaptive spiking neurons, then leaky integrators whose scores are summed over time.
model: |
  input |> 2 * RadLIF(64, norm=batchnorm, dropout=0.1) |> LI(classes, norm=batchnorm) |> softmax_sum

train:
  epochs: 10
  batch: 64
  optimizer: adam(lr=0.01)
  schedule: plateau(factor=0.7, patience=1) # lowers the learning rate when validation accuracy stops improving
  regularizer: firing_rate(min=0.01, max=0.5, factor=0.5) # keeps neurons from falling silent or firing all the time
`;
