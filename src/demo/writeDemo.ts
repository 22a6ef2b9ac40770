import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../diagnostics/diagnostic.ts';
import { decodeModel, encodeModel } from '../targets/onnx/proto.ts';
import type { DemoDescription } from './description.ts';

/** The compiled sources: the page's modules lie in it as they will in the demo. */
const compiled = fileURLToPath(new URL('../', import.meta.url));
const entry = 'demo/page/main.js';

/** Modules that the page loads by address. */
const loaded = ['demo/page/recorder.js'];

/** The only two files of onnxruntime-web that the page needs: its module, and the CPU's kernels. */
const runtimeFiles = {
  'ort.wasm.bundle.min.mjs': 'ort.js',
  'ort-wasm-simd-threaded.wasm': 'ort-wasm-simd-threaded.wasm',
};

/**
 * Writes a page with everything it needs, the file `model` among it, into a folder: it works from any static server and
 * asks no other.
 *
 * Throws UserError SP847 where onnxruntime-web is not installed.
 */
export async function writeDemo(folder: string, model: string, description: DemoDescription): Promise<void> {
  const runtime = runtimeFolder();
  await mkdir(join(folder, 'ort'), { recursive: true });
  for (const [from, to] of Object.entries(runtimeFiles)) await copyFile(join(runtime, from), join(folder, 'ort', to));
  for (const name of ['index.html', 'style.css']) {
    await copyFile(join(compiled, dirname(entry), name), join(folder, name));
  }
  const copied = new Set<string>();
  for (const module of [entry, ...loaded]) await copyModule(module, join(folder, 'js'), copied);
  await writeFile(join(folder, 'model.onnx'), withoutStates(await readFile(model), description));
  await writeFile(join(folder, 'demo.json'), `${JSON.stringify(description, null, 2)}\n`);
}

/** onnxruntime-web refuses values for inputs that have a default: those that the page feeds must not have one. */
function withoutStates(file: Uint8Array, { initialStates }: DemoDescription): Uint8Array {
  const fed = new Set(Object.keys(initialStates));
  if (fed.size === 0) return file;
  const model = decodeModel(file);
  model.graph.initializer = model.graph.initializer.filter(({ name }) => !fed.has(name));
  return encodeModel(model);
}

function runtimeFolder(): string {
  const require = createRequire(import.meta.url);
  try {
    return dirname(require.resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm'));
  } catch (cause) {
    const message =
      'the page needs onnxruntime-web, which is not installed because it is large: run "npm install onnxruntime-web@~1.30" ' +
      '(in a checkout of sparchc with --no-save --save-optional)';
    throw new UserError('SP847', message, { exitCode: 2, cause });
  }
}

/** Copies a module and those it imports, all at the place they have among the compiled sources. */
async function copyModule(path: string, folder: string, done: Set<string>): Promise<void> {
  if (done.has(path)) return;
  done.add(path);
  const text = await readFile(join(compiled, path), 'utf8');
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text.replace(/^\/\/# sourceMappingURL=.*\n?/m, ''));
  for (const [, imported] of text.matchAll(/^import [^;]*?'(\.[^']+)';/gm)) {
    await copyModule(relative(compiled, join(compiled, dirname(path), imported)), folder, done);
  }
}
