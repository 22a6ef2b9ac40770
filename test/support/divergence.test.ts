import { expect, it } from 'vitest';
import { firstDivergences, unexplained } from './divergence.ts';

const batch = { size: 2, steps: 3 };
const potential = (_layer: string, _sample: number, step: number) => ({ distance: step / 1000, reach: 0 });

function rasters(layer: string, a: number[], b: number[]) {
  return { layer, features: 2, a: Float32Array.from(a), b: Float32Array.from(b) };
}

it('finds the first differing spikes of each sample', () => {
  const same = [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const other = [0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1];
  const found = firstDivergences([rasters('h', same, other)], batch, potential);
  expect(found.map(({ sample, step, neuron }) => [sample, step, neuron])).toEqual([
    [0, 1, 0],
    [0, 1, 1],
    [1, 2, 1],
  ]);
  expect(unexplained(found)).toHaveLength(3);
});

it('blames a layer only where none before it differs by then', () => {
  const zeros = new Array(12).fill(0);
  const from = (step: number) => zeros.map((_, i) => (i >= 2 * step && i < 6 ? 1 : 0));
  const layersOf = (lower: number, upper: number) =>
    firstDivergences([rasters('a', zeros, from(lower)), rasters('b', zeros, from(upper))], batch, potential).map(
      (d) => d.layer,
    );
  expect(new Set(layersOf(1, 1))).toEqual(new Set(['a']));
  expect(new Set(layersOf(1, 2))).toEqual(new Set(['a']));
  expect(new Set(layersOf(2, 1))).toEqual(new Set(['a', 'b']));
});

it('accepts what rounding explains', () => {
  const at = { layer: 'h', sample: 0, step: 0, neuron: 0 };
  const near = { ...at, distance: 0.9e-4, reach: 0 };
  const carried = { ...at, distance: 0.05, reach: 0.01 };
  const far = { ...at, distance: 0.05, reach: 0.001 };
  expect(unexplained([near, carried, far])).toEqual([far]);
});
