import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import {
  decodeSafetensors,
  encodeSafetensors,
  type SafetensorsFile,
  type Tensor,
} from '../../src/train/safetensors.ts';

const encode = (file: SafetensorsFile) => Uint8Array.from(Buffer.concat(encodeSafetensors(file)));
const decode = (bytes: Uint8Array) => decodeSafetensors(bytes, 'x.safetensors');

const tensor: fc.Arbitrary<Tensor> = fc
  .tuple(fc.array(fc.nat(4), { maxLength: 3 }), fc.constantFrom('F32', 'F64', 'I64'))
  .chain(([shape, dtype]): fc.Arbitrary<Tensor> => {
    const n = shape.reduce((a, b) => a * b, 1);
    const length = { minLength: n, maxLength: n };
    if (dtype === 'F32') return fc.float32Array(length).map((data) => ({ shape, data }));
    if (dtype === 'F64') return fc.float64Array(length).map((data) => ({ shape, data }));
    return fc.bigInt64Array(length).map((data) => ({ shape, data }));
  });
const file = fc.record({
  tensors: fc
    .array(fc.tuple(fc.string({ minLength: 1 }), tensor))
    .map((entries) => new Map(entries.filter(([name]) => name !== '__metadata__' && name !== '__proto__'))),
  metadata: fc.dictionary(
    fc.string().filter((key) => key !== '__proto__'),
    fc.string(),
  ),
});

/** A file with this header and this many bytes of tensors. */
function fileWith(header: unknown, bodyBytes: number): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(bodyBytes)]);
}

const f32 = (shape: unknown, offsets: unknown) => ({ dtype: 'F32', shape, data_offsets: offsets });

describe('safetensors', () => {
  it('reads back what it wrote, bit for bit', () => {
    fc.assert(
      fc.property(file, (original) => {
        const { tensors, metadata } = decode(encode(original));
        expect({ ...metadata }).toEqual({ ...original.metadata });
        expect([...tensors.keys()].sort()).toEqual([...original.tensors.keys()].sort());
        for (const [name, { shape, data }] of original.tensors) {
          const read = tensors.get(name) as Tensor;
          expect(read.shape).toEqual(shape);
          expect(read.data.constructor).toBe(data.constructor);
          expect(Buffer.from(read.data.buffer).equals(Buffer.from(data.slice().buffer))).toBe(true);
        }
      }),
    );
  });

  it('reads a file of the Python library (safetensors 0.8.0)', () => {
    const path = new URL('../fixtures/train/python.safetensors', import.meta.url);
    const { tensors, metadata } = decode(readFileSync(path));
    expect(metadata).toEqual({ 'made by': 'safetensors 0.8.0' });
    expect(tensors.get('b.weight')).toEqual({ shape: [2, 3], data: Float32Array.of(0, 0.25, 0.5, 0.75, 1, 1.25) });
    expect(tensors.get('a')).toEqual({ shape: [2], data: Float64Array.of(1.5, -2) });
    expect(tensors.get('n')).toEqual({ shape: [], data: BigInt64Array.of(7n) });
    expect(tensors.get('empty')).toEqual({ shape: [0, 4], data: new Float32Array() });
  });

  it('aligns the tensors to eight bytes', () => {
    const bytes = encode({
      tensors: new Map([['x', { shape: [1], data: Float32Array.of(1) }]]),
      metadata: {},
    });
    expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0);
  });

  it.each([
    ['an empty file', new Uint8Array(), /0 bytes/],
    ['a short file', new Uint8Array(7), /7 bytes/],
    ['a header longer than the file', Buffer.from('ffffff0000000000', 'hex'), /header claims 16777215 bytes/],
    ['a huge header length', Buffer.from('ffffffffffffffff', 'hex'), /header claims/],
    ['a header that is not JSON', fileWith('{"a":', 0), /not a JSON object/],
    ['a header that is not UTF-8', Buffer.from('0100000000000000ff', 'hex'), /not a JSON object/],
    ['a header that is a list', fileWith([], 0), /not a JSON object/],
    ['metadata that is not strings', fileWith({ __metadata__: { a: 1 } }, 0), /object of strings/],
    ['a tensor without a description', fileWith({ a: 3 }, 0), /"a" is not described/],
    ['an unknown type', fileWith({ a: { ...f32([1], [0, 2]), dtype: 'F16' } }, 2), /type "F16"/],
    ['a type named like a method', fileWith({ a: { ...f32([1], [0, 2]), dtype: 'toString' } }, 2), /type "toString"/],
    ['a negative size', fileWith({ a: f32([-1], [0, 4]) }, 4), /no valid shape/],
    ['a fractional size', fileWith({ a: f32([0.5], [0, 2]) }, 2), /no valid shape/],
    ['offsets that are text', fileWith({ a: f32([1], '04') }, 4), /no valid byte range/],
    ['offsets past the end', fileWith({ a: f32([2], [0, 8]) }, 4), /bytes 0 to 8 of 4/],
    ['offsets in reverse', fileWith({ a: f32([1], [4, 0]) }, 4), /bytes 4 to 0/],
    ['a shape that does not fit', fileWith({ a: f32([3], [0, 8]) }, 8), /do not fit/],
    ['a shape that overflows', fileWith({ a: f32([2 ** 40, 2 ** 40], [0, 0]) }, 0), /do not fit/],
    ['a gap', fileWith({ a: f32([1], [4, 8]) }, 8), /gap at byte 0/],
    ['an overlap', fileWith({ a: f32([2], [0, 8]), b: f32([1], [4, 8]) }, 8), /overlap/],
    ['bytes left over', fileWith({ a: f32([1], [0, 4]) }, 9), /5 bytes at its end/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decode(bytes)).toThrow(UserError);
    expect(() => decode(bytes)).toThrow(message);
    expect(() => decode(bytes)).toThrow(/^"x\.safetensors" is not a usable safetensors file: /);
  });

  it('never fails with anything but a UserError, whatever is cut off or changed', () => {
    const whole = encode({
      tensors: new Map([['weight', { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }]]),
      metadata: { key: 'value' },
    });
    const damage = fc.tuple(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length));
    fc.assert(
      fc.property(damage, ([at, value, length]) => {
        const bytes = whole.slice(0, length);
        if (at < length) bytes[at] = value;
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
