import { float32, float64, signed, unsigned } from './leb.ts';

/** Value types of WebAssembly that kernels use; `void` for what leaves nothing on the stack. */
export type Type = 'i32' | 'f32' | 'v128' | 'void';

/** An expression: its machine code, and itself as text for people. */
export interface Expr {
  readonly type: Type;
  readonly code: readonly number[];
  readonly text: string;
}

/** A function's variable or parameter; an expression that reads it. */
export interface Local extends Expr {
  readonly index: number;
  readonly name: string;
}

/** Something that an address can be made of. */
export type I32 = Expr | number;

export const i32 = (x: I32): Expr => (typeof x === 'number' ? constant(x) : x);

function constant(value: number): Expr {
  return { type: 'i32', code: [0x41, ...signed(value)], text: String(value) };
}

type Binary = (a: I32, b: I32) => Expr;

const binaryI32 = (opcode: number, symbol: string): Binary => {
  return (a, b) => {
    const [x, y] = [i32(a), i32(b)];
    return { type: 'i32', code: [...x.code, ...y.code, opcode], text: `(${x.text} ${symbol} ${y.text})` };
  };
};

const isZero = (x: I32): boolean => x === 0;

const plainAdd = binaryI32(0x6a, '+');
export const add: Binary = (a, b) => (isZero(a) ? i32(b) : isZero(b) ? i32(a) : plainAdd(a, b));
export const sum = (...terms: I32[]): Expr => terms.map(i32).reduce((a, b) => add(a, b));
export const sub = binaryI32(0x6b, '-');
const plainMul = binaryI32(0x6c, '*');
/** Multiplies; by a power of two as a shift. */
export const mul: Binary = (a, b) => {
  if (b === 1) return i32(a);
  if (typeof b === 'number' && b > 0 && Number.isInteger(Math.log2(b))) return shl(a, Math.log2(b));
  return plainMul(a, b);
};
export const divU = binaryI32(0x6e, '/');
export const remU = binaryI32(0x70, '%');
export const and = binaryI32(0x71, '&');
export const or = binaryI32(0x72, '|');
export const xor = binaryI32(0x73, '^');
export const shl = binaryI32(0x74, '<<');
export const shrU = binaryI32(0x76, '>>>');
export const eq = binaryI32(0x46, '==');
export const ne = binaryI32(0x47, '!=');
export const lt = binaryI32(0x49, '<');
export const gt = binaryI32(0x4b, '>');
export const le = binaryI32(0x4d, '<=');
export const ge = binaryI32(0x4f, '>=');

const unary =
  (type: Type, code: readonly number[], name: string) =>
  (a: Expr): Expr => ({
    type,
    code: [...a.code, ...code],
    text: `${name}(${a.text})`,
  });

export const eqz = unary('i32', [0x45], '!');
export const ctz = unary('i32', [0x68], 'ctz');
export const popcnt = unary('i32', [0x69], 'popcnt');

export function minU(a: Expr, b: Expr): Expr {
  return choose(lt(a, b), a, b);
}

/** `condition ? a : b`, both evaluated. */
export function choose(condition: Expr, a: Expr, b: Expr): Expr {
  const opcode = a.type === 'v128' ? [0x1c, 1, 0x7b] : [0x1b];
  return {
    type: a.type,
    code: [...a.code, ...b.code, ...condition.code, ...opcode],
    text: `(${condition.text} ? ${a.text} : ${b.text})`,
  };
}

// Memory

const memarg = (align: number, offset: number): number[] => [align, ...unsigned(offset)];
const at = (address: Expr, offset: number): string => (offset === 0 ? address.text : `${address.text} + ${offset}`);

function loader(type: Type, opcode: readonly number[], align: number, name: string) {
  return (address: I32, offset = 0): Expr => {
    const a = i32(address);
    return { type, code: [...a.code, ...opcode, ...memarg(align, offset)], text: `${name}[${at(a, offset)}]` };
  };
}

function storer(opcode: readonly number[], align: number, name: string) {
  return (address: I32, value: Expr, offset = 0): Expr => {
    const a = i32(address);
    const code = [...a.code, ...value.code, ...opcode, ...memarg(align, offset)];
    return { type: 'void', code, text: `${name}[${at(a, offset)}] = ${value.text}` };
  };
}

