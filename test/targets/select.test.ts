import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it, vi } from 'vitest';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { defaultLoaders, type Loaders, selectTarget, targetNames } from '../../src/targets/select.ts';
import { type Backend, NotInstalled } from '../../src/targets/tfjs/backends.ts';
import { webAssembly } from '../../src/targets/wasm/webassembly.ts';

const works =
  (name: Backend['name'], description: string, onGpu = false) =>
  async () => ({
    tf,
    name,
    description,
    onGpu,
  });
const absent = async (): Promise<Backend> => {
  throw new NotInstalled('absent');
};
const broken = (message: string) => async (): Promise<Backend> => {
  throw new Error(message);
};

const wasmOnly: Loaders = {
  tensorflowGpu: absent,
  tensorflow: absent,
  wasm: works('wasm', 'WebAssembly'),
  cpu: works('cpu', 'JavaScript'),
};
const gpu = works('tensorflow', 'TensorFlow 2.9.1 (GPU)', true);
const cpuTensorFlow = works('tensorflow', 'TensorFlow 2.9.1 (CPU)');

const pick = async (request: string, loaders: Partial<Loaders> = {}) => {
  const { target, reason } = await selectTarget(request, { ...wasmOnly, ...loaders });
  return [target.name, reason];
};

async function failure(request: string, loaders: Partial<Loaders> = {}): Promise<UserError> {
  const error = await selectTarget(request, { ...wasmOnly, ...loaders }).catch((e) => e);
  expect(error).toBeInstanceOf(UserError);
  return error;
}

describe('auto', () => {
  it('takes a GPU that computes', async () => {
    expect(await pick('auto', { tensorflowGpu: gpu })).toEqual([
      'tfjs/tensorflow',
      'tfjs/tensorflow on TensorFlow 2.9.1 (GPU)',
    ]);
  });

  it('takes its own kernels where there is no GPU, and says why', async () => {
    const [name, reason] = await pick('auto', { tensorflow: cpuTensorFlow });
    expect(name).toBe('wasm');
    expect(reason).toMatch(/^wasm on \d threads?: @tensorflow\/tfjs-node-gpu is not installed$/);
    const [, other] = await pick('auto', { tensorflowGpu: cpuTensorFlow });
    expect(other).toMatch(/: @tensorflow\/tfjs-node-gpu is installed but found no GPU$/);
    const [, broke] = await pick('auto', { tensorflowGpu: broken('libcudart.so.11.0: cannot open\nmore') });
    expect(broke).toMatch(
      /: @tensorflow\/tfjs-node-gpu is installed but does not work \(libcudart.so.11.0: cannot open\)$/,
    );
  });

  it('does not load what it does not need', async () => {
    const loaded: string[] = [];
    const note = (name: string, load: () => Promise<Backend>) => () => {
      loaded.push(name);
      return load();
    };
    await pick('auto', {
      tensorflowGpu: note('gpu', absent),
      tensorflow: note('cpu', cpuTensorFlow),
      wasm: note('wasm', absent),
    });
    expect(loaded).toEqual(['gpu']);
  });
});

describe('tfjs', () => {
  it('takes tfjs-node where the GPU package does not load', async () => {
    const tensorflowGpu = broken('libcudart.so.11.0: cannot open shared object file\nmore');
    expect(await pick('tfjs', { tensorflowGpu, tensorflow: cpuTensorFlow })).toEqual([
      'tfjs/tensorflow',
      'tfjs/tensorflow on TensorFlow 2.9.1 (CPU): @tensorflow/tfjs-node-gpu is installed but does not work (libcudart.so.11.0: cannot open shared object file)',
    ]);
  });

  it('says that the GPU package found no GPU', async () => {
    expect(await pick('tfjs', { tensorflowGpu: cpuTensorFlow })).toEqual([
      'tfjs/tensorflow',
      'tfjs/tensorflow on TensorFlow 2.9.1 (CPU): @tensorflow/tfjs-node-gpu is installed but found no GPU',
    ]);
  });

  it('takes WebAssembly where no TensorFlow is installed, and JavaScript after that', async () => {
    const why = '@tensorflow/tfjs-node-gpu is not installed and @tensorflow/tfjs-node is not installed';
    expect(await pick('tfjs')).toEqual(['tfjs/wasm', `tfjs/wasm on WebAssembly: ${why}`]);
    const [name, reason] = await pick('tfjs', { wasm: broken('no SIMD') });
    expect(name).toBe('tfjs/cpu');
    expect(reason).toContain('and @tensorflow/tfjs-backend-wasm is installed but does not work (no SIMD)');
  });
});

