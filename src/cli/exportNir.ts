import type { Compiled } from '../compile.ts';
import type { Batch } from '../data/batch.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { importNir } from '../import/nir.ts';
import { exportNir } from '../targets/nir/export.ts';
import { selectTarget } from '../targets/select.ts';
import type { Tensors } from '../targets/target.ts';
import { writeFileAtomically } from '../train/atomicFile.ts';
import { compileOptions } from '../train/run.ts';
import { sparchcVersion } from '../train/versions.ts';
import { evaluateOn, type Scorer } from './eval.ts';
import type { Output } from './output.ts';
import { count, milliseconds, percent } from './text.ts';

export interface NirExportOptions {
  readonly dt?: number;
  readonly approximate?: boolean;
}

/**
 * Writes a network as a .nir file and says where it deviates; what that does to the results is measured by importing
 * the file and running it on the test split. Returns what `--json` says of it.
 */
export async function exportToNir(
  spec: Compiled,
  weights: Tensors,
  file: string,
  { dt: wanted, approximate = false }: NirExportOptions,
  output: Output,
): Promise<object> {
  const dt = wanted ?? spec.data.stepDuration;
  if (dt === null) {
    const message = 'the data says no duration of a time step, which NIR needs for time constants; give it with --dt';
    throw new UserError('SP661', message, { exitCode: 2 });
  }
  const metadata = { sparchc_version: sparchcVersion(), spec_sha256: spec.specSha256 };
  const { bytes, deviations } = await exportNir(spec.graph, weights, { dt, approximate, metadata });
  for (const { layer, reason, instead } of deviations) output.say(`approximated ${layer}: ${reason}; ${instead}`);
  const difference = deviations.length > 0 ? await measure(spec, weights, bytes, dt, output) : null;
  await writeFileAtomically(file, [bytes]);
  output.say(`wrote ${file} (${count(bytes.length / 1024)} KiB): ${difference ? 'approximate' : 'exact'}`);
  output.say(`time steps of ${milliseconds(dt)}, forward Euler`);
  return { file, bytes: bytes.length, dt, exact: deviations.length === 0, deviations, ...difference };
}

/** How the file's network differs from the run's on the test split. */
async function measure(spec: Compiled, weights: Tensors, bytes: Uint8Array, dt: number, output: Output) {
  const imported = await importNir(bytes, 'the exported file', 'exported', dt);
  const [before, after] = [await classify(spec, { spec, weights }, output), await classify(spec, imported, output)];
  const same = after.classes.filter((c, i) => c === before.classes[i]).length / after.classes.length;
  const change = after.accuracy - before.accuracy;
  output.say(
    `test accuracy ${percent(after.accuracy)}, ${percent(before.accuracy)} before (${(100 * change).toFixed(2)} points); ` +
      `${percent(same)} of ${count(after.classes.length)} samples keep their class`,
  );
  const layers = Object.keys(before.firingRates);
  const rates = layers.map((layer) => ({ layer, before: before.firingRates[layer], after: after.firingRates[layer] }));
  for (const rate of rates) {
    output.say(`firing rate ${rate.layer} ${percent(rate.after)}, ${percent(rate.before)} before`);
  }
  return {
    accuracy: after.accuracy,
    accuracy_before: before.accuracy,
    accuracy_change: change,
    same_class: same,
    firing_rates: rates,
  };
}

async function classify(data: Compiled, { spec, weights }: { spec: Compiled; weights: Tensors }, output: Output) {
  const { target } = await selectTarget('wasm');
  const model = await target.compile(spec.graph, compileOptions(data.experiment));
  const classes: number[] = [];
  const scorer: Scorer = {
    async evaluate(batch: Batch) {
      const result = await model.evaluate(batch);
      const width = result.scores.length / batch.size;
      for (let i = 0; i < batch.size; i++) {
        const scores = result.scores.subarray(i * width, (i + 1) * width);
        classes.push(scores.indexOf(Math.max(...scores)));
      }
      return result;
    },
    dispose: () => model.dispose(),
  };
  try {
    model.load(weights);
    return { ...(await evaluateOn(scorer, data, 'test', output)), classes };
  } finally {
    await scorer.dispose();
  }
}
