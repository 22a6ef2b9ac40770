import { stringify } from 'yaml';
import { type Compiled, compileSource } from '../compile.ts';
import { CompileError } from '../diagnostics/diagnostic.ts';
import type { Graph, GraphNode } from '../ir/graph.ts';
import type { NirFile } from '../targets/nir/graph.ts';
import { readNir } from '../targets/nir/read.ts';
import { flatten } from './nirFlat.ts';
import { type ImportedLayer, type ImportedLayers, importLayers } from './nirLayers.ts';
import { slowestDecay } from './nirNeurons.ts';
import { unsupported } from './nirProblem.ts';

/** What most programs that know NIR take where nobody says otherwise, in seconds. */
export const usualStep = 1e-4;

export interface ImportedNir {
  readonly spec: Compiled;
  readonly weights: Map<string, Float32Array>;
  /** Seconds per time step. */
  readonly dt: number;
  /** Nodes that nothing on the way to the output reads. */
  readonly unused: readonly string[];
}

/**
 * Turns a .nir file into a spec and weights by parameter key; NIR's differential equations are taken in forward Euler
 * steps of `dt` seconds (null: those that the file hints at, or else 0.1 ms).
 *
 * @throws UserError SP87x where the file cannot be read, is invalid or beyond what a network here can be.
 */
export async function importNir(
  bytes: Uint8Array,
  path: string,
  name: string,
  dt: number | null,
): Promise<ImportedNir> {
  return importNirFile(await readNir(bytes, path), path, name, dt);
}

/** The same for a file that has been read. */
export function importNirFile(file: NirFile, path: string, name: string, dt: number | null): ImportedNir {
  const step = dt ?? file.dt ?? usualStep;
  const imported = importLayers(flatten(file.graph, path), step, path);
  const spec = compileImported(stringify(specOf(imported, name, step), { lineWidth: 0 }), path);
  const weights = new Map<string, Float32Array>();
  for (const layer of imported.layers) setWeights(weights, spec.graph, layer);
  return { spec, weights, dt: step, unused: imported.unused };
}

function compileImported(text: string, path: string): Compiled {
  try {
    return compileSource({ name: 'imported', text, folder: '.' });
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    throw unsupported(path, [error.diagnostics[0].message]);
  }
}

function specOf({ features, layers }: ImportedLayers, name: string, step: number): object {
  const classes = layers[layers.length - 1].size;
  return {
    sparchc: 1,
    name,
    data: { source: { type: 'tensor', features, classes, step: `${step}s` } },
    model: { layers: layers.flatMap(layerSpecs) },
    // Where neurons spike for their class, it is their rates that count.
    train: { loss: { type: 'cross_entropy', pool: 'mean' } },
  };
}

/** A layer reads one other; a merge puts several together. */
function layerSpecs({ name, from, merge, size, bias, neuron, recurrent }: ImportedLayer): object[] {
  const type = recurrent ? neuron?.recurrentType : neuron?.type;
  // Wider than what is trained from scratch: a file may have any decay.
  const range = neuron?.parameters.alpha ? { decay_min: 0, decay_max: slowestDecay } : {};
  const layer = { name, type: type ?? 'dense', from, size, norm: 'none', bias: bias !== null, ...range };
  if (from.length === 1) return [layer];
  return [
    { name: merge, type: 'merge', operation: 'concat', from },
    { ...layer, from: [merge] },
  ];
}

function setWeights(weights: Map<string, Float32Array>, graph: Graph, layer: ImportedLayer): void {
  const set = (key: string, values: ArrayLike<number>) => weights.set(key, Float32Array.from(values));
  const population = graph.nodes.find((node) => node.kind === 'population' && node.layer === layer.name);
  const id = population?.kind === 'population' ? population.inputs[0] : layer.name;
  const projection = graph.nodes.find((node) => node.id === id) as GraphNode & { kind: 'projection' };
  set(projection.weight, sideBySide(layer.weights, layer.size));
  if (layer.bias && projection.bias) set(projection.bias, layer.bias);
  if (population?.kind !== 'population' || !layer.neuron) return;
  for (const [name, key] of Object.entries(population.parameters)) {
    set(key, name === 'V' ? (layer.recurrent as Float64Array) : layer.neuron.parameters[name]);
  }
  // Everything starts at rest.
  for (const key of Object.values(population.initialStates)) set(key, new Float64Array(layer.size));
}

/** Matrices of `rows` rows each, row-major, as one. */
function sideBySide(matrices: readonly Float64Array[], rows: number): Float64Array {
  if (matrices.length === 1) return matrices[0];
  const widths = matrices.map((matrix) => matrix.length / rows);
  const width = widths.reduce((a, b) => a + b, 0);
  const joined = new Float64Array(rows * width);
  let offset = 0;
  for (const [k, matrix] of matrices.entries()) {
    for (let r = 0; r < rows; r++) {
      joined.set(matrix.subarray(r * widths[k], (r + 1) * widths[k]), r * width + offset);
    }
    offset += widths[k];
  }
  return joined;
}
