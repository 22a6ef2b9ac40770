import { expect, it } from 'vitest';
import { Stream } from '../../../src/random/stream.ts';
import { isByRows } from '../../../src/targets/wasm/kernels/rowGradient.ts';
import { expectGradientsOfInterpreter } from '../../support/gradients.ts';
import { graphOf, randomBatch } from '../../support/graphs.ts';

/** Rows of counts: of ones, of twos, of both, and empty ones. */
function countsOf(size: number, steps: number, features: number) {
  const stream = new Stream(7, 'counts');
  const batch = randomBatch({ size, steps, features });
  const [units, counts, offsets]: [number[], number[], number[]] = [[], [], [0]];
  for (let row = 0; row < size * steps; row++) {
    for (let unit = 0; unit < features; unit++) {
      if (stream.uniform() > 0.1 || row % 4 === 3) continue;
      units.push(unit);
      counts.push(row % 4 < 2 ? 1 + (row % 4) : 1 + stream.integer(2));
    }
    offsets.push(units.length);
  }
  const input = { kind: 'events' as const, offsets: Int32Array.from(offsets), units: Uint16Array.from(units) };
  return { ...batch, features, input: { ...input, counts: Uint16Array.from(counts) } };
}

it.each([
  { features: 256, byRows: true },
  { features: 257, byRows: false },
])('adds up the gradients of $features inputs as the interpreter does', async ({ features, byRows }) => {
  expect(isByRows({ features, real: false })).toBe(byRows);
  const layers = [
    { name: 'h', type: 'LIF', norm: 'batchnorm' as const, size: 37, from: ['input'], bidirectional: true },
    { name: 'li', type: 'LI', norm: 'none' as const, size: 3, from: ['h'] },
  ];
  const graph = graphOf(layers, { features });
  await expectGradientsOfInterpreter(graph, countsOf(19, 7, features));
});
