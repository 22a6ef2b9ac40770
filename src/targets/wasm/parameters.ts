import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Parameter } from '../../ir/graph.ts';
import { matrixRows, padded, position } from './layout.ts';
import type { Buffer } from './program.ts';

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
    const { parameter, offset } = this.entry(key);
    const start = base / 4 + offset;
    return Float32Array.from(placesOf(parameter.shape), (place) => memory[start + place]);
  }

  write(memory: Float32Array, key: string, values: Float32Array, base = this.address): void {
    const { parameter, offset } = this.entry(key);
    const places = placesOf(parameter.shape);
    if (values.length !== places.length) {
      throw new UserError(
        'SP602',
        `the parameter "${key}" has ${values.length} values; this model needs ${places.length} values`,
      );
    }
    const start = base / 4 + offset;
    places.forEach((place, i) => {
      memory[start + place] = values[i];
    });
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

/** Where each number of a row-major parameter lies. */
function placesOf(shape: readonly number[]): Int32Array {
  if (shape.length < 2) return Int32Array.from({ length: shape[0] ?? 1 }, (_, i) => i);
  const [outputs, inputs] = shape;
  const rows = matrixRows(inputs);
  return Int32Array.from({ length: outputs * inputs }, (_, i) =>
    position(rows, outputs, i % inputs, Math.floor(i / inputs)),
  );
}
