import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { spokenDigits } from '../../src/data/datasets/spokenDigits.ts';
import type { Preparation, SplitName, WaveformSample } from '../../src/data/definition.ts';
import { scriptOf } from '../../src/data/speech/script.ts';
import { speak } from '../../src/data/speech/speak.ts';
import { VOICES } from '../../src/data/speech/voices.ts';
import { defaultParams } from './defaultParams.ts';
import { espeakFile, hasEspeak } from './espeak.ts';

const task = { train: 34, validation: 6, test: 10, takes: 2, seed: 1 };

describe('the script of spoken_digits', () => {
  const script = scriptOf(task);
  const of = (split: SplitName) => script.filter((line) => line.split === split);

  it('has each of the twenty classes equally often in every split', () => {
    for (const [split, voices] of Object.entries({ train: 34, validation: 6, test: 10 })) {
      const counts = new Array(20).fill(0);
      for (const { label } of of(split as SplitName)) counts[label]++;
      expect(counts).toEqual(new Array(20).fill(2 * voices));
    }
  });

  it('has no voice in two splits, whatever the accent and language', () => {
    expect(new Set(VOICES).size).toBe(VOICES.length);
    const voicesOf = (split: SplitName) => of(split).map((line) => line.utterance.voice.split('+')[1]);
    const all = (['train', 'validation', 'test'] as const).flatMap((split) => [...new Set(voicesOf(split))]);
    expect(all.toSorted()).toEqual(VOICES.toSorted());
  });

  it('follows from the seed, and says the digit in the language of the class', () => {
    expect(scriptOf(task)).toEqual(script);
    const speakersOf = (seed: number) => new Set(scriptOf({ ...task, seed }).map((l) => `${l.split} ${l.speaker}`));
    expect(speakersOf(2)).not.toEqual(speakersOf(1));
    const words = new Map(script.map(({ label, utterance }) => [label, utterance.text]));
    expect([words.get(7), words.get(17)]).toEqual(['seven', 'sieben']);
    for (const { label, utterance } of script) expect(utterance.voice.startsWith('de+')).toBe(label >= 10);
    expect(new Set(script.map((line) => line.file)).size).toBe(script.length);
  });
});

it('asks for no more voices than there are', () => {
  expect(spokenDigits.check?.(defaultParams(spokenDigits))).toBeNull();
  expect(spokenDigits.check?.({ ...task, train: 35 })).toEqual({
    parameter: 'train',
    message: 'there are 50 voices, not 51; lower train, validation or test',
  });
});

describe.runIf(hasEspeak)('spoken_digits', () => {
  const cache = mkdtempSync(join(tmpdir(), 'sparchc-'));
  const small = { train: 1, validation: 1, test: 1, takes: 1, seed: 1 };
  beforeAll(() => void vi.stubEnv('XDG_CACHE_HOME', cache));
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(cache, { recursive: true });
  });

  const open = async () => {
    const reports: Preparation[] = [];
    const dataset = await spokenDigits.open(small, (report) => void reports.push(report));
    return { dataset, reports };
  };
  const folder = () => join(cache, 'sparchc', readdirSync(join(cache, 'sparchc'))[0]);
  const contents = () => readdirSync(folder()).map((name) => [name, readFileSync(join(folder(), name), 'latin1')]);

  it('is spoken once, with progress, and made anew where the cache is damaged', async () => {
    const first = await open();
    expect(first.reports.map((r) => r.done)).toEqual(Array.from({ length: 61 }, (_, i) => i));
    expect(first.reports[60].total).toBe(60);
    expect(first.dataset.warnings).toEqual([]);
    const spoken = contents();

    expect((await open()).reports).toEqual([]);

    const [name] = spoken[5];
    appendFileSync(join(folder(), name), 'x');
    const again = await open();
    expect(again.reports).toHaveLength(61);
    expect(again.dataset.warnings).toEqual([`"${folder()}" was damaged, so its recordings were made anew`]);
    // The same bits.
    expect(contents()).toEqual(spoken);
  });

  it('gives the same bits everywhere, whatever the time, also where a voice is breathy', async () => {
    const utterance = { text: 'seven', voice: 'en-us+f2', rate: 175, pitch: 50, range: 50 };
    const hash = createHash('sha256');
    for await (const { samples } of speak(espeakFile as string, [utterance])) hash.update(samples);
    // Of version 0.3.5: another version of eSpeak NG may speak otherwise.
    expect(hash.digest('hex').slice(0, 16)).toBe('bddc24ee368d4e2f');
  });

  it('has words of plausible length and loudness, in different voices', async () => {
    const { dataset } = await open();
    const durations: number[] = [];
    for (const split of ['train', 'validation', 'test'] as const) {
      const { labels, speakers, read } = dataset.splits[split]!;
      expect(Array.from(labels)).toEqual(Array.from({ length: 20 }, (_, i) => i));
      expect(new Set(speakers).size).toBe(1);
      const samples = (await read(Array.from(labels.keys()))) as WaveformSample[];
      for (const { samples: values, rate } of samples) {
        expect(rate).toBe(22050);
        expect(values.length / rate).toBeGreaterThan(0.15);
        expect(values.length / rate).toBeLessThan(1.2);
        expect(Math.max(...values)).toBeGreaterThan(0.05);
      }
      durations.push(samples.reduce((sum, s) => sum + s.samples.length, 0));
    }
    expect(new Set(durations).size).toBe(3);
  });
});

describe('the process that speaks', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sparchc-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** An engine that says each text as so many samples; the voice `x+gone` is not there. */
  const engine = join(folder, 'engine.mjs');
  writeFileSync(
    engine,
    `export default async () => ({
      FS: { readdir: () => ['.', '..', 'm1'] },
      eSpeakNGWorker: class {
        set_voice() { return 0; }
        set_rate() {}
        set_pitch() {}
        set_range() {}
        get_samplerate() { return 8000; }
        synthesize(text, callback) {
          if (text === 'crash') process.kill(process.pid, 'SIGKILL');
          for (let i = 0; i < 3; i++) callback(new Int16Array(Number(text)).fill(i));
        }
      },
    });`,
  );
  const utterance = (text: string, voice = 'en+m1') => ({ text, voice, rate: 150, pitch: 50, range: 50 });
  const lengths = async (...utterances: ReturnType<typeof utterance>[]) => {
    const found: number[] = [];
    for await (const { samples, rate } of speak(engine, utterances)) {
      expect(rate).toBe(8000);
      found.push(samples.length);
    }
    return found;
  };

  it('gives the pieces of an utterance in one, also long and empty ones', async () => {
    expect(await lengths(utterance('2'), utterance('0'), utterance('100000'), utterance('1'))).toEqual([
      12, 0, 600000, 6,
    ]);
  });

  it('says why it failed', async () => {
    const failed = 'eSpeak NG could not speak the digits:';
    await expect(lengths(utterance('1'), utterance('1', 'en+gone'))).rejects.toThrow(
      `${failed} there is no voice "en+gone"`,
    );
    await expect(lengths(utterance('crash'))).rejects.toThrow(`${failed} it ended with SIGKILL`);
  });
});
