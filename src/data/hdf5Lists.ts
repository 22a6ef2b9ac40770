import type { Dataset, Module as Library, Metadata } from 'h5wasm/node';
import { decodeFloat16 } from './float16.ts';

/** HDF5's type classes. */
export const INTEGER = 0;
export const FLOAT = 1;
export const STRING = 3;
const VARIABLE_LENGTH = 9;

export type Numbers =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array;

/** A one-dimensional dataset whose entries are lists of numbers. */
export interface Lists {
  readonly count: number;
  /** So many lists from one on. Throws what HDF5 says where the file is damaged. */
  read(start: number, count: number): Numbers[];
}

/** Null where the dataset holds anything else than lists of numbers of that class, or 64-bit integers. */
export function openLists(
  library: typeof Library,
  dataset: Dataset,
  typeClass: typeof INTEGER | typeof FLOAT,
): Lists | null {
  const { type, vlen_type: element, shape } = dataset.metadata;
  const decode = element && element.type === typeClass ? decoderOf(element) : undefined;
  if (type !== VARIABLE_LENGTH || shape?.length !== 1 || !decode) return null;
  const bytesPerNumber = element!.size;
  return {
    count: shape[0],
    read: (start, count) => readEntries(library, dataset, { start, count, bytesPerNumber }).map(decode),
  };
}

function decoderOf({ type, size, signed }: Metadata): ((bytes: ArrayBuffer) => Numbers) | undefined {
  const floats: Record<number, (bytes: ArrayBuffer) => Numbers> = {
    2: (bytes) => decodeFloat16(new Uint16Array(bytes)),
    4: (bytes) => new Float32Array(bytes),
    8: (bytes) => new Float64Array(bytes),
  };
  const integers: Record<number, (bytes: ArrayBuffer) => Numbers> = {
    1: (bytes) => (signed ? new Int8Array(bytes) : new Uint8Array(bytes)),
    2: (bytes) => (signed ? new Int16Array(bytes) : new Uint16Array(bytes)),
    4: (bytes) => (signed ? new Int32Array(bytes) : new Uint32Array(bytes)),
  };
  return (type === FLOAT ? floats : integers)[size];
}

interface Entries {
  readonly start: number;
  readonly count: number;
  readonly bytesPerNumber: number;
}

/**
 * The bytes of some entries. `Dataset.slice` would do, but knows no float16, and where a read fails it frees pointers that
 * were never set.
 */
function readEntries(library: typeof Library, dataset: Dataset, { start, count, bytesPerNumber }: Entries) {
  // HDF5 fills in a hvl_t, { length, pointer }, for each entry and allocates the lists itself.
  const entries = library._malloc(8 * count);
  library.HEAPU8.fill(0, entries, entries + 8 * count);
  try {
    library.get_dataset_data(dataset.file_id, dataset.path, [BigInt(count)], [BigInt(start)], [1n], BigInt(entries));
    const memory = new DataView(library.HEAPU8.buffer);
    return Array.from({ length: count }, (_, i) => {
      const length = memory.getUint32(entries + 8 * i, true);
      const pointer = memory.getUint32(entries + 8 * i + 4, true);
      const bytes = library.HEAPU8.slice(pointer, pointer + length * bytesPerNumber).buffer as ArrayBuffer;
      library._free(pointer);
      return bytes;
    });
  } finally {
    library._free(entries);
  }
}
