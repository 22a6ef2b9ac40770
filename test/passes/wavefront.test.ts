import { expect, it } from 'vitest';
import { deploy } from '../../src/passes/deploy.ts';
import { findWavefronts } from '../../src/passes/wavefront.ts';
import { graphOf } from '../support/graphs.ts';

const layer = { type: 'RadLIF', size: 8, norm: 'batchnorm' };

function found(
  second: Record<string, unknown>,
  {
    first = {},
    more = [],
    largest = 16,
  }: { first?: object; more?: readonly Record<string, unknown>[]; largest?: number } = {},
): string[] {
  const layers = [
    { ...layer, name: 'a', from: ['input'], ...first },
    { ...layer, name: 'b', from: ['a'], ...second },
    ...more,
    { name: 'out', type: 'LI', from: [(more.at(-1)?.name as string) ?? 'b'], size: 3 },
    { name: 'pool', type: 'softmax_sum', from: ['out'] },
  ];
  const { graph } = deploy(graphOf(layers as never, { features: 5 }));
  return findWavefronts(graph, (neurons) => neurons <= largest).map(({ first, second }) => `${first.id} ${second.id}`);
}

it('finds pairs of layers of the same neurons', () => {
  expect(found({})).toEqual(['a b']);
  expect(found({ dropout: 0.3, bias: true }, { first: { dropout: 0.1 } })).toEqual(['a b']);
  const fork = [
    { ...layer, name: 'c', from: ['a'] },
    { name: 'sum', type: 'merge', from: ['b', 'c'], operation: 'add' },
  ];
  expect(found({}, { more: fork })).toEqual(['a b']);
  const more = ['c', 'd', 'e'].map((name, i) => ({ ...layer, name, from: [['b', 'c', 'd'][i]] }));
  expect(found({}, { more })).toEqual(['a b', 'c d']);
});

it.each([
  ['another size', { size: 6 }],
  ['another neuron', { type: 'RLIF' }],
  ['both directions', { bidirectional: true }],
  ['a norm that stays', { norm: 'layernorm' }],
])('finds none with %s', (_, second) => {
  expect(found(second)).toEqual([]);
});

it('finds none where one product is slow, neurons do not spike or there is no product of spikes, or more than one layer is read', () => {
  expect(found({}, { largest: 15 })).toEqual([]);
  expect(found({ type: 'GRU' }, { first: { type: 'GRU' } })).toEqual([]);
  expect(found({ type: 'LIF' }, { first: { type: 'LIF' } })).toEqual([]);
  const merged = [
    { name: 'sum', type: 'merge', from: ['a', 'b'], operation: 'add' },
    { ...layer, name: 'c', from: ['sum'] },
  ];
  expect(found({}, { more: merged })).toEqual(['a b']);
});
