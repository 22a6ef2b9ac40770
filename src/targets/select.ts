import { availableParallelism } from 'node:os';
import { UserError } from '../diagnostics/diagnostic.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import type { Target } from './target.ts';
import { type Backend, loadCpu, loadTensorFlow, loadWasm, NotInstalled } from './tfjs/backends.ts';
import { mostThreads } from './wasm/mostThreads.ts';

/** What `--target` takes. */
export const targetNames = [
  'auto',
  'wasm',
  'wasm-relaxed',
  'tfjs',
  'tfjs/tensorflow',
  'tfjs/wasm',
  'tfjs/cpu',
  'reference',
] as const;

export interface Selection {
  readonly target: Target;
  /** One sentence: what was picked, and why nothing faster. */
  readonly reason: string;
}

/** How each backend is loaded; tests inject their own. A loader throws NotInstalled where its package is absent. */
export interface Loaders {
  readonly tensorflowGpu: () => Promise<Backend>;
  readonly tensorflow: () => Promise<Backend>;
  readonly wasm: () => Promise<Backend>;
  readonly cpu: () => Promise<Backend>;
}

export const defaultLoaders: Loaders = {
  tensorflowGpu: () => loadTensorFlow('@tensorflow/tfjs-node-gpu'),
  tensorflow: () => loadTensorFlow('@tensorflow/tfjs-node'),
  wasm: loadWasm,
  cpu: loadCpu,
};

const packages: Record<keyof Loaders, string> = {
  tensorflowGpu: '@tensorflow/tfjs-node-gpu',
  tensorflow: '@tensorflow/tfjs-node',
  wasm: '@tensorflow/tfjs-backend-wasm',
  cpu: '@tensorflow/tfjs-backend-cpu',
};

const foundNoGpu = `${packages.tensorflowGpu} is installed but found no GPU`;

/** Loaders in the order in which they are tried, fastest first. */
const candidates: Record<string, readonly (keyof Loaders)[]> = {
  tfjs: ['tensorflowGpu', 'tensorflow', 'wasm', 'cpu'],
  'tfjs/tensorflow': ['tensorflowGpu', 'tensorflow'],
  'tfjs/wasm': ['wasm'],
  'tfjs/cpu': ['cpu'],
};

/**
 * The target a user asked for; the code of the others is not loaded. Throws UserError SP601 for an unknown name, SP604
 * where what was asked for is not installed or does not work, and SP608 where this engine has no relaxed SIMD.
 */
export async function selectTarget(request: string, loaders: Loaders = defaultLoaders): Promise<Selection> {
  if (request === 'reference') {
    const { referenceTarget } = await import('./reference/target.ts');
    return { target: referenceTarget(), reason: 'reference: the slow float64 interpreter, as asked for' };
  }
  if (request === 'wasm') return ownKernels('wasm');
  if (request === 'wasm-relaxed') return fusedKernels();
  if (request === 'auto') return gpuOrOwnKernels(loaders);
  const order = candidates[request];
  if (!order) {
    throw new UserError('SP601', `there is no target "${request}"; ${suggestion(request, targetNames)}`, {
      exitCode: 2,
    });
  }
  const refusals: string[] = [];
  for (const candidate of order) {
    const backend = await load(candidate, loaders, refusals);
    if (backend) return selection(candidate, backend, refusals);
  }
  throw new UserError('SP604', `the target "${request}" cannot run: ${sentence(refusals)}; ${remedy(request)}`);
}

/** A GPU is left to TensorFlow; on a CPU nothing is as fast as kernels made for the model. */
async function gpuOrOwnKernels(loaders: Loaders): Promise<Selection> {
  const refusals: string[] = [];
  const backend = await load('tensorflowGpu', loaders, refusals);
  if (backend?.onGpu) return selection('tensorflowGpu', backend, refusals);
  if (backend) refusals.push(foundNoGpu);
  return ownKernels('wasm', refusals);
}

async function fusedKernels(): Promise<Selection> {
  const { hasRelaxedSimd } = await import('./wasm/relaxedSimd.ts');
  if (hasRelaxedSimd()) return ownKernels('wasm-relaxed');
  throw new UserError(
    'SP608',
    `the target "wasm-relaxed" cannot run: WebAssembly in Node ${process.versions.node} has no relaxed SIMD; use Node 22 or later, or the target "wasm", which works here (but not to resume a run)`,
    { exitCode: 2 },
  );
}

function ownKernels(name: 'wasm' | 'wasm-relaxed', refusals: readonly string[] = []): Selection {
  const threads = Math.min(mostThreads, availableParallelism());
  const why = refusals.length > 0 ? `: ${sentence(refusals)}` : '';
  const count = `${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  return { target: lazyWasmTarget(name, threads), reason: `${name} on ${count}${why}` };
}

/** Its code is loaded when a model is compiled: meanwhile a thread can open the data. */
function lazyWasmTarget(name: 'wasm' | 'wasm-relaxed', threads: number): Target {
  return {
    name,
    async compile(graph, options) {
      const { wasmTarget } = await import('./wasm/target.ts');
      return wasmTarget({ threads, relaxedSimd: name === 'wasm-relaxed' }).compile(graph, options);
    },
  };
}

/** The backend, or null after noting why not. */
async function load(candidate: keyof Loaders, loaders: Loaders, refusals: string[]): Promise<Backend | null> {
  try {
    return await loaders[candidate]();
  } catch (error) {
    if (error instanceof NotInstalled) refusals.push(`${packages[candidate]} is not installed`);
    else refusals.push(`${packages[candidate]} is installed but does not work (${firstLine(error)})`);
    return null;
  }
}

async function selection(
  candidate: keyof Loaders,
  { tf, name, description, onGpu }: Backend,
  refusals: readonly string[],
): Promise<Selection> {
  const { tfjsTarget } = await import('./tfjs/target.ts');
  const target = tfjsTarget(tf, name, description);
  const notes = [...refusals];
  if (candidate === 'tensorflowGpu' && !onGpu) notes.push(foundNoGpu);
  const why = notes.length > 0 ? `: ${sentence(notes)}` : '';
  return { target, reason: `${target.name} on ${description}${why}` };
}

function remedy(request: string): string {
  if (request === 'tfjs/tensorflow') {
    return 'run "npm install @tensorflow/tfjs-node" (or @tensorflow/tfjs-node-gpu, for CUDA 11.2), or use the target "tfjs/wasm"';
  }
  return 'run "npm install" again';
}

function sentence(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .split('\n')[0]
    .trim();
}
