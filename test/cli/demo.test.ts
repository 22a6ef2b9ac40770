import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Resampler } from '../../src/data/audio/resampler.ts';
import { classNames, wordModel } from '../demo/wordModel.ts';
import { findChromium, Page } from '../support/chromium.ts';
import { serve } from '../support/staticServer.ts';
import { sparchc } from './support.ts';

const cwd = mkdtempSync(join(tmpdir(), 'sparchc-demo-'));
const word = resolve('test/fixtures/demo/left.wav');

beforeAll(() => {
  const ofSound = { input: 'waveform', record: true } as const;
  writeFileSync(join(cwd, 'sound.onnx'), wordModel(ofSound));
  writeFileSync(join(cwd, 'stream.onnx'), wordModel({ ...ofSound, segmentation: { kind: 'reset' } }));
});
afterAll(() => rmSync(cwd, { recursive: true, force: true, maxRetries: 5 }));

it('leaves a folder alone that holds something else', async () => {
  mkdirSync(join(cwd, 'thesis'));
  writeFileSync(join(cwd, 'thesis/chapter1.tex'), '');
  const { code, stdout, stderr } = await sparchc(['demo', 'sound.onnx', '-o', 'thesis', '--json'], cwd);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error SP846: "thesis" exists and is no demo; give another folder with -o/);
});

const missing = whatIsMissing();
if (missing) console.warn(`SKIPPED: the tests of the demo in a browser, because ${missing}`);

function whatIsMissing(): string | null {
  const reason = reasonNotToRun();
  if (reason && process.env.SPARCHC_REQUIRE_BROWSER) throw new Error(reason);
  return reason;
}

function reasonNotToRun(): string | null {
  try {
    createRequire(import.meta.url).resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm');
  } catch {
    return 'onnxruntime-web is not installed';
  }
  return findChromium() ? null : 'there is no Chromium';
}

it.skipIf(existsSync('node_modules/onnxruntime-web'))(
  'says how to get onnxruntime-web where it is missing',
  async () => {
    const { code, stderr } = await sparchc(['demo', 'sound.onnx', '-o', 'nowhere'], cwd);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error SP847: .* run "npm install onnxruntime-web@~1.30"/);
    expect(existsSync(join(cwd, 'nowhere'))).toBe(false);
  },
);

