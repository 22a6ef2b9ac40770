import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset, File as H5File, Metadata } from 'h5wasm/node';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { DatasetSplit, OpenDataset, SpikeSample, SplitName } from './definition.ts';
import { decodeFloat16 } from './float16.ts';

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

/**
 * Opens the files and reads their labels and speakers; spikes are read sample by sample.
 *
 * @throws UserError SP701 a folder or file is missing, SP702 not a whole HDF5 file, SP703 part of the layout is missing
 * or of another type, SP704 labels out of range, SP706 numbers of samples differ. Reading samples throws SP705 units
 * out of range, SP706 numbers of times and units differ, SP707 damaged data.
 */
export async function openSpikeFolder(source: SpikeFolder): Promise<OpenDataset> {
  const opened: H5File[] = [];
  const close = () => {
    for (const file of opened.splice(0)) file.close();
  };
  try {
    const splits: Partial<Record<SplitName, DatasetSplit>> = {};
    for (const [split, name] of Object.entries(source.files) as [SplitName, string][]) {
      const path = findFile(source, name);
      const file = await openFile(path);
      opened.push(file);
      splits[split] = openSplit(new SpikeFile(file, path), source);
    }
    return { splits, close };
  } catch (error) {
    close();
    throw error;
  }
}

function findFile(source: SpikeFolder, name: string): string {
  const hint = `${source.dataset} reads ${list(Object.values(source.files))}, which can be downloaded from ${source.origin}`;
  if (!existsSync(source.folder)) throw new UserError('SP701', `folder "${source.folder}" does not exist; ${hint}`);
  if (!statSync(source.folder).isDirectory()) {
    throw new UserError('SP701', `"${source.folder}" is a file, but "folder" must name the folder it is in; ${hint}`);
  }
  const path = join(source.folder, name);
  if (existsSync(path)) return path;
  const packed = ['.gz', '.zip'].map((suffix) => path + suffix).find((candidate) => existsSync(candidate));
  if (packed) throw new UserError('SP701', `"${packed}" is still compressed: unpack it to "${path}"`);
  throw new UserError('SP701', `file "${path}" does not exist; ${hint}`);
}

async function openFile(path: string): Promise<H5File> {
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
    return new File(path, 'r');
  } catch (cause) {
    throw new UserError('SP702', whyNotOpened(path, String(cause)), { cause });
  }
}

function whyNotOpened(path: string, cause: string): string {
  if (cause.includes('truncated file')) return `"${path}" is truncated; copy or download it again`;
  if (cause.includes('file signature not found')) return `"${path}" is not an HDF5 file`;
  return `"${path}" is damaged: HDF5 cannot open it; copy or download it again`;
}

/** An open file with the lookups that explain what is missing. */
class SpikeFile {
  readonly file: H5File;
  readonly path: string;

  constructor(file: H5File, path: string) {
    this.file = file;
    this.path = path;
  }

  /** The dataset of that name, which must be one-dimensional. */
  dataset(name: string): Dataset {
    const found = this.find(name);
    if (!found) {
      const has = this.file.paths().map((p) => p.replace(/^\//, ''));
      throw new UserError(
        'SP703',
        `"${this.path}" has no dataset "${name}"; it has ${has.length > 0 ? list(has) : 'nothing in it'}`,
      );
    }
    if (found.shape?.length !== 1) {
      throw new UserError('SP703', `"${name}" in "${this.path}" must be one-dimensional, one entry for each sample`);
    }
    return found;
  }

  find(name: string): Dataset | null {
    const entity = this.file.get(name);
    return entity && 'slice' in entity ? entity : null;
  }

  integers(name: string): Int32Array {
    const dataset = this.dataset(name);
    if (dataset.metadata.type !== INTEGER) throw this.wrongType(name, 'integers');
    try {
      return Int32Array.from(dataset.value as ArrayLike<number | bigint>, Number);
    } catch (cause) {
      throw new UserError(
        'SP707',
        `"${name}" in "${this.path}" cannot be read; the file is damaged: copy or download it again`,
        { cause },
      );
    }
  }

  /** A dataset whose samples are lists of numbers of the given HDF5 class. */
  lists(name: string, type: number, expected: string): Dataset {
    const dataset = this.dataset(name);
    if (dataset.metadata.type !== VARIABLE_LENGTH || dataset.metadata.vlen_type?.type !== type) {
      throw this.wrongType(name, `variable-length lists of ${expected}`);
    }
    return dataset;
  }

  wrongType(name: string, expected: string): UserError {
    return new UserError('SP703', `"${name}" in "${this.path}" must hold ${expected}`);
  }
}

/** HDF5's type classes. */
const INTEGER = 0;
const FLOAT = 1;
const VARIABLE_LENGTH = 9;

function openSplit(file: SpikeFile, source: SpikeFolder): DatasetSplit {
  const timesOf = openTimes(file);
  const units = file.lists('spikes/units', INTEGER, 'integers');
  const labels = file.integers('labels');
  const speakers = file.find('extra/speaker') ? file.integers('extra/speaker') : null;
  checkSampleCounts(file, {
    labels: labels.length,
    'spikes/times': file.dataset('spikes/times').shape?.[0] ?? 0,
    'spikes/units': units.shape?.[0] ?? 0,
    ...(speakers && { 'extra/speaker': speakers.length }),
  });
  checkLabels(file, labels, source.classes);

  const readSample = (index: number): SpikeSample => {
    const times = timesOf(index);
    const numbers = readEntry(file, units, index);
    if (times.length !== numbers.length) {
      throw new UserError(
        'SP706',
        `sample ${index} of "${file.path}" has ${times.length} times but ${numbers.length} units; every spike needs both`,
      );
    }
    return { kind: 'spikes', times, units: checkedUnits(file, index, numbers, source.units) };
  };
  return { labels, speakers, read: (indices) => indices.map(readSample) };
}

/** A reader of `spikes/times`, in seconds, whatever the width of its floats. */
function openTimes(file: SpikeFile): (index: number) => Float32Array | Float64Array {
  const times = file.lists('spikes/times', FLOAT, 'floating-point seconds');
  const element = times.metadata.vlen_type as Metadata;
  if (!element.littleEndian) throw file.wrongType('spikes/times', 'little-endian numbers');
  if (element.size !== 2) return (index) => readEntry(file, times, index) as Float32Array | Float64Array;
  // h5wasm knows no float16, but hands out the same bytes as integers once its cached description says so.
  element.type = INTEGER;
  return (index) => decodeFloat16(readEntry(file, times, index) as Uint16Array);
}

type Numbers = Exclude<ArrayLike<number> & ArrayBufferView & Iterable<number>, string>;

function readEntry(file: SpikeFile, dataset: Dataset, index: number): Numbers {
  try {
    return (dataset.slice([[index, index + 1]]) as unknown as Numbers[])[0];
  } catch (cause) {
    const message = `sample ${index} of "${file.path}" cannot be read; the file is damaged: copy or download it again`;
    throw new UserError('SP707', message, { cause });
  }
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

function checkedUnits(file: SpikeFile, index: number, numbers: Numbers, limit: number): Uint16Array {
  for (let i = 0; i < numbers.length; i++) {
    if (numbers[i] < 0 || numbers[i] >= limit) {
      const message = `unit ${numbers[i]} of sample ${index} in "${file.path}" is out of range; units must be from 0 to ${limit - 1}`;
      throw new UserError('SP705', message);
    }
  }
  return numbers instanceof Uint16Array ? numbers : Uint16Array.from(numbers, Number);
}

function list(items: readonly string[], quote = true): string {
  const shown = quote ? items.map((item) => `"${item}"`) : items;
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}
