import { describe, expect, it } from 'vitest';
import { expectClose, goldenNames, loadGolden } from '../../golden/golden.ts';
import { byInput, exported, sampleOf, stateRow, temporaryFolder } from './support.ts';

const folder = temporaryFolder();

describe.each(goldenNames)('the exported model of %s', (name) => {
  const golden = loadGolden(name);
  const { graph, batch, file } = golden;
  // Fixed initial states are not part of the reference: any will do, the given ones replace them.
  const parameters = new Map(golden.parametersAfterStep);
  for (const { key, shape } of graph.parameters) {
    if (!parameters.has(key)) parameters.set(key, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  }
  const states = byInput(graph, golden.statesEval);

  it.each([true, false])('gives the reference outputs (fold: %s), in one batch and one by one', async (fold) => {
    const model = await exported(folder, graph, parameters, fold);
    const whole = await model.evaluate(batch, states);
    const expected = file.output_eval.data;
    expectClose('output', whole.output ?? whole.scores, expected, 1e-5);

    const perSample = expected.length / batch.size;
    for (let row = 0; row < batch.size; row++) {
      const single = await model.evaluate(sampleOf(batch, row), stateRow(states, graph, row, batch.size));
      const part = expected.slice(row * perSample, (row + 1) * perSample);
      expectClose(`output of sample ${row}`, single.output ?? single.scores, part, 1e-5);
    }
    await model.dispose();
  });
});

it('covers all fifteen spiking vectors', () => {
  expect(goldenNames.filter((name) => /LIF-/.test(name))).toHaveLength(15);
});
