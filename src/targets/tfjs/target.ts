import type { Target } from '../target.ts';
import { TfjsModel } from './model.ts';
import { Ops, type Tf } from './ops.ts';

/**
 * Training on any TensorFlow.js backend through tfjs-core. `backendName` is what `tf.setBackend` takes (`cpu`, `wasm`,
 * `tensorflow`); it must be registered and initialised. `description` says what it runs on, for people.
 */
export function tfjsTarget(tf: Tf, backendName: string, description = `TensorFlow.js (${backendName})`): Target {
  const activate = () => {
    // Synchronous for a backend that has been initialised.
    if (tf.getBackend() !== backendName) void tf.setBackend(backendName);
  };
  return {
    name: `tfjs/${backendName}`,
    compile: async (graph, options) => new TfjsModel(new Ops(tf, backendName), description, activate, graph, options),
  };
}
