import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset, File as H5File, Module as Library } from 'h5wasm/node';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { DatasetSplit, OpenDataset, SpikeSample, SplitName } from './definition.ts';
import { FLOAT, INTEGER, type Lists, openLists, STRING } from './hdf5Lists.ts';
import { type Row, RowReader } from './rowReader.ts';

/** A folder of HDF5 files, one for each split, in the layout of the Heidelberg spiking datasets (Cramer et al. 2020). */
export interface SpikeFolder {
  readonly dataset: string;
  readonly folder: string;
  readonly files: Readonly<Partial<Record<SplitName, string>>>;
  readonly units: number;
  readonly classes: number;
  /** Where the files can be downloaded, for messages. */
  readonly origin: string;
}

/** The path of a split's file. */
export function spikeFile({ folder, files }: SpikeFolder, split: SplitName): string {
  return join(folder, files[split] as string);
}

/**
 * Opens the files and reads their labels and speakers; spikes are read when they are asked for. `opening` is told each
 * file before it is opened.
 *
 * @throws UserError SP701 a folder or file is missing, SP702 not a whole HDF5 file, SP703 part of the layout is missing
 * or of another type, SP704 labels out of range, SP706 numbers of samples differ. Reading samples throws SP705 units
 * out of range, SP706 numbers of times and units differ, SP707 damaged data.
 */
export async function openSpikeFiles(
  source: SpikeFolder,
  opening: (path: string) => void = () => {},
): Promise<OpenDataset> {
  const opened: SpikeFile[] = [];
  const close = () => {
    for (const file of opened.splice(0)) file.close();
  };
  try {
    const splits: Partial<Record<SplitName, DatasetSplit>> = {};
    let classNames: readonly string[] | null = null;
    for (const split of Object.keys(source.files) as SplitName[]) {
      const path = findFile(source, split);
      opening(path);
      const file = await openFile(path);
      opened.push(file);
      splits[split] = file.whole('its layout', () => openSplit(file, source));
      classNames ??= file.whole('its class names', () => file.texts('extra/keys', source.classes));
    }
    return { splits, ...(classNames && { classNames }), close };
  } catch (error) {
    close();
    throw error;
  }
}

function findFile(source: SpikeFolder, split: SplitName): string {
  const hint = `${source.dataset} reads ${list(Object.values(source.files))}, which can be downloaded from ${source.origin}`;
  if (!existsSync(source.folder)) throw new UserError('SP701', `folder "${source.folder}" does not exist; ${hint}`);
  if (!statSync(source.folder).isDirectory()) {
    throw new UserError('SP701', `"${source.folder}" is a file, but "folder" must name the folder it is in; ${hint}`);
  }
  const path = spikeFile(source, split);
  if (existsSync(path)) return path;
  const packed = ['.gz', '.zip'].map((suffix) => path + suffix).find((candidate) => existsSync(candidate));
  if (packed) throw new UserError('SP701', `"${packed}" is still compressed: unpack it to "${path}"`);
  throw new UserError('SP701', `file "${path}" does not exist; ${hint}`);
}

async function openFile(path: string): Promise<SpikeFile> {
  if (statSync(path).size === 0) throw new UserError('SP702', `"${path}" is empty; copy or download it again`);
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw new UserError('SP701', `"${path}" cannot be read: permission denied`, { cause });
  }
  const { File, ready } = await import('h5wasm/node');
  const library = await ready;
  // By default HDF5 prints its errors to stderr and goes on.
  library.activate_throwing_error_handler();
  try {
    return new SpikeFile(library, new File(path, 'r'), path);
  } catch (cause) {
    throw new UserError('SP702', whyNotOpened(path, String(cause)), { cause });
  }
}

function whyNotOpened(path: string, cause: string): string {
  if (cause.includes('truncated file')) return `"${path}" is truncated; copy or download it again`;
  if (cause.includes('file signature not found')) return `"${path}" is no HDF5 file; put the original download there`;
  return `"${path}" is damaged: HDF5 cannot open it; copy or download it again`;
}

/** Bytes: of files up to that size, what is read along with what was asked for is kept until it is asked for. */
const smallFile = 64 * 2 ** 20;

/** An open file with the lookups that explain what is missing. */
class SpikeFile {
  readonly path: string;
  private readonly library: typeof Library;
  private readonly file: H5File;

  constructor(library: typeof Library, file: H5File, path: string) {
    this.library = library;
    this.file = file;
    this.path = path;
  }

  has(name: string): boolean {
    return this.find(name) !== null;
  }

  /** Numbers, one for each sample. */
  integers(name: string): Int32Array {
    const dataset = this.dataset(name);
    const { type, shape } = dataset.metadata;
    if (type !== INTEGER || shape?.length !== 1) throw this.wrongType(name, 'one integer for each sample');
    return Int32Array.from(dataset.value as ArrayLike<number | bigint>, Number);
  }