describe.skipIf(missing)('in headless Chromium', () => {
  let page: Page;
  const servers: Awaited<ReturnType<typeof serve>>[] = [];
  const otherRate = join(cwd, 'other-rate.wav');
  /** What infer says of both recordings. */
  let inferred: { file: string; class: string; scores: number[] }[];

  beforeAll(async () => {
    // What the microphone hears.
    const fakes = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream'];
    page = await Page.open(findChromium() as string, [...fakes, `--use-file-for-fake-audio-capture=${word}`]);
    writeFileSync(otherRate, stereoAt44100(word));
    inferred = JSON.parse((await sparchc(['infer', 'sound.onnx', word, otherRate, '--json'], cwd)).stdout);
    await openDemo('sound.onnx', 'site');
  });
  afterAll(async () => {
    await page?.close();
    for (const server of servers) server.close();
  });

  async function openDemo(model: string, folder: string): Promise<void> {
    const { code, stdout, stderr } = await sparchc(['demo', model, '-o', folder, '--json'], cwd);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ folder });
    const server = await serve(join(cwd, folder));
    servers.push(server);
    await page.goto(server.url);
    await page.until(`document.getElementById('status').textContent === 'Ready.'`);
  }

  const status = () => page.evaluate<string>(`document.getElementById('status').textContent`);
  const whenDone = (pattern: RegExp) => expect.poll(status, { timeout: 30_000 }).toMatch(pattern);

  async function shown(): Promise<{ class: string; scores: number[] }> {
    const rows = await page.evaluate<{ index: string; score: string }[]>(
      `[...document.querySelectorAll('#scores li')].map((row) => ({ ...row.dataset }))`,
    );
    const scores = rows.toSorted((a, b) => Number(a.index) - Number(b.index)).map(({ score }) => Number(score));
    return { class: await page.evaluate(`document.getElementById('class').textContent`), scores };
  }

  async function expectAsInfer(file: string, expected = inferred.find((one) => one.file === file)): Promise<void> {
    await page.drop(file);
    await whenDone(new RegExp(`^${basename(file)}: .* classified`));
    const { class: name, scores } = await shown();
    expect(name).toBe(expected?.class);
    expect(scores).toHaveLength(4);
    const differences = scores.map((score, i) => Math.abs(score - (expected?.scores[i] as number)));
    expect(Math.max(...differences)).toBeLessThan(1e-5);
  }

  it('holds the page, the model and the runtime, and nothing else', () => {
    const names = readdirSync(join(cwd, 'site'), { recursive: true, encoding: 'utf8' });
    expect(names).toEqual(
      expect.arrayContaining(['index.html', 'model.onnx', 'ort/ort.js', 'ort/ort-wasm-simd-threaded.wasm']),
    );
    expect(names.filter((name) => /\.(map|ts)$/.test(name))).toEqual([]);
  });

  it('classifies a dropped recording as infer does', () => expectAsInfer(word));

  it('resamples a stereo recording as infer does', () => expectAsInfer(otherRate));

  it('draws the features and every layer', async () => {
    expect(await page.evaluate(`[...document.querySelectorAll('figcaption b')].map((b) => b.textContent)`)).toEqual([
      'Features',
      'h1',
      'h2',
      'li',
    ]);
    const colours = await page.evaluate<number[]>(`[...document.querySelectorAll('canvas')].map((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height - 20);
      return new Set(new Uint32Array(data.buffer)).size;
    })`);
    for (const count of colours) expect(count).toBeGreaterThan(2);
  });

  async function listenFor(milliseconds: number): Promise<void> {
    await page.evaluate(`document.getElementById('listen').click()`);
    await whenDone(/^Listening/);
    await page.until(`document.getElementById('level').value > 0`);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    await page.evaluate(`document.getElementById('listen').click()`);
    await whenDone(/^Microphone: .* classified/);
  }

  it('listens to the microphone', async () => {
    await listenFor(1200);
    expect(classNames).toContain((await shown()).class);
  });

  it('says what is wrong with a file that is no recording', async () => {
    const file = join(cwd, 'letter.wav');
    writeFileSync(file, 'Dear Sir or Madam,');
    await page.drop(file);
    await whenDone(/^This browser cannot read “letter.wav”: it is damaged, or no recording/);
  });

  it('streams chunks through a model of a stream, as infer does', async () => {
    await openDemo('stream.onnx', 'live');
    const { stdout } = await sparchc(['infer', 'stream.onnx', word, '--json'], cwd);
    await expectAsInfer(word, JSON.parse(stdout)[0]);
    const before = (await shown()).scores;
    await listenFor(500);
    expect((await shown()).scores).not.toEqual(before);
  });

  it('asks no other server, and complains about nothing', () => {
    expect(page.requests.filter((address) => !/^(http:\/\/localhost:|data:|blob:)/.test(address))).toEqual([]);
    expect(page.errors).toEqual([]);
  });
});

/** The same sound on two channels at another rate. */
function stereoAt44100(path: string): Buffer {
  const pcm = readFileSync(path).subarray(44);
  const samples = Float32Array.from({ length: pcm.length / 2 }, (_, i) => pcm.readInt16LE(2 * i) / 32768);
  const wider = new Resampler(16_000, 44_100).resample(samples);
  const file = Buffer.alloc(44 + 4 * wider.length);
  file.write('RIFF', 0);
  file.writeUInt32LE(file.length - 8, 4);
  file.write('WAVEfmt ', 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(2, 22);
  file.writeUInt32LE(44_100, 24);
  file.writeUInt32LE(4 * 44_100, 28);
  file.writeUInt16LE(4, 32);
  file.writeUInt16LE(16, 34);
  file.write('data', 36);
  file.writeUInt32LE(4 * wider.length, 40);
  wider.forEach((value, i) => {
    file.writeInt16LE(Math.round(value * 30_000), 44 + 4 * i);
    file.writeInt16LE(Math.round(value * 20_000), 46 + 4 * i);
  });
  return file;
}
