/**
 * How arrays lie in memory. Features are cut into panels of 32 (the last one narrower, a multiple of 4); a panel holds
 * all rows, 32 (or fewer) numbers each: element (row, feature) of [rows, features] is at panel * rows * 32 + row * width
 * + feature % 32. So a product can go through the rows of one panel of weights that fits the cache, whatever the layer's
 * size, and everything else runs panel by panel too. A feature count that is no multiple of 4 is padded with zeros.
 *
 * A sequence has one row more than time steps per sample, the first: the states before the first step lie there.
 */
export const panelWidth = 32;
export const panelBytes = panelWidth * 4;

export const padded = (features: number): number => Math.ceil(features / 4) * 4;

/** The panels of a row: all full ones are alike. */
export interface Panels {
  readonly features: number;
  readonly count: number;
  readonly full: number;
  /** Width of the last panel where it is narrower, else 0. */
  readonly tail: number;
}

export function panelsOf(features: number): Panels {
  const full = Math.floor(padded(features) / panelWidth);
  const tail = padded(features) % panelWidth;
  return { features, full, tail, count: full + (tail > 0 ? 1 : 0) };
}

/**
 * Rows that memory is set aside for: an odd number, or odd multiple of 4 (matrices), so that the panels of an array do not
 * all fall on the same lines of the caches.
 */
export const spread = (rows: number): number => rows | 1;
export const matrixRows = (inputs: number): number => 4 * ((padded(inputs) / 4) | 1);

/**
 * From one row to the next, in bytes, of a matrix that lies row by row: an odd number of cache lines, so that the rows do
 * not all fall on the same lines of the caches.
 */
export const rowBytes = (features: number): number => 64 * (Math.ceil(padded(features) / 16) | 1);

/** Bytes of an array [rows, features]. */
export const arrayBytes = (rows: number, features: number): number => rows * padded(features) * 4;

/** Where an element lies, in numbers from the start of the array. */
export function position(rows: number, features: number, row: number, feature: number): number {
  const { full, tail } = panelsOf(features);
  const panel = Math.floor(feature / panelWidth);
  return panel * rows * panelWidth + row * (panel < full ? panelWidth : tail) + (feature % panelWidth);
}

/** Rows of an array in memory as row-major [count, features]; `rowOf` says where each is. */
export function readRows(
  memory: Float32Array,
  { rows, features }: { readonly rows: number; readonly features: number },
  count: number,
  rowOf: (index: number) => number,
): Float32Array {
  const values = new Float32Array(count * features);
  for (let i = 0; i < count; i++) {
    for (let start = 0; start < features; start += panelWidth) {
      const from = position(rows, features, rowOf(i), start);
      const width = Math.min(panelWidth, features - start);
      // A view of so few numbers would take longer to make than to copy.
      for (let k = 0; k < width; k++) values[i * features + start + k] = memory[from + k];
    }
  }
  return values;
}

/** The first `count` rows of an array in memory as row-major [features, count], in blocks that stay in the cache. */
export function readColumns(
  memory: Float32Array,
  { rows, features }: { readonly rows: number; readonly features: number },
  count: number,
): Float32Array {
  const block = 16;
  const values = new Float32Array(count * features);
  for (let start = 0; start < features; start += panelWidth) {
    const from = position(rows, features, 0, start);
    const stride = position(rows, features, 1, start) - from;
    const width = Math.min(panelWidth, features - start);
    for (let first = 0; first < count; first += block) {
      const end = Math.min(first + block, count);
      for (let k = 0; k < width; k++) {
        const to = (start + k) * count;
        for (let row = first; row < end; row++) values[to + row] = memory[from + row * stride + k];
      }
    }
  }
  return values;
}

/** The inverse of `readRows`. */
export function writeRows(
  memory: Float32Array,
  { rows, features }: { readonly rows: number; readonly features: number },
  values: Float32Array,
  rowOf: (index: number) => number,
): void {
  for (let i = 0; i < values.length / features; i++) {
    for (let start = 0; start < features; start += panelWidth) {
      const width = Math.min(panelWidth, features - start);
      memory.set(
        values.subarray(i * features + start, i * features + start + width),
        position(rows, features, rowOf(i), start),
      );
    }
  }
}
