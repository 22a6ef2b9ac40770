import { describe } from 'vitest';
import type { Target } from '../../../src/targets/target.ts';
import { type Backend, loadCpu, loadTensorFlow, loadWasm, NotInstalled } from '../../../src/targets/tfjs/backends.ts';
import { tfjsTarget } from '../../../src/targets/tfjs/target.ts';

const backends: readonly Backend[] = [
  await loadCpu(),
  await loadWasm(),
  ...(await optional(() => loadTensorFlow('@tensorflow/tfjs-node'))),
];

async function optional(load: () => Promise<Backend>): Promise<Backend[]> {
  try {
    return [await load()];
  } catch (error) {
    // CI has built the binding: there, skipping would hide that it no longer loads.
    if (!(error instanceof NotInstalled) || process.env.SPARCHC_REQUIRE_TENSORFLOW) throw error;
    console.warn(`SKIPPED: tests of tfjs/tensorflow, because ${error.message}`);
    return [];
  }
}

/** A suite for each backend: cpu and wasm always, tensorflow where @tensorflow/tfjs-node is installed. */
export function describeBackends(suite: (target: Target, backend: Backend) => void): void {
  for (const backend of backends) {
    const target = tfjsTarget(backend.tf, backend.name, backend.description);
    describe(target.name, () => suite(target, backend));
  }
}
