import { setFlagsFromString } from 'node:v8';
import type { Target } from '../../src/targets/target.ts';
import { hasRelaxedSimd } from '../../src/targets/wasm/relaxedSimd.ts';
import { wasmTarget } from '../../src/targets/wasm/target.ts';

/** `wasm` and `wasm-relaxed`. Node 20 has relaxed SIMD if it is asked for, and then in its workers, too. */
export function wasmTargets(threads: number): Target[] {
  if (!hasRelaxedSimd()) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return [wasmTarget({ threads }), wasmTarget({ threads, relaxedSimd: true })];
}
