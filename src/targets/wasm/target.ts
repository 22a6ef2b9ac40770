import type { Target } from '../target.ts';
import { WasmModel } from './model.ts';
import type { WasmOptions } from './modelCode.ts';

/** Training on CPUs: kernels generated for the model at hand, in WebAssembly, on several threads. */
export function wasmTarget(wasm: WasmOptions): Target {
  return {
    name: wasm.relaxedSimd ? 'wasm-relaxed' : 'wasm',
    compile: (graph, options) => WasmModel.create(graph, options, wasm),
  };
}