export const loadI32 = loader('i32', [0x28], 2, 'i32');
export const loadU16 = loader('i32', [0x2f], 1, 'u16');
export const loadU8 = loader('i32', [0x2d], 0, 'u8');
export const loadF32 = loader('f32', [0x2a], 2, 'f32');
export const loadV = loader('v128', [0xfd, 0], 2, 'f32x4');
/** One number in all four lanes. */
export const loadSplat = loader('v128', [0xfd, 9], 2, 'splat');
/** One float64 in both lanes. */
export const loadSplat64 = loader('v128', [0xfd, 10], 3, 'splat64');
export const storeI32 = storer([0x36], 2, 'i32');
export const storeU8 = storer([0x3a], 0, 'u8');
export const storeF32 = storer([0x38], 2, 'f32');
export const storeV = storer([0xfd, 11], 2, 'f32x4');

/** memory.fill: `bytes` bytes of zero from `address`. */
export function zeroFill(address: Expr, bytes: Expr): Expr {
  const code = [...address.code, 0x41, 0, ...bytes.code, 0xfc, 0x0b, 0];
  return { type: 'void', code, text: `zero(${address.text}, ${bytes.text})` };
}

// Atomics

export const atomicLoad = loader('i32', [0xfe, 0x10], 2, 'atomic');
export const atomicStore = storer([0xfe, 0x17], 2, 'atomic');

/** Adds and gives the value before. */
export function atomicAdd(address: I32, value: I32, offset = 0): Expr {
  const [a, v] = [i32(address), i32(value)];
  const code = [...a.code, ...v.code, 0xfe, 0x1e, ...memarg(2, offset)];
  return { type: 'i32', code, text: `atomicAdd(${at(a, offset)}, ${v.text})` };
}

/** Sleeps while the word holds `expected`; without a time limit. */
export function atomicWait(address: I32, expected: Expr, offset = 0): Expr {
  const a = i32(address);
  const code = [...a.code, ...expected.code, 0x42, 0x7f, 0xfe, 0x01, ...memarg(2, offset)];
  return { type: 'i32', code, text: `wait(${at(a, offset)}, ${expected.text})` };
}

export function atomicNotify(address: I32, offset = 0): Expr {
  const a = i32(address);
  const code = [...a.code, 0x41, ...signed(0x7fffffff), 0xfe, 0x00, ...memarg(2, offset)];
  return { type: 'i32', code, text: `notify(${at(a, offset)})` };
}

// Scalars

export function f32(value: number): Expr {
  return { type: 'f32', code: [0x43, ...float32(value)], text: String(Math.fround(value)) };
}

const binaryF32 =
  (opcode: number, symbol: string) =>
  (a: Expr, b: Expr): Expr => ({
    type: 'f32',
    code: [...a.code, ...b.code, opcode],
    text: `(${a.text} ${symbol} ${b.text})`,
  });

export const addF = binaryF32(0x92, '+');
export const subF = binaryF32(0x93, '-');
export const mulF = binaryF32(0x94, '*');
export const divF = binaryF32(0x95, '/');
export const sqrtF = unary('f32', [0x91], 'sqrt');
export const toFloat = unary('f32', [0xb2], 'float');
/** The bits of a number as an integer. */
export const bitsOf = unary('i32', [0xbc], 'bits');
export const compareF = {
  lt: (a: Expr, b: Expr): Expr => ({
    type: 'i32',
    code: [...a.code, ...b.code, 0x5d],
    text: `(${a.text} < ${b.text})`,
  }),
  ne: (a: Expr, b: Expr): Expr => ({
    type: 'i32',
    code: [...a.code, ...b.code, 0x5c],
    text: `(${a.text} != ${b.text})`,
  }),
};

// Vectors of four

const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];

/** A constant in all four lanes. */
export function splat(value: number): Expr {
  const lane = float32(value);
  return { type: 'v128', code: [...simd(12), ...lane, ...lane, ...lane, ...lane], text: String(value) };
}

export function splatI32(value: number): Expr {
  const lane = [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
  return {
    type: 'v128',
    code: [...simd(12), ...lane, ...lane, ...lane, ...lane],
    text: `0x${(value >>> 0).toString(16)}`,
  };
}

export function lanesI32(a: number, b: number, c: number, d: number): Expr {
  const lane = (v: number) => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, v >>> 24];
  return {
    type: 'v128',
    code: [...simd(12), ...lane(a), ...lane(b), ...lane(c), ...lane(d)],
    text: `[${a}, ${b}, ${c}, ${d}]`,
  };
}

export function splatF64(value: number): Expr {
  const lane = float64(value);
  return { type: 'v128', code: [...simd(12), ...lane, ...lane], text: `f64 ${value}` };
}

