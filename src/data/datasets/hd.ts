import { join } from 'node:path';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { audioParams, audioShape, openAudio, type Recording } from '../audio/audioDataset.ts';
import { readList, requireFolder } from '../audio/fileLists.ts';
import { defineDataset } from '../definition.ts';

const HINT =
  'hd reads "train_filenames.txt", "test_filenames.txt" and the folder "audio", which can be downloaded from https://zenkelab.org/datasets/';

const digits = Array.from({ length: 10 }, (_, digit) => String(digit));
const classNames = [...digits.map((d) => `english-${d}`), ...digits.map((d) => `german-${d}`)];

/** The class is the digit, + 10 in German. */
export const hd = defineDataset({
  name: 'hd',
  description: 'Heidelberg Digits: recordings of spoken digits in English and German (Cramer et al. 2020)',
  params: {
    folder: { type: 'path', description: 'folder with train_filenames.txt, test_filenames.txt and audio/' },
    ...audioParams,
  },
  describe: (params) => audioShape(classNames.length, params),
  open: async ({ folder, ...params }) => {
    requireFolder(folder, HINT);
    requireFolder(join(folder, 'audio'), HINT);
    const splits = { train: listed(folder, 'train'), test: listed(folder, 'test') };
    return openAudio({ folder, splits, classNames, warnings: [] }, params);
  },
});

function listed(folder: string, split: 'train' | 'test'): Recording[] {
  const list = join(folder, `${split}_filenames.txt`);
  return readList(list, HINT).map((name) => recordingOf(folder, name, list));
}

/** `lang-german_speaker-03_trial-32_digit-9.flac` */
function recordingOf(folder: string, name: string, list: string): Recording {
  const parts = /^lang-(english|german)_speaker-(\d+)_trial-\d+_digit-(\d)\.(flac|wav)$/.exec(name);
  if (!parts) {
    const message = `"${list}" names "${name}"; names must be like "lang-english_speaker-00_trial-0_digit-0.flac"`;
    throw new UserError('SP721', message);
  }
  const [, language, speaker, digit] = parts;
  return {
    path: join(folder, 'audio', name),
    label: Number(digit) + (language === 'german' ? 10 : 0),
    speaker: Number(speaker),
  };
}
