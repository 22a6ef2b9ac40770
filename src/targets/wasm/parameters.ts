import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Parameter } from '../../ir/graph.ts';
import type { Buffer } from './call.ts';
import { matrixRows, padded, readColumns, writeRows } from './layout.ts';

/** How a parameter lies in memory: a matrix [out, in] transposed, in panels. */
interface Entry {
  readonly parameter: Parameter;
  /** In numbers, from the start of the vector that it is part of. */
  readonly offset: number;
  readonly size: number;
}

/** Parameters in one stretch of memory, each padded. */
export class ParameterVector {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly size: number;
  readonly address: number;

  constructor(parameters: readonly Parameter[], address: number) {
    const entries = new Map<string, Entry>();
    let offset = 0;
    for (const parameter of parameters) {
      const size = sizeInMemory(parameter.shape);
      entries.set(parameter.key, { parameter, offset, size });
      // A cache line of its own for each.
      offset += Math.ceil(size / 16) * 16;
    }
    this.entries = entries;
    this.size = offset;
    this.address = address;
  }

  get bytes(): number {
    return this.size * 4;
  }

  /** Stretches of parameters that are trained at the same multiple of the learning rate, in numbers. */
  runs(): { readonly offset: number; readonly size: number; readonly scale: number }[] {
    const runs: { offset: number; size: number; scale: number }[] = [];
    for (const { parameter, offset } of this.entries.values()) {
      const scale = parameter.learningRateScale ?? 1;
      if (runs.at(-1)?.scale !== scale) runs.push({ offset, size: 0, scale });
    }
    runs.forEach((run, i) => {
      run.size = (runs[i + 1]?.offset ?? this.size) - run.offset;
    });
    return runs;
  }

  /** A parameter's place, here or in a vector of the same shape (gradients, moments) at another address. */
  buffer(key: string, base = this.address): Buffer {
    const { offset, size } = this.entry(key);
    return { name: key, bytes: size * 4, address: base + offset * 4 };
  }

  read(memory: Float32Array, key: string, base = this.address): Float32Array {
    const { parameter, offset, size } = this.entry(key);
    const { shape } = parameter;
    const start = base / 4 + offset;
    const own = memory.subarray(start, start + size);
    if (shape.length < 2) return own.slice(0, shape[0] ?? 1);
    const [outputs, inputs] = shape;
    return readColumns(own, arrayOf(outputs, inputs), inputs);
  }

  write(memory: Float32Array, key: string, values: Float32Array, base = this.address): void {
    const { parameter, offset, size } = this.entry(key);
    const { shape } = parameter;
    const count = shape.reduce((product, n) => product * n, 1);
    if (values.length !== count) {
      throw new UserError(
        'SP602',
        `the parameter "${key}" has ${values.length} values; this model needs ${count} values`,
      );
    }
    const start = base / 4 + offset;
    const own = memory.subarray(start, start + size);
    if (shape.length < 2) return own.set(values);
    const [outputs, inputs] = shape;
    writeRows(own, arrayOf(outputs, inputs), transposed(values, outputs, inputs), same);
  }

  private entry(key: string): Entry {
    const entry = this.entries.get(key);
    if (!entry) throw new Error(`no parameter "${key}"`);
    return entry;
  }
}

function sizeInMemory(shape: readonly number[]): number {
  if (shape.length === 2) return padded(shape[0]) * matrixRows(shape[1]);
  return shape.length === 1 ? padded(shape[0]) : 4;
}

/** A matrix [outputs, inputs] as it lies in memory: a row for each input. */
const arrayOf = (outputs: number, inputs: number) => ({ rows: matrixRows(inputs), features: outputs });

const same = (row: number): number => row;

/** [rows, columns] to [columns, rows], both row-major, in blocks that stay in the cache. */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const block = 16;
  const result = new Float32Array(values.length);
  for (let startRow = 0; startRow < rows; startRow += block) {
    const endRow = Math.min(startRow + block, rows);
    for (let column = 0; column < columns; column++) {
      for (let row = startRow; row < endRow; row++) result[column * rows + row] = values[row * columns + column];
    }
  }
  return result;
}
