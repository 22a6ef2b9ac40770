import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Func } from '../../../src/targets/wasm/assembler/func.ts';
import type { Buffer, Call } from '../../../src/targets/wasm/call.ts';
import { cutIntoStages } from '../../../src/targets/wasm/stages.ts';

const buffers = Array.from({ length: 6 }, (_, i): Buffer => ({ name: `b${i}`, bytes: 4, address: null }));

interface Given {
  readonly name: string;
  readonly reads?: readonly number[];
  readonly writes?: readonly number[];
  readonly uneven?: boolean;
  readonly items?: number;
}

function callOf({ name, reads = [], writes = [], uneven = false, items = 2 }: Given): Call {
  const named = (prefix: string, indices: readonly number[]) => indices.map((i) => [`${prefix}${i}`, buffers[i]]);
  const args = Object.fromEntries([...named('r', reads), ...named('w', writes)]);
  return { kernel: { func: { name } as Func, params: [], reads: reads.map((i) => `r${i}`) }, items, args, uneven };
}

/** Names of the calls, stage by stage. */
function staged(given: readonly Given[], fixed = 0, boundary = Number.POSITIVE_INFINITY): string[][] {
  const { calls, count } = cutIntoStages(given.map(callOf), fixed, boundary);
  return Array.from({ length: count }, (_, stage) =>
    calls.filter((c) => c.stage === stage).map((c) => c.kernel.func.name),
  );
}

it('starts a stage with what uses a buffer that was written or is written now', () => {
  expect(
    staged([
      { name: 'a', writes: [0] },
      { name: 'b', reads: [0] },
    ]),
  ).toEqual([['a'], ['b']]);
  expect(
    staged([
      { name: 'a', reads: [0] },
      { name: 'b', writes: [0] },
    ]),
  ).toEqual([['a'], ['b']]);
  expect(
    staged([
      { name: 'a', writes: [0] },
      { name: 'b', writes: [1] },
    ]),
  ).toEqual([['a', 'b']]);
});

it('keeps calls together that only read the same', () => {
  expect(
    staged([
      { name: 'a', reads: [0], writes: [1] },
      { name: 'b', reads: [0], writes: [2] },
    ]),
  ).toEqual([['a', 'b']]);
});

const loop: readonly Given[] = [
  { name: 'before', writes: [0] },
  { name: 'loop', reads: [0], writes: [1], uneven: true },
  { name: 'after', reads: [1], writes: [2] },
];

it('moves what does not depend on an uneven call beside it, behind it in order', () => {
  const filler = { name: 'filler', writes: [3] };
  expect(staged([...loop, filler])).toEqual([['before'], ['loop', 'filler'], ['after']]);
});

it('moves a single item as far as it can, so that what depends on it can be beside an uneven call', () => {
  const [single, filler] = [
    { name: 'single', writes: [3], items: 1 },
    { name: 'filler', reads: [3], writes: [4] },
  ];
  expect(staged([...loop, single, filler])).toEqual([['before', 'single'], ['loop', 'filler'], ['after']]);
});

it('leaves what depends on it, or on something after it, where it is', () => {
  expect(staged([...loop, { name: 'x', reads: [1], writes: [3] }])).toEqual([['before'], ['loop'], ['after', 'x']]);
  expect(staged([...loop, { name: 'x', reads: [2], writes: [3] }])).toEqual([['before'], ['loop'], ['after'], ['x']]);
  expect(staged([...loop, { name: 'x', writes: [0] }])).toEqual([['before'], ['loop'], ['after', 'x']]);
});

it('moves nothing of the backward pass into the forward pass', () => {
  expect(staged([...loop, { name: 'x', writes: [3] }], 0, 3)).toEqual([['before'], ['loop'], ['after', 'x']]);
});

it('keeps the first calls first', () => {
  const uneven = { name: 'loop', writes: [1], uneven: true };
  expect(staged([{ name: 'constant', writes: [0] }, uneven], 1)).toEqual([['constant', 'loop']]);
  const constants = [
    { name: 'first', writes: [0] },
    { name: 'second', reads: [0], writes: [1] },
  ];
  const single = { name: 'single', writes: [2], items: 1 };
  expect(staged([...constants, single], 2)).toEqual([['first'], ['second', 'single']]);
});

it('never puts a call beside or before one that it depends on', () => {
  const indices = fc.uniqueArray(fc.nat(buffers.length - 1), { maxLength: 2 });
  const given = fc.record({ reads: indices, writes: indices, uneven: fc.boolean(), items: fc.constantFrom(1, 2) });
  fc.assert(
    fc.property(fc.array(given, { maxLength: 20 }), (calls) => {
      const all = calls.map((c, i) => ({ ...c, reads: c.reads.filter((r) => !c.writes.includes(r)), name: String(i) }));
      const { calls: result } = cutIntoStages(all.map(callOf), 0, Number.POSITIVE_INFINITY);
      expect(result).toHaveLength(all.length);
      const stage = new Map(result.map((c) => [c.kernel.func.name, c.stage]));
      all.forEach((b, j) => {
        all.slice(0, j).forEach((a, i) => {
          const depends =
            a.writes.some((w) => b.writes.includes(w) || b.reads.includes(w)) ||
            a.reads.some((r) => b.writes.includes(r));
          if (depends) expect(stage.get(String(i))).toBeLessThan(stage.get(String(j)) as number);
        });
      });
      result.slice(1).forEach((c, i) => void expect(result[i].barrier).toBe(c.stage > result[i].stage));
    }),
  );
});
