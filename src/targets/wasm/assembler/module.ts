import type { Type } from './expr.ts';
import { type Expr, type I32, i32 } from './expr.ts';
import { Func, type Parameter, typeCodes } from './func.ts';
import { type Bytes, concat, text, unsigned } from './leb.ts';

/** A WebAssembly module over one imported shared memory, whose functions are all in one table. */
export class Module {
  readonly funcs: Func[] = [];
  private readonly exports = new Map<string, Func>();

  /** Adds a function; its body may be written later, calls of it at once. */
  func(name: string, parameters: readonly Parameter[], result: Type = 'void'): Func {
    const func = new Func(name, parameters, result);
    func.index = this.funcs.length;
    this.funcs.push(func);
    return func;
  }

  export(func: Func): void {
    this.exports.set(func.name, func);
  }

  assemble(): Uint8Array {
    const types = this.funcs.map((f) => [
      0x60,
      ...vector(f.parameters.map((p) => [typeCodes[p.type]])),
      ...vector(f.result === 'void' ? [] : [[typeCodes[f.result]]]),
    ]);
    const count = this.funcs.length;
    return concat([
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, vector([kernelType, ...types])),
      section(2, vector([[...text('host'), ...text('memory'), 0x02, 0x03, ...unsigned(1), ...unsigned(maximumPages)]])),
      section(3, vector(this.funcs.map((_, i) => unsigned(i + 1)))),
      section(4, vector([[0x70, 0x00, ...unsigned(count)]])),
      section(7, vector([...this.exports].map(([name, f]) => [...text(name), 0x00, ...unsigned(f.index)]))),
      section(9, vector([[0x00, 0x41, 0x00, 0x0b, ...vector(this.funcs.map((f) => unsigned(f.index)))]])),
      section(10, vector(this.funcs.map((f) => f.assemble()))),
    ]);
  }
}

/** Pages of 64 KiB that a 32-bit memory can have. */
export const maximumPages = 65536;

/** Type 0: a kernel, (item, args) -> (). */
const kernelType = [0x60, 2, 0x7f, 0x7f, 0];

/** Calls the kernel at a place of the table. */
export function callKernel(place: Expr, item: I32, args: I32): Expr {
  const [i, a] = [i32(item), i32(args)];
  return {
    type: 'void',
    code: [...i.code, ...a.code, ...place.code, 0x11, 0, 0],
    text: `kernels[${place.text}](${i.text}, ${a.text})`,
  };
}

function section(id: number, content: Uint8Array): Uint8Array {
  return concat([[id], unsigned(content.length), content]);
}

function vector(items: readonly Bytes[]): Uint8Array {
  return concat([unsigned(items.length), ...items]);
}
