import { Command } from 'commander';
import { selectTarget, targetNames } from '../targets/select.ts';
import { versions } from '../train/versions.ts';
import { type OutputOptions, withOutput } from './options.ts';
import { Output } from './output.ts';
import { table } from './text.ts';

export function doctorCommand(): Command {
  return withOutput(
    new Command('doctor').description('Show versions and which targets work on this machine, and why others do not.'),
  )
    .addHelpText('after', EXAMPLES)
    .action(doctor);
}

const EXAMPLES = `
Examples:
  sparchc doctor
  sparchc doctor --json            to go with a report of a mistake`;

interface Finding {
  readonly target: string;
  readonly works: boolean;
  /** What it is, or why it does not work. */
  readonly detail: string;
}

async function doctor(options: OutputOptions): Promise<void> {
  const output = new Output(options);
  const packages = versions();
  const findings: Finding[] = [];
  for (const target of targetNames) findings.push(await examine(target));
  output.say(table([['package', 'version'], ...Object.entries(packages)]));
  output.say('');
  output.say(table([['target', 'works', 'why'], ...findings.map((f) => [f.target, f.works ? 'yes' : 'no', f.detail])]));
  output.document({ versions: packages, platform: `${process.platform} ${process.arch}`, targets: findings });
}

async function examine(target: string): Promise<Finding> {
  try {
    return { target, works: true, detail: (await selectTarget(target)).reason };
  } catch (error) {
    return { target, works: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
