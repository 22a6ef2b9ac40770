import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

/** Folders of src/ from the bottom up: a file may import from its own layer and from those below. */
const layers = [
  ['diagnostics', 'definitions', 'random'],
  ['syntax', 'ir'],
  ['passes'],
  ['data'],
  ['targets'],
  ['spec', 'train/definitions.ts', 'train/schedule.ts', 'train/config.ts'],
  ['compile.ts'],
  ['train', 'import', 'cost', 'demo'],
  ['model.ts', 'cli', 'index.ts'],
];

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'));

/** The most specific entry that names the file or a folder it is in. */
function layerOf(file: string): number {
  const exact = layers.findIndex((layer) => layer.includes(file));
  return exact >= 0 ? exact : layers.findIndex((layer) => layer.some((entry) => file.startsWith(`${entry}/`)));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join('src', file), 'utf8');
  const relative = [...text.matchAll(/(?:from|import\()\s*'(\.{1,2}\/[^']+)'/g)].map(([, path]) => path);
  return relative.map((path) => normalize(join(dirname(file), path)));
}

describe('imports point one way', () => {
  it.each(files)('%s', (file) => {
    expect(layerOf(file), 'the file belongs to a layer').toBeGreaterThanOrEqual(0);
    for (const imported of importsOf(file)) {
      expect(layerOf(imported), `${file} imports ${imported}`).toBeLessThanOrEqual(layerOf(file));
    }
  });
});

/** Files of one folder may not form cycles of imports either (types aside, which vanish). */
it('no file imports itself through others', () => {
  const graph = new Map(files.map((file) => [file, valueImportsOf(file)]));
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error([...path.slice(path.indexOf(file)), file].join(' -> '));
    if (done.has(file)) return;
    for (const imported of graph.get(file) ?? []) visit(imported, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

function valueImportsOf(file: string): string[] {
  const text = readFileSync(join('src', file), 'utf8');
  const statements = [...text.matchAll(/^(?:import|export) (?!type )[^;]*? from '(\.{1,2}\/[^']+)';/gm)];
  return statements
    .filter(([statement]) => !/^(?:import|export) \{(?:\s*type [^,}]+,?)+\s*\}/.test(statement))
    .map(([, path]) => normalize(join(dirname(file), path)));
}
