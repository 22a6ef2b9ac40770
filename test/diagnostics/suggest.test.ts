import { expect, it } from 'vitest';
import { didYouMean } from '../../src/diagnostics/suggest.ts';

it.each([
  ['bacth', ['epochs', 'batch', 'clip_norm'], 'batch'],
  ['lsos', ['lo', 'loss', 'also'], 'loss'],
  ['Batchnrom', ['batchnorm', 'layernorm'], 'batchnorm'],
  ['optimiser', ['optimizer', 'epochs'], 'optimizer'],
  ['stpe', ['step', 'tape'], 'step'],
])('%s: of %j it was meant to be %s', (written, known, meant) => {
  expect(didYouMean(written, known)).toBe(`did you mean "${meant}"?`);
});

it.each([
  ['bacth', ['epochs', 'loss']],
  ['ab', ['cd']],
  ['x', []],
])('%s is near nothing of %j', (written, known) => {
  expect(didYouMean(written, known)).toBe('');
});
