import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { audioParams, audioShape, openAudio, type Recording } from '../audio/audioDataset.ts';
import { entriesOf, readList, requireFolder } from '../audio/fileLists.ts';
import { defineDataset } from '../definition.ts';

const HINT =
  'sc reads a folder for each word, "validation_list.txt" and "testing_list.txt", as in http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz';

/** In the order of sparch's classes. */
const WORDS = (
  'backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no off on one ' +
  'right seven sheila six stop three tree two up visual wow yes zero'
).split(' ');

const BACKGROUND = '_background_noise_';

/** What neither list names is for training; the background noise is no class. */
export const sc = defineDataset({
  name: 'sc',
  description: 'Speech Commands 0.02: recordings of 35 words (Warden 2018)',
  params: {
    folder: {
      type: 'path',
      description: 'folder with a folder for each word, validation_list.txt and testing_list.txt',
    },
    ...audioParams,
  },
  describe: (params) => audioShape(WORDS.length, params),
  open: async ({ folder, ...params }) => {
    requireFolder(folder, HINT);
    const validation = listed(folder, 'validation_list.txt');
    const test = listed(folder, 'testing_list.txt');
    const held = new Set([...validation, ...test].map((r) => r.path));
    const train = WORDS.flatMap((word) => recordingsOf(folder, word)).filter((r) => !held.has(r.path));
    return openAudio(
      { folder, splits: { train, validation, test }, classNames: WORDS, warnings: otherFolders(folder) },
      params,
    );
  },
});

function recordingsOf(folder: string, word: string): Recording[] {
  if (!existsSync(join(folder, word))) return [];
  return entriesOf(join(folder, word)).recordings.map((name) => recordingOf(folder, word, name));
}

function listed(folder: string, list: string): Recording[] {
  return readList(join(folder, list), HINT).map((entry) => {
    const [word, name] = entry.split('/');
    if (name && WORDS.includes(word)) return recordingOf(folder, word, name);
    const message = `"${join(folder, list)}" names "${entry}"; it must be the folder of one of the ${WORDS.length} words, "/" and a file`;
    throw new UserError('SP721', message);
  });
}

/** The speaker is the name up to `_nohash_`, a hash in hexadecimal. */
function recordingOf(folder: string, word: string, name: string): Recording {
  const speaker = /^([0-9a-f]{8})_nohash_/.exec(name);
  return {
    path: join(folder, word, name),
    label: WORDS.indexOf(word),
    speaker: speaker && Number.parseInt(speaker[1], 16) | 0,
  };
}

function otherFolders(folder: string): string[] {
  const others = entriesOf(folder).folders.filter((name) => name !== BACKGROUND && !WORDS.includes(name));
  if (others.length === 0) return [];
  return [`left out what is no word of Speech Commands in "${folder}": ${others.join(', ')}`];
}
