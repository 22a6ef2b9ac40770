import { expect, test } from 'vitest';
import { BatchMemory } from '../../src/data/batchMemory.ts';

test('what comes back is given again where it is large enough, and makes way where it is not', () => {
  const memory = new BatchMemory();
  const [small, large] = [new ArrayBuffer(10), new ArrayBuffer(30)];
  memory.giveBack([small, large]);
  expect(memory.take(20)).toBe(large);
  const larger = memory.take(40);
  expect(larger.byteLength).toBeGreaterThanOrEqual(40);
  memory.giveBack([larger]);
  expect([memory.take(5), memory.take(5)]).not.toContain(small);
});
