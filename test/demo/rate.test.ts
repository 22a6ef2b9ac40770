import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { rateOf } from '../../src/demo/page/rate.ts';

const bytesOf = (path: string): ArrayBuffer => new Uint8Array(readFileSync(path)).buffer;

it.each([
  ['demo/left.wav', 16_000],
  ['audio/float64.wav', 16_000],
  ['audio/flac24.flac', 44_100],
])('%s says its rate', (file, rate) => {
  expect(rateOf(bytesOf(`test/fixtures/${file}`))).toBe(rate);
});

it('any other bytes have none, or are at least no trouble', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isWav) => {
      const file = isWav ? Uint8Array.from([...Buffer.from('RIFF    WAVE'), ...bytes]) : bytes;
      const rate = rateOf(file.slice().buffer);
      return rate === null || Number.isInteger(rate);
    }),
  );
});
