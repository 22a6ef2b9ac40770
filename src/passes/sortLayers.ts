import type { Reporter } from '../diagnostics/diagnostic.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import type { LayerConfig, ModelConfig } from './model.ts';

/**
 * Layers so that each follows what it reads, the output (the last one written) at the end. Null after reporting unknown
 * names, cycles, and layers that lead nowhere.
 */
export function sortLayers(model: ModelConfig, reporter: Reporter): readonly LayerConfig[] | null {
  const byName = new Map<string, LayerConfig>();
  for (const layer of model.layers) {
    if (byName.has(layer.name) || layer.name === 'input') {
      reporter.error('SP460', `two layers are called "${layer.name}"; rename one of them`, layer.spanOf('name'));
    }
    byName.set(layer.name, layer);
  }
  for (const layer of model.layers) checkReferences(layer, byName, reporter);
  if (reporter.failed) return null;

  const output = model.layers.at(-1) as LayerConfig;
  const sorted: LayerConfig[] = [];
  const state = new Map<string, 'visiting' | 'done'>();
  const visit = (layer: LayerConfig, path: readonly string[]): void => {
    if (state.get(layer.name) === 'done') return;
    if (state.get(layer.name) === 'visiting') {
      const cycle = [...path.slice(path.indexOf(layer.name)), layer.name].join(' -> ');
      const message = `the layers form a cycle (${cycle}); recurrence belongs inside a neuron ("recurrent V")`;
      reporter.error('SP462', message, layer.spanOf('from') ?? layer.spanOf());
      return;
    }
    state.set(layer.name, 'visiting');
    for (const name of layer.from) {
      const source = byName.get(name);
      if (source) visit(source, [...path, layer.name]);
    }
    state.set(layer.name, 'done');
    sorted.push(layer);
  };
  visit(output, []);
  // A cycle that the output does not reach is a mistake too, and one to be named as such.
  for (const layer of model.layers)
    if (!state.has(layer.name)) reportUnused(layer, output, reporter, () => visit(layer, []));
  return reporter.failed ? null : sorted;
}

function reportUnused(layer: LayerConfig, output: LayerConfig, reporter: Reporter, findCycles: () => void): void {
  const before = reporter.diagnostics.length;
  findCycles();
  if (reporter.diagnostics.length > before) return;
  const message = `nothing that leads to the output "${output.name}" reads the layer "${layer.name}"; connect it or remove it`;
  reporter.error('SP463', message, layer.spanOf('name') ?? layer.spanOf());
}

function checkReferences(layer: LayerConfig, byName: ReadonlyMap<string, LayerConfig>, reporter: Reporter): void {
  for (const name of layer.from) {
    if (name === 'input' || byName.has(name)) continue;
    const known = ['input', ...[...byName.keys()].filter((k) => k !== layer.name)];
    reporter.error(
      'SP461',
      `there is no layer "${name}"; ${suggestion(name, known)}`,
      layer.spanOf('from') ?? layer.spanOf(),
    );
  }
  const several = layer.type === 'merge';
  if (several ? layer.from.length < 2 : layer.from.length !== 1) {
    const wanted = several ? 'merge needs at least two layers to combine' : `"${layer.type}" reads one layer`;
    reporter.error('SP464', `${wanted}, not ${layer.from.length}`, layer.spanOf('from') ?? layer.spanOf());
  }
}
