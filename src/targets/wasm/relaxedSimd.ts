import { relaxedMultiplyAdd, splat } from './assembler/expr.ts';
import { Module } from './assembler/module.ts';
import { webAssembly } from './webassembly.ts';

/** Whether this engine takes fused multiply-adds. */
export function hasRelaxedSimd(): boolean {
  const module = new Module();
  const zero = splat(0);
  module.func('probe', []).do(relaxedMultiplyAdd(zero, zero, zero));
  return webAssembly.validate(module.assemble());
}
