import { expect, test } from 'vitest';
import type { Lists } from '../../src/data/hdf5Lists.ts';
import { RowReader } from '../../src/data/rowReader.ts';

/** Twenty lists, [i] each, of which some cannot be read; `calls` says which were asked for together. */
function lists(damaged: readonly number[] = []) {
  const calls: [number, number][] = [];
  const read: Lists['read'] = (start, count) => {
    calls.push([start, count]);
    const indices = Array.from({ length: count }, (_, i) => start + i);
    if (indices.some((i) => damaged.includes(i))) throw new Error('damaged');
    return indices.map((i) => Float32Array.of(i));
  };
  return { calls, lists: { count: 20, read } };
}

const values = (reader: RowReader, indices: readonly number[]) =>
  reader.read(indices, (_, read) => read()).map(({ times, units }) => [times[0], units[0]]);
const both = (indices: readonly number[]) => indices.map((i) => [i, i]);

test('samples that are asked for one after the other are read at once', () => {
  const { calls, lists: source } = lists();
  const reader = new RowReader(source, lists().lists, false);
  const indices = [3, 4, 5, 9, 2, 3, 3];
  expect(values(reader, indices)).toEqual(both(indices));
  expect(calls).toEqual([
    [3, 3],
    [9, 1],
    [2, 2],
  ]);
  values(reader, [3]);
  expect(calls.at(-1)).toEqual([3, 1]);
});

test('where neighbours are kept, they are read once', () => {
  const { calls, lists: source } = lists();
  const reader = new RowReader(source, lists().lists, true);
  expect(values(reader, [1, 17, 1])).toEqual(both([1, 17, 1]));
  expect(values(reader, [16, 7, 0])).toEqual(both([16, 7, 0]));
  expect(calls).toEqual([
    [0, 8],
    [16, 4],
  ]);
});

test.each([true, false])('a damaged sample fails alone; neighbours kept: %s', (keepsNeighbours) => {
  const reader = new RowReader(lists([4]).lists, lists().lists, keepsNeighbours);
  expect(values(reader, [3])).toEqual(both([3]));
  const guarded: number[] = [];
  const guard = (index: number, read: () => void) => {
    guarded.push(index);
    read();
  };
  expect(() => reader.read([3, 4, 5], guard)).toThrow('damaged');
  expect(guarded).toEqual([3, 4]);
});
