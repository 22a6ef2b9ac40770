import { describe, expect, it } from 'vitest';
import { type Batch, DenseBuffer, toDense } from '../../src/data/batch.ts';
import { Stream } from '../../src/random/stream.ts';

function eventBatch(seed: number, size = 2, steps = 3): Batch {
  const features = 5;
  const stream = new Stream(seed, 'events');
  const rows = Array.from({ length: size * steps }, () =>
    Array.from({ length: features }, (_, unit) => unit).filter(() => stream.uniform() < 0.3),
  );
  const offsets = Int32Array.from([0, ...rows.map((_, i) => rows.slice(0, i + 1).flat().length)]);
  const units = Uint16Array.from(rows.flat());
  const counts = Uint16Array.from(units, () => 1 + stream.integer(3));
  const input = { kind: 'events', offsets, units, counts } as const;
  return { size, steps, features, input, labels: new Int32Array(size), samples: new Int32Array(size) };
}

describe('a buffer for dense batches', () => {
  it('lends each batch as a dense array, whatever was lent before', async () => {
    const buffer = new DenseBuffer();
    const arrays = new Set<Float32Array>();
    for (const batch of [eventBatch(1), eventBatch(2), eventBatch(3, 4), eventBatch(4, 4), eventBatch(5)]) {
      await buffer.lend(batch, async (values) => {
        expect(values).toEqual(toDense(batch));
        arrays.add(values);
      });
    }
    expect(arrays.size, 'arrays of three sizes in a row').toBe(3);
  });

  it('lends arrays of their own to those who ask at the same time, also after one of them failed', async () => {
    const buffer = new DenseBuffer();
    const batches = [1, 2, 3].map((seed) => eventBatch(seed));
    const results = await Promise.allSettled(
      batches.map((batch, i) =>
        buffer.lend(batch, async (values) => {
          await new Promise((resolve) => setImmediate(resolve));
          if (i === 1) throw new Error('failed');
          return values.slice();
        }),
      ),
    );
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results.map((r) => (r.status === 'fulfilled' ? r.value : null))).toEqual(
      batches.map((batch, i) => (i === 1 ? null : toDense(batch))),
    );
    expect(await buffer.lend(batches[0], async (values) => values.slice())).toEqual(toDense(batches[0]));
  });
});
