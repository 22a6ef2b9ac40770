import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { openAudio, type Recording } from '../audio/audioDataset.ts';
import { encodeWav } from '../audio/encodeWav.ts';
import { cachePath, isIntact, makeCacheFolder } from '../cacheFolder.ts';
import { defineDataset, type ReportPreparation, type SplitName } from '../definition.ts';
import { type Line, scriptOf } from '../speech/script.ts';
import { speak } from '../speech/speak.ts';
import { LANGUAGES, VOICES } from '../speech/voices.ts';

const ENGINE = '@echogarden/espeak-ng-emscripten';
/** The one in package.json. */
const ENGINE_VERSION = '0.3.5';

/** Part of the cache's key: to be raised when equal parameters give other recordings. */
const VERSION = 1;

/** Processes that speak, each the lines of its own voices. Not that of the cores: the recordings depend on it. */
const PROCESSES = 4;

const classNames = LANGUAGES.flatMap(({ name }) => Array.from({ length: 10 }, (_, digit) => `${name}-${digit}`));

export const spokenDigits = defineDataset({
  name: 'spoken_digits',
  description: 'digits in English and German, spoken by the voices of eSpeak NG, once, and kept in the cache',
  params: {
    train: { type: 'integer', min: 1, default: 34, description: 'voices for training' },
    validation: { type: 'integer', min: 1, default: 6, description: 'other voices for validation' },
    test: { type: 'integer', min: 1, default: 10, description: 'other voices for testing' },
    takes: {
      type: 'integer',
      min: 1,
      default: 2,
      description: 'how often a voice says each digit, each time at another speed and pitch',
    },
    seed: { type: 'integer', min: 0, default: 1, description: 'which voices are in which split, and how they speak' },
  },
  check: ({ train, validation, test }) => {
    const wanted = Number(train) + Number(validation) + Number(test);
    if (wanted <= VOICES.length) return null;
    const message = `there are ${VOICES.length} voices, not ${wanted}; lower train, validation or test`;
    return { parameter: 'train', message };
  },
  describe: () => ({ kind: 'waveform', features: 1, classes: classNames.length, rate: null }),
  open: async (task, report) => {
    const engine = findEngine();
    const folder = cachePath('spoken-digits', { ...task, version: VERSION, engine: engine.version });
    const script = scriptOf(task);
    const files = script.map((line) => line.file);
    const warnings: string[] = [];
    if (!isIntact(folder, files)) {
      if (existsSync(folder)) warnings.push(`"${folder}" was damaged, so its recordings were made anew`);
      await record(script, engine.file, folder, report);
    }
    const splits = splitsOf(script, folder);
    return openAudio({ folder, splits, classNames, warnings }, { assume_rate: null, max_duration: 60, strict: true });
  },
});

interface Engine {
  readonly file: string;
  readonly version: string;
}

function findEngine(): Engine {
  try {
    const description = createRequire(import.meta.url).resolve(`${ENGINE}/package.json`);
    const { main, version } = JSON.parse(readFileSync(description, 'utf8'));
    return { file: join(dirname(description), main), version };
  } catch (cause) {
    const message =
      `spoken_digits needs eSpeak NG, which this installation was made without; add it with ` +
      `"npm install --no-save ${ENGINE}@${ENGINE_VERSION}", or train on data that needs nothing: sparchc train specs/randman.yaml`;
    throw new UserError('SP730', message, { cause });
  }
}

/** @throws UserError SP731 eSpeak NG failed, SP732 the recordings cannot be written. */
async function record(
  script: readonly Line[],
  engine: string,
  folder: string,
  report: ReportPreparation,
): Promise<void> {
  const total = script.length;
  const what = `eSpeak NG speaks ${total} digits, once; they are kept in ${folder}`;
  let done = 0;
  await makeCacheFolder(folder, async (write) => {
    report({ what, done, total });
    const recordPart = async (part: readonly Line[]) => {
      const names = part.map((line) => line.file).values();
      for await (const { samples, rate } of speak(
        engine,
        part.map((line) => line.utterance),
      )) {
        write(names.next().value as string, encodeWav(samples, rate));
        report({ what, done: ++done, total });
      }
    };
    await Promise.all(partsOf(script).map(recordPart));
  });
}

/** The lines of a voice stay together: eSpeak NG takes a while to change its voice. */
function partsOf(script: readonly Line[]): Line[][] {
  const parts = Array.from({ length: PROCESSES }, (_, i) => script.filter((line) => line.speaker % PROCESSES === i));
  return parts.filter((part) => part.length > 0);
}

function splitsOf(script: readonly Line[], folder: string): Record<SplitName, Recording[]> {
  const of = (name: SplitName) =>
    script
      .filter(({ split }) => split === name)
      .map(({ file, label, speaker }) => ({ path: join(folder, file), label, speaker }));
  return { train: of('train'), validation: of('validation'), test: of('test') };
}
