import { add, type Expr, type Local, loadSplat64, loadV, lt, splatF64, storeV, sum, v } from './wasm/assembler/expr.ts';
import type { Func } from './wasm/assembler/func.ts';
import { Module } from './wasm/assembler/module.ts';
import { type CompiledModule, pageBytes, webAssembly } from './wasm/webassembly.ts';

/** Rows whose projections are taken from others at once: those are read from memory less often. */
export const blockRows = 4;

/**
 * Rows of float64 numbers, in blocks of four; what is left of the last block holds zeros. The numbers of two rows
 * alternate: instructions that work on two numbers at once then add up each row in the order of a plain loop.
 */
export class RowPairs {
  /** Number k of a row is at `startOf(row) + 2 * k`. */
  readonly numbers: Float64Array;
  private readonly pairBytes: number;
  private readonly blocks: number;
  private readonly subtract: (block: number, from: number, end: number, pairBytes: number) => void;

  constructor(rows: number, columns: number) {
    this.pairBytes = 2 * columns * 8;
    this.blocks = Math.ceil(rows / blockRows);
    const pages = Math.ceil((this.blocks * 2 * this.pairBytes) / pageBytes);
    const memory = new webAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.numbers = new Float64Array(memory.buffer);
    compiled ??= new webAssembly.Module(assemble());
    this.subtract = new webAssembly.Instance(compiled, { host: { memory } }).exports.subtract;
  }

  startOf(row: number): number {
    return ((row >> 1) * this.pairBytes) / 8 + (row & 1);
  }

  /** Takes from every row of later blocks its projections on the rows of one block, which are orthonormal. */
  subtractFromLater(block: number): void {
    const bytes = 2 * this.pairBytes;
    this.subtract(block * bytes, (block + 1) * bytes, this.blocks * bytes, this.pairBytes);
  }
}

let compiled: CompiledModule | null = null;

/** The function `subtract`, for all rows from an address to another. */
function assemble(): Uint8Array {
  const module = new Module();
  const parameters = ['block', 'from', 'end', 'pairBytes'].map((name) => ({ name, type: 'i32' }) as const);
  const f = module.func('subtract', parameters);
  const [block, from, end, pairBytes] = f.parameters;
  const start = f.let('start', from);
  f.while(lt(start, end), () => {
    fourRows(f, start, block, pairBytes);
    f.set(start, sum(start, pairBytes, pairBytes));
  });
  module.export(f);
  return module.assemble();
}

/** Two pairs of rows at once: their projections on the block's rows first, then what is left of them. */
function fourRows(f: Func, start: Local, block: Local, pairBytes: Local): void {
  const shares = [0, 1].map(() => [0, 1, 2, 3].map(() => f.let('share', splatF64(0))));
  const eachNumber = (body: (pair: Local, unit: readonly Local[], r: number) => void) => {
    const pairs = [f.let('x', start), f.let('y', add(start, pairBytes))];
    const units = [f.let('ab', block), f.let('cd', add(block, pairBytes))];
    f.while(lt(pairs[0], add(start, pairBytes)), () => {
      const unit = units.flatMap((at) => [f.let('unit', loadSplat64(at)), f.let('unit', loadSplat64(at, 8))]);
      pairs.forEach((pair, r) => void body(pair, unit, r));
      for (const pointer of [...pairs, ...units]) f.set(pointer, add(pointer, 16));
    });
  };
  eachNumber((pair, unit, r) => {
    const numbers = f.let('numbers', loadV(pair));
    shares[r].forEach((share, i) => void f.set(share, v.f64add(share, v.f64mul(numbers, unit[i]))));
  });
  eachNumber((pair, unit, r) => {
    const taken = shares[r].map((share, i): Expr => v.f64mul(share, unit[i])).reduce(v.f64add);
    f.do(storeV(pair, v.f64sub(loadV(pair), taken)));
  });
}
