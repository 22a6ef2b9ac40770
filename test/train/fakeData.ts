import type { Batch } from '../../src/data/batch.ts';
import type { SplitName } from '../../src/data/definition.ts';
import { Stream } from '../../src/random/stream.ts';
import type { BatchSource } from '../../src/train/loop.ts';

const SIZES = { train: 100, validation: 30, test: 40 } as const;
const STEPS = 4;

/** Dense random samples whose class raises one feature, in batches of `batch`, shuffled by (seed, epoch). */
export function fakeData(batch: number, features = 6, classes = 3): BatchSource {
  const info = (samples: number) => ({ samples, batches: Math.ceil(samples / batch) });
  return {
    splits: { train: info(SIZES.train), validation: info(SIZES.validation), test: info(SIZES.test) },
    async *batches(split, { epoch = 0, shuffle = false, from = 0 } = {}) {
      const order = shuffle
        ? new Stream(1, 'shuffle', epoch).permutation(SIZES[split])
        : Int32Array.from({ length: SIZES[split] }, (_, i) => i);
      for (let start = from * batch; start < order.length; start += batch) {
        yield batchOf(split, order.slice(start, start + batch), features, classes);
      }
    },
  };
}

function batchOf(split: SplitName, samples: Int32Array, features: number, classes: number): Batch {
  const values = new Float32Array(samples.length * STEPS * features);
  const labels = new Int32Array(samples.length);
  samples.forEach((sample, n) => {
    const stream = new Stream(7, split, sample);
    labels[n] = stream.integer(classes);
    for (let t = 0; t < STEPS; t++) {
      for (let i = 0; i < features; i++) {
        values[(n * STEPS + t) * features + i] = stream.uniform() + (i === labels[n] ? 0.25 : 0);
      }
    }
  });
  return { size: samples.length, steps: STEPS, features, input: { kind: 'dense', values }, labels, samples };
}