describe('a target by name', () => {
  it.each(['wasm', 'tfjs/wasm', 'tfjs/cpu', 'reference'])('%s', async (name) => {
    expect((await pick(name, { tensorflowGpu: gpu }))[0]).toBe(name);
  });

  it('prefers a GPU for tfjs/tensorflow', async () => {
    expect(await pick('tfjs/tensorflow', { tensorflowGpu: gpu, tensorflow: cpuTensorFlow })).toEqual([
      'tfjs/tensorflow',
      'tfjs/tensorflow on TensorFlow 2.9.1 (GPU)',
    ]);
  });

  it('says how to install what is absent', async () => {
    const { diagnostic, exitCode } = await failure('tfjs/tensorflow');
    expect(diagnostic.code).toBe('SP604');
    expect(exitCode).toBe(1);
    expect(diagnostic.message).toBe(
      'the target "tfjs/tensorflow" cannot run: @tensorflow/tfjs-node-gpu is not installed and @tensorflow/tfjs-node is not installed; ' +
        'run "npm install @tensorflow/tfjs-node" (or @tensorflow/tfjs-node-gpu, for CUDA 11.2), or use the target "tfjs/wasm"',
    );
  });

  it('suggests a known name', async () => {
    const { diagnostic, exitCode } = await failure('tfjs/wsm');
    expect([diagnostic.code, exitCode]).toEqual(['SP601', 2]);
    expect(diagnostic.message).toBe('there is no target "tfjs/wsm"; did you mean "tfjs/wasm"?');
    for (const name of targetNames) expect((await failure('pytorch')).message).toContain(`"${name}"`);
  });
});

describe('wasm-relaxed', () => {
  const withRelaxedSimd = (has: boolean) => vi.spyOn(webAssembly, 'validate').mockReturnValueOnce(has);

  it('is the own kernels where the engine has relaxed SIMD', async () => {
    withRelaxedSimd(true);
    const [name, reason] = await pick('wasm-relaxed');
    expect(name).toBe('wasm-relaxed');
    expect(reason).toMatch(/^wasm-relaxed on \d threads?$/);
  });

  it('says what is missing where it has not', async () => {
    withRelaxedSimd(false);
    const { diagnostic, exitCode } = await failure('wasm-relaxed');
    expect([diagnostic.code, exitCode]).toEqual(['SP608', 2]);
    expect(diagnostic.message).toBe(
      `the target "wasm-relaxed" cannot run: WebAssembly in Node ${process.versions.node} has no relaxed SIMD; use Node 22 or later, ` +
        'or the target "wasm", which works here (but not to resume a run)',
    );
  });
});

describe('the real loaders', () => {
  it('load what is in package.json, and compute', async () => {
    const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    for (const name of ['wasm', 'cpu'] as const) {
      expect(dependencies).toHaveProperty(`@tensorflow/tfjs-backend-${name}`);
      expect((await selectTarget(`tfjs/${name}`, defaultLoaders)).target.name).toBe(`tfjs/${name}`);
    }
  });

  it('tell an absent package from a broken one', async () => {
    const error = await defaultLoaders.tensorflowGpu().catch((e) => e);
    if (error instanceof Error) expect(error).toBeInstanceOf(NotInstalled);
    else expect(error.name).toBe('tensorflow');
  });
});
