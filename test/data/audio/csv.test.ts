import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseCsv } from '../../../src/data/audio/csv.ts';

test('quotes, commas, blank lines, missing fields', () => {
  const text = '\uFEFFfile,class\r\n"a, b.wav",yes\n\n"say ""hi"".wav" ,no\nlast.wav';
  expect(parseCsv(text)).toEqual([
    { file: 'a, b.wav', class: 'yes' },
    { file: 'say "hi".wav', class: 'no' },
    { file: 'last.wav', class: '' },
  ]);
  expect(parseCsv('')).toEqual([]);
  expect(parseCsv('file,class\n')).toEqual([]);
});

test('what is written is read', () => {
  const field = fc.string({ unit: fc.constantFrom('a', 'b', '"', ',', '\n', ' ', 'é') }).map((s) => s.trim());
  const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          field,
          field.filter((f) => f !== ''),
        ),
      ),
      (rows) => {
        const text = ['x,y', ...rows.map((row) => row.map(quote).join(','))].join('\n');
        expect(parseCsv(text)).toEqual(rows.map(([x, y]) => ({ x, y })));
      },
    ),
  );
});
