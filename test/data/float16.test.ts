import { expect, test } from 'vitest';
import { decodeFloat16, encodeFloat16 } from '../../src/data/float16.ts';

const decode = (bits: number) => decodeFloat16(Uint16Array.of(bits))[0];

test('decodes the patterns of the standard', () => {
  expect(decode(0x0000)).toBe(0);
  expect(decode(0x8000)).toBe(-0);
  expect(decode(0x0001)).toBe(2 ** -24);
  expect(decode(0x03ff)).toBe(1023 * 2 ** -24);
  expect(decode(0x0400)).toBe(2 ** -14);
  expect(decode(0x3555)).toBe(0.333251953125);
  expect(decode(0x3c00)).toBe(1);
  expect(decode(0xc000)).toBe(-2);
  expect(decode(0x7bff)).toBe(65504);
  expect(decode(0x7c00)).toBe(Number.POSITIVE_INFINITY);
  expect(decode(0xfc00)).toBe(Number.NEGATIVE_INFINITY);
  expect(decode(0x7e00)).toBeNaN();
});

test('values rise with their patterns', () => {
  const values = decodeFloat16(Uint16Array.from({ length: 0x7c01 }, (_, bits) => bits));
  expect(values.findIndex((value, i) => i > 0 && !(value > values[i - 1]))).toBe(-1);
});

test('encodes what it decodes, and rounds to the nearest, ties to even', () => {
  for (const sign of [0, 0x8000]) {
    for (let bits = 0; bits <= 0x7bff; bits++) expect(encodeFloat16(decode(sign | bits))).toBe(sign | bits);
  }
  expect(encodeFloat16(1 + 2 ** -11)).toBe(0x3c00);
  expect(encodeFloat16(1 + 3 * 2 ** -11)).toBe(0x3c02);
  expect(encodeFloat16(1 + 1.01 * 2 ** -11)).toBe(0x3c01);
  expect(encodeFloat16(-(2 ** -26))).toBe(0x8000);
  expect(encodeFloat16(1e9)).toBe(0x7bff);
});
