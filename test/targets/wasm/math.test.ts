import { expect, it } from 'vitest';
import { add, loadV, storeV } from '../../../src/targets/wasm/assembler/expr.ts';
import { Kernels } from '../../../src/targets/wasm/kernels/kernel.ts';
import { atan, exp, log, sigmoid, tanh, type VectorFunction } from '../../../src/targets/wasm/math.ts';
import { webAssembly } from '../../../src/targets/wasm/webassembly.ts';

const functions: Record<string, [VectorFunction, (x: number) => number]> = {
  exp: [exp, Math.exp],
  log: [log, Math.log],
  sigmoid: [sigmoid, (x) => 1 / (1 + Math.exp(-x))],
  tanh: [tanh, Math.tanh],
  atan: [atan, Math.atan],
};

/** Applies a vector function to numbers, in WebAssembly. */
function apply(f: VectorFunction, xs: Float32Array): Float32Array {
  const kernels = new Kernels();
  const run = kernels.helper('run', ['end'], (func) => {
    const o = func.local('i32', 'o');
    func.for(o, 0, func.parameters[0], 16, () => func.do(storeV(o, f(func, loadV(add(o, 0))))));
  });
  kernels.module.export(run);
  const memory = new webAssembly.Memory({ initial: Math.ceil(xs.byteLength / 65536), maximum: 65536, shared: true });
  const module = new webAssembly.Module(kernels.module.assemble());
  const { exports } = new webAssembly.Instance(module, { host: { memory } });
  new Float32Array(memory.buffer).set(xs);
  (exports.run as unknown as (end: number) => void)(xs.byteLength);
  return new Float32Array(memory.buffer).slice(0, xs.length);
}

/** Both signs, all magnitudes of normal float32, and the range where the functions are not yet 0, 1 or infinite. */
const numbers = Float32Array.from({ length: 40_000 }, (_, i) => {
  const u = ((i * 7919) % 40_000) / 40_000;
  const size = i % 3 === 0 ? 2 ** (252 * u - 126) : i % 3 === 1 ? 100 * u : 4 * u;
  return i % 2 === 0 ? size : -size;
});

const smallest = 2 ** -126;

it.each(Object.keys(functions))('%s is right to 3e-7', (name) => {
  const [f, exact] = functions[name];
  const results = apply(f, numbers);
  let worst = 0;
  numbers.forEach((x, i) => {
    const expected = Math.fround(exact(x));
    if (Object.is(expected, results[i]) || (Number.isNaN(expected) && Number.isNaN(results[i]))) return;
    // What is below the smallest normal number may be 0.
    if (Math.abs(exact(x)) < smallest) expect(Math.abs(results[i])).toBeLessThan(1.01 * smallest);
    else worst = Math.max(worst, Math.abs(results[i] - exact(x)) / Math.abs(exact(x)));
  });
  expect(worst).toBeLessThan(3e-7);
});

it.each(Object.keys(functions))('%s of what is no ordinary number', (name) => {
  const [f, exact] = functions[name];
  const special = Float32Array.of(0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN);
  expect([...apply(f, special)]).toEqual([...special].map((x) => Math.fround(exact(x))));
});