  /** Texts, or null where there are not `count` of them. */
  texts(name: string, count: number): string[] | null {
    const dataset = this.find(name);
    if (dataset?.metadata.type !== STRING || dataset.shape?.length !== 1 || dataset.shape[0] !== count) return null;
    return Array.from(dataset.value as ArrayLike<unknown>, String);
  }

  /** Lists of numbers, one for each sample. */
  lists(name: string, typeClass: typeof INTEGER | typeof FLOAT, expected: string): Lists {
    const lists = openLists(this.library, this.dataset(name), typeClass);
    if (!lists) throw this.wrongType(name, `a variable-length list of ${expected} for each sample`);
    return lists;
  }

  /** The result of an operation that fails, other than with a UserError, only where the file is damaged. */
  whole<T>(what: string, read: () => T): T {
    try {
      return read();
    } catch (cause) {
      if (cause instanceof UserError) throw cause;
      const message = `"${this.path}" is damaged: HDF5 cannot read ${what}; copy or download it again`;
      throw new UserError('SP707', message, { cause });
    }
  }

  close(): void {
    this.file.close();
  }

  private dataset(name: string): Dataset {
    const found = this.find(name);
    if (found) return found;
    const has = this.file.paths().map((path) => path.replace(/^\//, ''));
    const message = `"${this.path}" has no dataset "${name}"; it has ${has.length > 0 ? list(has) : 'nothing in it'}`;
    throw new UserError('SP703', message);
  }

  private find(name: string): Dataset | null {
    const entity = this.file.get(name);
    return entity && 'slice' in entity ? entity : null;
  }

  private wrongType(name: string, expected: string): UserError {
    return new UserError('SP703', `"${name}" in "${this.path}" must hold ${expected}`);
  }
}

function openSplit(file: SpikeFile, source: SpikeFolder): DatasetSplit {
  const times = file.lists('spikes/times', FLOAT, 'floating-point seconds');
  const units = file.lists('spikes/units', INTEGER, 'integers');
  const labels = file.integers('labels');
  const speakers = file.has('extra/speaker') ? file.integers('extra/speaker') : null;
  checkSampleCounts(file, {
    labels: labels.length,
    'spikes/times': times.count,
    'spikes/units': units.count,
    ...(speakers && { 'extra/speaker': speakers.length }),
  });
  checkLabels(file, labels, source.classes);

  const rows = new RowReader(times, units, statSync(file.path).size <= smallFile);
  const sampleOf = (index: number, { times: seconds, units: numbers }: Row): SpikeSample => {
    if (seconds.length !== numbers.length) {
      const message = `sample ${index} of "${file.path}" has ${seconds.length} times but ${numbers.length} units; every spike needs both`;
      throw new UserError('SP706', message);
    }
    return { kind: 'spikes', times: seconds, units: checkedUnits(file, index, numbers, source.units) };
  };
  const read = (indices: readonly number[]) =>
    rows
      .read(indices, (index, readOne) => file.whole(`sample ${index}`, readOne))
      .map((row, i) => sampleOf(indices[i], row));
  return { labels, speakers, read };
}

function checkSampleCounts(file: SpikeFile, counts: Readonly<Record<string, number>>): void {
  const numbers = Object.values(counts);
  if (numbers.some((n) => n !== numbers[0])) {
    const found = Object.entries(counts).map(([name, n]) => `${n} in "${name}"`);
    throw new UserError(
      'SP706',
      `"${file.path}" must have as many entries in each dataset, but has ${list(found, false)}`,
    );
  }
  if (numbers[0] === 0) throw new UserError('SP706', `"${file.path}" has no samples`);
}

function checkLabels(file: SpikeFile, labels: Int32Array, classes: number): void {
  const index = labels.findIndex((label) => label < 0 || label >= classes);
  if (index >= 0) {
    const message = `label ${labels[index]} of sample ${index} in "${file.path}" is out of range; labels must be from 0 to ${classes - 1}`;
    throw new UserError('SP704', message);
  }
}

function checkedUnits(file: SpikeFile, index: number, numbers: ArrayLike<number>, limit: number): Uint16Array {
  for (let i = 0; i < numbers.length; i++) {
    if (numbers[i] < 0 || numbers[i] >= limit) {
      const message = `unit ${numbers[i]} of sample ${index} in "${file.path}" is out of range; units must be from 0 to ${limit - 1}`;
      throw new UserError('SP705', message);
    }
  }
  return numbers instanceof Uint16Array ? numbers : Uint16Array.from(numbers);
}

function list(items: readonly string[], quote = true): string {
  const shown = quote ? items.map((item) => `"${item}"`) : items;
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}
