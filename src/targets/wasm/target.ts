import type { Target } from '../target.ts';
import { WasmModel } from './model.ts';

export interface WasmOptions {
  /** Threads to compute with, the calling one included; results do not depend on it. */
  readonly threads: number;
}

/** Training on CPUs: kernels generated for the model at hand, in WebAssembly, on several threads. */
export function wasmTarget({ threads }: WasmOptions): Target {
  return {
    name: 'wasm',
    compile: (graph, options) => WasmModel.create(graph, options, threads),
  };
}
