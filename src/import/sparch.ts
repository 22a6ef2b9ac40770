import { stringify } from 'yaml';
import { type Compiled, compileSource } from '../compile.ts';
import { CompileError, UserError } from '../diagnostics/diagnostic.ts';
import type { Parameter } from '../ir/graph.ts';
import { initialParameters } from '../targets/draws.ts';
import type { PickleValue } from './pickleValue.ts';
import { readTorchModule, type TorchModule, type TorchTensor } from './torchModule.ts';

/** A model of sparch as a spec of ours with its weights by parameter key. */
export interface ImportedModel {
  readonly spec: Compiled;
  readonly weights: Map<string, Float32Array>;
}

const spikingTypes = ['LIF', 'adLIF', 'RLIF', 'RadLIF'];
const gatedTypes = ['MLP', 'RNN', 'LiGRU', 'GRU'];

/**
 * Turns `best_model.pth` of sparch into a spec and weights. sparch draws initial states anew at every call; the
 * imported model gets fixed ones, as every model here.
 *
 * @throws UserError SP84x where the file cannot be read, or is another model.
 */
export function importSparch(bytes: Uint8Array, path: string, name: string): ImportedModel {
  const module = readTorchModule(bytes, path);
  const text = stringify(specOf(module, path, name), { lineWidth: 0 });
  const spec = compileImported(text, path);
  const stored = spec.graph.parameters.filter((p) => p.role !== 'initialState');
  const drawn = spec.graph.parameters.filter((p) => p.role === 'initialState');
  requireRoomFor(stored, bytes, path);
  const weights = new Map(stored.map(({ key, shape }) => [key, weightOf(key, shape, module.tensors.get(key), path)]));
  const states = initialParameters({ ...spec.graph, parameters: drawn }, spec.experiment.seed);
  return { spec, weights: new Map([...weights, ...states]) };
}

/** A small file may claim any sizes, and its tensors may share their bytes; sparch stores each value once. */
function requireRoomFor(stored: readonly Parameter[], bytes: Uint8Array, path: string): void {
  const values = stored.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  if (values * Float32Array.BYTES_PER_ELEMENT <= bytes.length) return;
  const message = `"${path}" is no model of sparch as it describes itself: its layers have ${values} weights, more than the file can hold`;
  throw new UserError('SP844', message);
}

/** Numbers out of a damaged file may describe an impossible network. */
function compileImported(text: string, path: string): Compiled {
  try {
    return compileSource({ name: 'imported', text, folder: '.' });
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    const [{ message }] = error.diagnostics;
    throw new UserError('SP844', `"${path}" describes a network that cannot be: ${message}`);
  }
}

/** Recurrent matrices multiply from the right in sparch's spiking layers (s V), from the left here (V @ s). */
function weightOf(key: string, shape: readonly number[], tensor: TorchTensor | undefined, path: string): Float32Array {
  if (tensor?.shape.join() !== shape.join()) {
    const found = tensor ? `has the shape [${tensor.shape.join(', ')}] and not [${shape.join(', ')}]` : 'is missing';
    throw new UserError('SP844', `"${path}" is no model of sparch as it describes itself: "${key}" ${found}`);
  }
  const values = tensor.read();
  if (!key.startsWith('snn.') || !key.endsWith('.V.weight')) return values;
  const n = shape[0];
  return Float32Array.from({ length: n * n }, (_, i) => values[(i % n) * n + Math.floor(i / n)]);
}

function specOf(module: TorchModule, path: string, name: string): object {
  const read = new Attributes(module, path);
  const spiking = module.type.endsWith('SNN');
  const neuron = read.oneOf(spiking ? 'neuron_type' : 'ann_type', spiking ? spikingTypes : gatedTypes);
  const sizes = read.sizes('layer_sizes');
  const pooled = read.flag('use_readout_layer');
  const bidirectional = read.flag('bidirectional');
  const norm = read.text('normalization');
  const common = {
    norm: norm === 'batchnorm' || norm === 'layernorm' ? norm : 'none',
    bias: read.flag('use_bias'),
  };
  const hidden = (pooled ? sizes.slice(0, -1) : sizes).map((size, i) => ({
    name: `h${i + 1}`,
    type: neuron,
    from: [i === 0 ? 'input' : `h${i}`],
    size,
    ...common,
    dropout: read.number('dropout'),
    bidirectional,
    ...(spiking && { theta: read.number('threshold') }),
  }));
  const last = `h${hidden.length}`;
  const classes = sizes.at(-1) as number;
  const readout = spiking
    ? [
        { name: 'readout', type: 'LI', from: [last], size: classes, ...common },
        { name: 'scores', type: 'softmax_sum', from: ['readout'] },
      ]
    : [
        { name: 'summed', type: 'softmax_sum', from: [last] },
        { name: 'readout', type: 'dense', from: ['summed'], size: classes, ...common },
      ];
  const outputs = pooled ? classes : classes * (bidirectional ? 2 : 1);
  return {
    sparchc: 1,
    name,
    data: { source: { type: 'tensor', features: read.number('input_size'), classes: outputs } },
    model: { layers: [...hidden, ...(pooled ? readout : [])] },
  };
}

/** What the pickled module says of itself, checked as far as it is used. */
class Attributes {
  private readonly module: TorchModule;
  private readonly path: string;

  constructor(module: TorchModule, path: string) {
    this.module = module;
    this.path = path;
  }

  number(name: string): number {
    return this.read(name, 'a number', (v) => typeof v === 'number');
  }

  flag(name: string): boolean {
    return this.read(name, 'true or false', (v) => typeof v === 'boolean');
  }

  text(name: string): string {
    return this.read(name, 'a text', (v) => typeof v === 'string');
  }

  oneOf(name: string, values: readonly string[]): string {
    return this.read(name, values.join(', '), (v) => typeof v === 'string' && values.includes(v));
  }

  sizes(name: string): number[] {
    const isSize = (n: PickleValue) => Number.isInteger(n) && Number(n) > 0;
    return this.read(name, 'a list of sizes', (v) => Array.isArray(v) && v.length > 0 && v.every(isSize));
  }

  private read<T extends PickleValue>(name: string, wanted: string, fits: (value: PickleValue) => boolean): T {
    const value = this.module.attributes.get(name);
    if (value !== undefined && fits(value)) return value as T;
    const message = `"${this.path}" is no model of sparch: its "${name}" is not ${wanted}; import a best_model.pth of sparch`;
    throw new UserError('SP844', message);
  }
}
