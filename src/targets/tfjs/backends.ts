import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import util from 'node:util';
import type { Tf } from './ops.ts';

const require = createRequire(import.meta.url);

/** A TensorFlow.js backend that has been initialised and has computed something. */
export interface Backend {
  /** The tfjs-core that the backend is registered with. */
  readonly tf: Tf;
  readonly name: 'tensorflow' | 'wasm' | 'cpu';
  /** For people: `TensorFlow 2.9.1 (CPU)`. */
  readonly description: string;
  readonly onGpu: boolean;
}

/** An optional package is absent. */
export class NotInstalled extends Error {
  override readonly name = 'NotInstalled';
}

export type TensorFlowPackage = '@tensorflow/tfjs-node' | '@tensorflow/tfjs-node-gpu';

/** Throws NotInstalled where the package is absent, any other error where it does not work. */
export async function loadTensorFlow(packageName: TensorFlowPackage): Promise<Backend> {
  // TensorFlow prints what instructions it was built for, and more, to stderr: the errors are enough.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  restoreRemovedUtil();
  const tf = requireOptional(packageName);
  await start(tf, 'tensorflow');
  const { binding, isUsingGpuDevice } = tf.backend() as unknown as {
    binding: { TF_Version: string };
    isUsingGpuDevice: boolean;
  };
  const device = isUsingGpuDevice ? 'GPU' : 'CPU';
  return {
    tf,
    name: 'tensorflow',
    description: `TensorFlow ${binding.TF_Version} (${device})`,
    onGpu: isUsingGpuDevice,
  };
}

export async function loadWasm(): Promise<Backend> {
  const tf = await import('@tensorflow/tfjs-core');
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  // The .wasm files lie beside the module; left to itself, it looks for them beside the program.
  setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  await start(tf, 'wasm');
  return { tf, name: 'wasm', description: `TensorFlow.js ${tf.version_core} (WebAssembly)`, onGpu: false };
}

export async function loadCpu(): Promise<Backend> {
  const tf = await import('@tensorflow/tfjs-core');
  await import('@tensorflow/tfjs-backend-cpu');
  await start(tf, 'cpu');
  return { tf, name: 'cpu', description: `TensorFlow.js ${tf.version_core} (JavaScript)`, onGpu: false };
}

/** Initialises a backend and checks that it computes. */
async function start(tf: Tf, name: Backend['name']): Promise<void> {
  // Without it, tfjs advertises its other packages on the console.
  tf.enableProdMode();
  if (!(await tf.setBackend(name))) throw new Error(`the backend "${name}" did not start`);
  const product = tf.tidy(() => tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])));
  const [value] = await product.data();
  product.dispose();
  if (value !== 11) throw new Error(`the backend "${name}" computed 1 * 3 + 2 * 4 = ${value}`);
}

function requireOptional(packageName: string): Tf {
  let path: string;
  try {
    path = require.resolve(packageName);
  } catch {
    throw new NotInstalled(`${packageName} is not installed`);
  }
  return require(path);
}

/** tfjs-node 4.22 calls a function that Node 23 removed. */
function restoreRemovedUtil(): void {
  const legacy = util as { isNullOrUndefined?: (value: unknown) => boolean };
  legacy.isNullOrUndefined ??= (value) => value === null || value === undefined;
}
