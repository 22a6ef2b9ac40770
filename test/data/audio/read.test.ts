import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { AudioReader } from '../../../src/data/audio/read.ts';
import type { SampleOf } from '../../../src/data/definition.ts';
import { wavFile } from './wavFile.ts';

const fixtures = fileURLToPath(new URL('../../fixtures/audio/', import.meta.url));
const decoded: Record<string, { rate: number; mono: number[] }> = JSON.parse(
  readFileSync(join(fixtures, 'decoded.json'), 'utf8'),
);
const reader = new AudioReader({ maxDuration: 60, assumeRate: null });
const folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function readFixture(name: string): Promise<SampleOf<'waveform'>> {
  const sample = await reader.read(join(fixtures, name));
  if (sample.kind === 'unusable') throw new Error(sample.reason);
  return sample;
}

/** Why a file with this content cannot be used. */
async function reasonFor(content: Uint8Array | string): Promise<string> {
  const path = join(folder, 'file');
  writeFileSync(path, content);
  const sample = await reader.read(path);
  return sample.kind === 'unusable' ? sample.reason : 'usable';
}

const bytes = (name: string) => readFileSync(join(fixtures, name));
const damaged = (name: string, change: (content: Buffer) => unknown) => {
  const content = bytes(name);
  change(content);
  return content;
};

test.each(Object.keys(decoded))('%s as libsndfile reads it', async (name) => {
  const { rate, mono } = decoded[name];
  const sample = await readFixture(name);
  expect(sample.rate).toBe(rate);
  expect(sample.samples.length).toBe(mono.length);
  expect(Math.max(...mono.map((v, i) => Math.abs(v - sample.samples[i])))).toBeLessThan(1e-7);
});

test('assume_rate replaces what a file says', async () => {
  const assuming = new AudioReader({ maxDuration: 60, assumeRate: 16000 });
  expect(await assuming.read(join(fixtures, 'pcm24.wav'))).toMatchObject({ kind: 'waveform', rate: 16000 });
});

describe('WAV files that cannot be used', () => {
  test('no samples', async () => {
    expect(await reasonFor(bytes('noSamples.wav'))).toBe('has no samples');
  });

  test('empty', async () => {
    expect(await reasonFor('')).toBe('is empty');
  });

  test('a text file', async () => {
    expect(await reasonFor('not a recording\n'.repeat(10))).toBe('is neither a WAV nor a FLAC file');
  });

  test('a folder', async () => {
    mkdirSync(join(folder, 'folder.wav'));
    expect(await reader.read(join(folder, 'folder.wav'))).toEqual({ kind: 'unusable', reason: 'is not a file' });
  });

  test('no file', async () => {
    expect(await reader.read(join(folder, 'none.wav'))).toEqual({ kind: 'unusable', reason: 'does not exist' });
  });

  test('truncated', async () => {
    expect(await reasonFor(bytes('pcm16.wav').subarray(0, 844))).toBe(
      'is truncated: its header promises 0.03 s, but the file holds 0.01 s',
    );
    expect(await reasonFor(bytes('pcm16.wav').subarray(0, 30))).toMatch(/^is (truncated|damaged)/);
  });

  test('a header that promises too little', async () => {
    const lying = damaged('pcm16.wav', (content) => content.writeUInt32LE(400, 40));
    expect(await reasonFor(lying)).toBe(
      'is damaged: 1200 bytes follow after what its header calls the end of the sound',
    );
  });

  test('a header that contradicts itself', async () => {
    const lying = damaged('pcm16.wav', (content) => content.writeUInt16LE(6, 22));
    expect(await reasonFor(lying)).toBe(
      'is damaged: its header contradicts itself (6 channels of 16 bits at 16000 Hz in 4 bytes)',
    );
  });

  test('a compressed format', async () => {
    const mp3 = damaged('pcm16.wav', (content) => content.writeUInt16LE(0x55, 20));
    expect(await reasonFor(mp3)).toBe(
      'is stored in WAV format 85 with 16 bits; convert it to 16, 24 or 32-bit PCM, or to 32-bit float',
    );
  });

  test('not a number', async () => {
    const nan = damaged('float32.wav', (content) => content.writeFloatLE(Number.NaN, content.length - 4));
    expect(await reasonFor(nan)).toBe('is damaged: it holds values that are no numbers');
  });

  test('two hours, without reading them', async () => {
    const path = join(folder, 'long.wav');
    const seconds = 7200;
    writeFileSync(path, wavFile(new Float32Array(0), 16000, { promise: seconds * 16000 }));
    truncateSync(path, 44 + seconds * 16000 * 2);
    const start = performance.now();
    expect(await reader.read(path)).toEqual({
      kind: 'unusable',
      reason: 'lasts 7200 s, longer than max_duration=60s',
    });
    expect(performance.now() - start).toBeLessThan(100);
  });
});

test('a sampling rate that nothing records at', async () => {
  const lying = damaged('pcm16.wav', (content) => content.writeUInt32LE(4_000_000_000, 24));
  expect(await reasonFor(lying)).toBe('is damaged: its sampling rate is 4000000000 Hz');
});

test('a stream of unknown length ends with the file', async () => {
  const open = damaged('pcm16.wav', (content) => content.writeUInt32LE(0xffffffff, 40));
  expect(await reasonFor(open)).toBe('usable');
});

describe('FLAC files that cannot be used', () => {
  test('truncated', async () => {
    expect(await reasonFor(bytes('flac24.flac').subarray(0, 900))).toBe(
      'is truncated or damaged: 0.00 s of 0.01 s can be decoded',
    );
    expect(await reasonFor(bytes('flac24.flac').subarray(0, 20))).toBe('is truncated: its header is not complete');
  });

  test('a changed bit', async () => {
    const changed = damaged('flac16.flac', (content) => {
      content[content.length - 100] ^= 4;
    });
    expect(await reasonFor(changed)).toMatch(/^is truncated or damaged/);
  });

  test('no length', async () => {
    const none = damaged('flac16.flac', (content) => {
      content[21] &= 0xf0;
      content.writeUInt32BE(0, 22);
    });
    expect(await reasonFor(none)).toBe('has no samples, or does not say how many; encode it again');
  });

  test('the reader goes on after a damaged file', async () => {
    await reasonFor(bytes('flac24.flac').subarray(0, 900));
    expect((await readFixture('flac24.flac')).samples.length).toBe(400);
  });
});

test.each(['pcm16.wav', 'pcm32.wav', 'flac16.flac', 'flac24.flac'])(
  'random damage to %s gives a recording or a reason',
  async (name) => {
    const whole = bytes(name);
    const outcomes = new Set<string>();
    const damage = fc.tuple(
      fc.nat(whole.length - 1),
      fc.integer({ min: 1, max: 8 }),
      fc.nat(255),
      fc.nat(whole.length),
    );
    await fc.assert(
      fc.asyncProperty(damage, async ([start, length, value, end]) => {
        const content = Buffer.from(whole).fill(value, start, Math.min(start + length, whole.length));
        outcomes.add((await reasonFor(end % 3 === 0 ? content.subarray(0, end) : content)).slice(0, 8));
      }),
      { numRuns: 150, seed: 1 },
    );
    expect(outcomes.size).toBeGreaterThan(1);
  },
);