const binaryV =
  (opcode: number, symbol: string) =>
  (a: Expr, b: Expr): Expr => ({
    type: 'v128',
    code: [...a.code, ...b.code, ...simd(opcode)],
    text: /\w/.test(symbol) ? `${symbol}(${a.text}, ${b.text})` : `(${a.text} ${symbol} ${b.text})`,
  });
const unaryV = (opcode: number, name: string) => unary('v128', simd(opcode), name);

export const v = {
  add: binaryV(228, '+'),
  sub: binaryV(229, '-'),
  mul: binaryV(230, '*'),
  div: binaryV(231, '/'),
  /** b < a ? b : a */
  min: binaryV(234, 'min'),
  /** a < b ? b : a */
  max: binaryV(235, 'max'),
  abs: unaryV(224, 'abs'),
  neg: unaryV(225, '-'),
  sqrt: unaryV(227, 'sqrt'),
  floor: unaryV(104, 'floor'),
  nearest: unaryV(106, 'round'),
  eq: binaryV(65, '=='),
  ne: binaryV(66, '!='),
  lt: binaryV(67, '<'),
  gt: binaryV(68, '>'),
  le: binaryV(69, '<='),
  ge: binaryV(70, '>='),
  and: binaryV(78, '&'),
  /** a & ~b */
  andNot: binaryV(79, '&~'),
  or: binaryV(80, '|'),
  xor: binaryV(81, '^'),
  toInt: unaryV(248, 'int'),
  fromInt: unaryV(250, 'float'),
  splatF32: unary('v128', simd(19), 'splat'),
  splatInt: unary('v128', simd(17), 'splat'),
  bitmask: unary('i32', simd(164), 'bitmask'),
  /** Lanes that are all 0 or all 1, of two vectors in half as many bits. */
  narrow32: binaryV(133, 'narrow32'),
  narrow16: binaryV(101, 'narrow16'),
  bitmask8: unary('i32', simd(100), 'bitmask8'),
  iadd: binaryV(174, '+'),
  isub: binaryV(177, '-'),
  ieq: binaryV(55, 'equal'),
  iltU: binaryV(58, 'below'),
  igeS: binaryV(63, 'atLeast'),
  f64add: binaryV(240, '+'),
  f64sub: binaryV(241, '-'),
  f64mul: binaryV(242, '*'),
  /** The two low lanes, unsigned integers, as float64. */
  lowToF64: unaryV(255, 'f64'),
  /** float32 -> float64 of the two low lanes. */
  promoteLow: unaryV(95, 'f64'),
  /** float64 -> float32 in the two low lanes. */
  demote: unaryV(94, 'f32'),
};

const shift =
  (opcode: number, symbol: string) =>
  (a: Expr, bits: number): Expr => ({
    type: 'v128',
    code: [...a.code, 0x41, ...signed(bits), ...simd(opcode)],
    text: `(${a.text} ${symbol} ${bits})`,
  });
export const ishl = shift(171, '<<');
export const ishrS = shift(172, '>>');
export const ishrU = shift(173, '>>>');

/** a * b + c in one instruction of relaxed SIMD, which rounds once where the CPU can. */
export function relaxedMultiplyAdd(a: Expr, b: Expr, c: Expr): Expr {
  return {
    type: 'v128',
    code: [...a.code, ...b.code, ...c.code, ...simd(261)],
    text: `multiplyAdd(${a.text}, ${b.text}, ${c.text})`,
  };
}

/** Bits of `a` where `mask` is set, else of `b`. */
export function blend(mask: Expr, a: Expr, b: Expr): Expr {
  return {
    type: 'v128',
    code: [...a.code, ...b.code, ...mask.code, ...simd(82)],
    text: `(${mask.text} ? ${a.text} : ${b.text})`,
  };
}

export function lane(a: Expr, index: number): Expr {
  return { type: 'f32', code: [...a.code, ...simd(31), index], text: `${a.text}.${index}` };
}

export function laneI32(a: Expr, index: number): Expr {
  return { type: 'i32', code: [...a.code, ...simd(27), index], text: `${a.text}.${index}` };
}

/** Lanes of a (0 to 3) and b (4 to 7) in the order given. */
export function shuffle(a: Expr, b: Expr, lanes: readonly [number, number, number, number]): Expr {
  const bytes = lanes.flatMap((l) => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3]);
  return {
    type: 'v128',
    code: [...a.code, ...b.code, ...simd(13), ...bytes],
    text: `shuffle(${a.text}, ${b.text}, ${lanes})`,
  };
}
