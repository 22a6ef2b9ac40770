import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { Stream } from '../../random/stream.ts';
import { audioParams, audioShape, openAudio, type Recording } from '../audio/audioDataset.ts';
import { parseCsv } from '../audio/csv.ts';
import { entriesOf, requireFolder } from '../audio/fileLists.ts';
import { defineDataset, type SplitName } from '../definition.ts';
import { chooseShare, chooseSpeakers } from '../holdOut.ts';

const HINT = 'audio_folder reads a folder for each class, with WAV and FLAC files in it';
const SPLITS: readonly string[] = ['train', 'validation', 'test'] satisfies SplitName[];

/** A recording as a folder or a list describes it; what is not known is empty. */
interface Entry {
  readonly path: string;
  readonly className: string;
  readonly speaker: string;
  readonly split: string;
}

/**
 * The classes are the names of the folders, or those in the list, sorted. Without splits in the list, some speakers
 * are for testing, or, where speakers are unknown, a share of each class.
 */
export const audioFolder = defineDataset({
  name: 'audio_folder',
  description: "one's own recordings: a folder for each class, or a list in a CSV file",
  params: {
    folder: { type: 'path', description: 'folder with a folder for each class, or what the list is relative to' },
    classes: { type: 'integer', min: 2, description: 'number of classes' },
    list: {
      type: 'path',
      default: null,
      description: 'CSV file with columns "file" and "class", and, where known, "speaker" and "split"',
    },
    speaker: {
      type: 'string',
      default: null,
      description: 'regular expression whose first group is the speaker in the name of a file: "^([a-z]+)_"',
    },
    test: {
      type: 'number',
      min: 0,
      max: 1,
      exclusive: true,
      default: 0.2,
      description: 'share of the speakers, or else of each class, that is for testing',
    },
    seed: { type: 'integer', min: 0, default: 1, description: 'which of them' },
    ...audioParams,
  },
  describe: ({ classes, list, speaker, ...params }) => ({
    ...audioShape(classes, params),
    ...(list === null && speaker === null && { speakers: false }),
  }),
  open: async ({ folder, classes, list, speaker, test, seed, ...params }) => {
    requireFolder(folder, HINT);
    const found = list === null ? inFolders(folder) : inList(folder, list);
    const entries = speaker === null ? found : withSpeakers(found, speaker);
    const classNames = [...new Set(entries.map((e) => e.className))].sort();
    requireClasses(list ?? folder, classes, classNames);
    const recordings = entries.map(recordingsOf(entries, classNames));
    const splits = entries.some((e) => e.split !== '')
      ? givenSplits(entries, recordings, list ?? folder)
      : randomSplits(recordings, test, seed);
    return openAudio({ folder, splits, classNames, warnings: [] }, params);
  },
});

function inFolders(folder: string): Entry[] {
  return entriesOf(folder).folders.flatMap((className) => {
    const { recordings } = entriesOf(join(folder, className));
    if (recordings.length === 0) {
      const message = `the class folder "${join(folder, className)}" has no WAV or FLAC files; add some, or remove it`;
      throw new UserError('SP726', message);
    }
    return recordings.map((name) => ({ path: join(folder, className, name), className, speaker: '', split: '' }));
  });
}

function inList(folder: string, list: string): Entry[] {
  if (!existsSync(list)) throw new UserError('SP701', `the list "${list}" does not exist`);
  const rows = parseCsv(readFileSync(list, 'utf8'));
  if (rows.length === 0) {
    throw new UserError(
      'SP720',
      `"${list}" lists no recordings; it needs a header such as file,class and a line for each`,
    );
  }
  return rows.map((row, i) => {
    const { file = '', class: className = '', speaker = '', split = '' } = row;
    if (file !== '' && className !== '' && (split === '' || SPLITS.includes(split))) {
      return { path: join(folder, file), className, speaker, split };
    }
    const wrong = file === '' ? 'no "file"' : className === '' ? 'no "class"' : `the split "${split}"`;
    const message = `recording ${i + 1} in "${list}" has ${wrong}; each needs a "file" and a "class", and splits are ${SPLITS.join(', ')}`;
    throw new UserError('SP721', message);
  });
}

function withSpeakers(entries: readonly Entry[], pattern: string): Entry[] {
  const expression = compile(pattern);
  return entries.map((entry) => {
    const speaker = expression.exec(basename(entry.path))?.[1];
    if (speaker) return { ...entry, speaker };
    const message = `speaker="${pattern}" finds no speaker in "${basename(entry.path)}"; its first group must be a part of every file's name`;
    throw new UserError('SP721', message, { exitCode: 2 });
  });
}

function compile(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    const message = `speaker="${pattern}" is not a regular expression; it must be one such as "^([a-z]+)_"`;
    throw new UserError('SP721', message, { exitCode: 2, cause });
  }
}

function requireClasses(where: string, classes: number, found: readonly string[]): void {
  if (found.length === classes) return;
  const names = found.length > 12 ? `${found.slice(0, 12).join(', ')}, ...` : found.join(', ');
  throw new UserError(
    'SP726',
    `"${where}" has ${found.length} classes (${names}), not ${classes}; set classes=${found.length}`,
    {
      exitCode: 2,
    },
  );
}

function recordingsOf(entries: readonly Entry[], classNames: readonly string[]): (entry: Entry) => Recording {
  const labels = new Map(classNames.map((name, label) => [name, label]));
  const speakers = new Map([...new Set(entries.map((e) => e.speaker))].sort().map((name, i) => [name, i]));
  return ({ path, className, speaker }) => ({
    path,
    label: labels.get(className) as number,
    speaker: speaker === '' ? null : (speakers.get(speaker) as number),
  });
}

type Splits = Readonly<Partial<Record<SplitName, readonly Recording[]>>>;

function givenSplits(entries: readonly Entry[], recordings: readonly Recording[], list: string): Splits {
  const of = (split: string) => recordings.filter((_, i) => entries[i].split === split);
  const [without] = entries.filter((e) => e.split === '');
  if (without) {
    throw new UserError(
      'SP721',
      `"${list}" names no split for "${without.path}", but does for others; name it for all`,
    );
  }
  const validation = of('validation');
  return { train: of('train'), ...(validation.length > 0 && { validation }), test: of('test') };
}

function randomSplits(recordings: readonly Recording[], share: number, seed: number): Splits {
  const isTest = bySpeaker(recordings, share, seed) ?? byClass(recordings, share, seed);
  return { train: recordings.filter((r, i) => !isTest(r, i)), test: recordings.filter(isTest) };
}

type Choice = (recording: Recording, index: number) => boolean;

/** At least one speaker on either side; null where there are no two speakers, or some are unknown. */
function bySpeaker(recordings: readonly Recording[], share: number, seed: number): Choice | null {
  const speakers = [...new Set(recordings.map((r) => r.speaker))];
  if (speakers.length < 2 || !speakers.every((s) => s !== null)) return null;
  const count = Math.min(speakers.length - 1, Math.max(1, Math.round(share * speakers.length)));
  const chosen = chooseSpeakers(speakers, count, new Stream(seed, 'test', 'speakers'));
  return ({ speaker }) => chosen.has(speaker as number);
}

function byClass(recordings: readonly Recording[], share: number, seed: number): Choice {
  const labels = Int32Array.from(recordings, (r) => r.label);
  const chosen = chooseShare(labels, share, (label) => new Stream(seed, 'test', 'fraction', label));
  return (_, index) => chosen.has(index);
}
