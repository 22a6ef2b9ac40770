import { UserError } from '../diagnostics/diagnostic.ts';
import { type PickleRules, readPickle } from './pickle.ts';
import { isKind, type PickleCall, type PickleValue } from './pickleValue.ts';
import { readStoredZip } from './zip.ts';

/** A module tree that torch.save wrote: plain attributes, and the tensors of all its parts by their dotted names. */
export interface TorchModule {
  /** Python class, such as `sparch.models.snns.SNN`. */
  readonly type: string;
  readonly attributes: ReadonlyMap<string, PickleValue>;
  readonly tensors: ReadonlyMap<string, TorchTensor>;
}

export interface TorchTensor {
  readonly shape: readonly number[];
  /** Its values, row-major; decoded when asked for, since many names in a file may mean the same bytes. */
  read(): Float32Array;
}

/** What a pickled module of sparch names. Module classes are inert records here; none of them is looked up. */
const allowedNames = [
  /^(__builtin__|builtins)\.set$/,
  /^collections\.OrderedDict$/,
  // Bounds of parameters, which sparch keeps as numpy scalars.
  /^numpy\.(_core|core)\.multiarray\.scalar$/,
  /^numpy\.dtype$/,
  /^_codecs\.encode$/,
  /^torch\._utils\._rebuild_(tensor_v2|parameter)$/,
  /^torch\.(Float|Double|Long)Storage$/,
  /^torch\.device$/,
  /^torch\.nn\.modules\.(container\.ModuleList|linear\.Linear|batchnorm\.BatchNorm1d|normalization\.LayerNorm|dropout\.Dropout|activation\.(Sigmoid|ReLU|Tanh))$/,
  /^(?:[A-Za-z_]\w*\.)*(SNN|ANN|(LIF|adLIF|RLIF|RadLIF|Readout|MLP|RNN|LiGRU|GRU)Layer(ANN)?)$/,
  /^(?:[A-Za-z_]\w*\.)*SpikeFunctionBoxcar$/,
  /^(__builtin__|builtins)\.getattr$/,
];

const rules: PickleRules = {
  global: (name) => allowedNames.some((pattern) => pattern.test(name)),
  // The only attribute that a model of sparch takes of anything is its surrogate's `apply`.
  call: (name, args) => {
    if (!name.endsWith('.getattr')) return true;
    const [object, attribute] = args;
    return isKind(object, 'global') && object.name.endsWith('.SpikeFunctionBoxcar') && attribute === 'apply';
  },
};

/**
 * Reads a whole module saved with `torch.save(module, path)`. The pickle in it is data (see pickle.ts): nothing runs.
 *
 * @throws UserError SP84x where the file is damaged, asks for anything else, or holds no module.
 */
export function readTorchModule(bytes: Uint8Array, path: string): TorchModule {
  const entries = readStoredZip(bytes, path);
  const name = [...entries.keys()].find((key) => key.endsWith('/data.pkl'));
  if (!name) throw new UserError('SP840', `"${path}" is no model that PyTorch saved: it has no data.pkl`);
  const folder = name.slice(0, -'data.pkl'.length);
  const root = readPickle(entries.get(name) as Uint8Array, rules, path);
  if (!isKind(root, 'call') || !isKind(root.state, 'dict')) {
    const message = `"${path}" holds no whole model; save one with torch.save(net, path), as sparch does, and not its state_dict`;
    throw new UserError('SP843', message);
  }
  const storage = (key: string) => entries.get(`${folder}data/${key}`);
  const tensors = new Map<string, TorchTensor>();
  collectTensors(root, '', (id, value) => void tensors.set(id, tensorOf(value, storage, path)));
  return { type: root.callee, attributes: attributesOf(root), tensors };
}

function attributesOf(module: PickleCall): Map<string, PickleValue> {
  if (!isKind(module.state, 'dict')) return new Map();
  return new Map([...module.state.entries].map(([key, value]) => [String(key), value]));
}

/** Parameters and buffers of a module and of everything below it, as state_dict names them. */
function collectTensors(
  module: PickleCall,
  prefix: string,
  found: (name: string, value: PickleValue) => void,
  seen = new Set<PickleCall>(),
): void {
  // Modules that share their parts would take exponentially long to walk through.
  if (seen.has(module)) {
    throw new UserError('SP842', 'the model has one module in several places, which no model of sparch has');
  }
  seen.add(module);
  if (prefix.length > 200) throw new UserError('SP842', 'the model is nested too deeply to be one of sparch');
  const attributes = attributesOf(module);
  for (const group of ['_parameters', '_buffers']) {
    const tensors = attributes.get(group);
    if (!isKind(tensors, 'dict')) continue;
    for (const [key, value] of tensors.entries) if (value !== null) found(`${prefix}${key}`, value);
  }
  const modules = attributes.get('_modules');
  if (!isKind(modules, 'dict')) return;
  for (const [key, value] of modules.entries) {
    if (isKind(value, 'call')) collectTensors(value, `${prefix}${key}.`, found, seen);
  }
}

type StorageOf = (key: string) => Uint8Array | undefined;

const elementReaders: Readonly<Record<string, { size: number; read: (view: DataView, at: number) => number }>> = {
  'torch.FloatStorage': { size: 4, read: (view, at) => view.getFloat32(at, true) },
  'torch.DoubleStorage': { size: 8, read: (view, at) => view.getFloat64(at, true) },
  'torch.LongStorage': { size: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
};

/** `_rebuild_parameter(tensor, ...)` or `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`. */
function tensorOf(value: PickleValue, storageOf: StorageOf, path: string): TorchTensor {
  const broken = () => new UserError('SP842', `"${path}" holds a tensor that cannot be read; save the model again`);
  if (!isKind(value, 'call')) throw broken();
  if (value.callee === 'torch._utils._rebuild_parameter') {
    const [wrapped] = value.args;
    // A pickle can make a parameter that wraps itself.
    if (isKind(wrapped, 'call') && wrapped.callee === value.callee) throw broken();
    return tensorOf(wrapped, storageOf, path);
  }
  const [persistent, offset, shape, strides] = value.args;
  if (!isKind(persistent, 'persistent') || !Array.isArray(persistent.id)) throw broken();
  const [, type, key] = persistent.id;
  const reader = isKind(type, 'global') ? elementReaders[type.name] : undefined;
  const bytes = typeof key === 'string' ? storageOf(key) : undefined;
  if (!reader || !bytes || !isShape(shape) || !isShape(strides) || typeof offset !== 'number') throw broken();
  const size = shape.reduce((a, b) => a * b, 1);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (size > bytes.length / reader.size) throw broken();
  const element = (_: unknown, i: number) => {
    const at = (offset + elementOffset(i, shape, strides)) * reader.size;
    if (at + reader.size > bytes.length) throw broken();
    return reader.read(view, at);
  };
  return { shape, read: () => Float32Array.from({ length: size }, element) };
}

function isShape(value: PickleValue): value is number[] {
  return Array.isArray(value) && value.every((n) => typeof n === 'number' && Number.isInteger(n) && n >= 0);
}

function elementOffset(index: number, shape: readonly number[], strides: readonly number[]): number {
  let offset = 0;
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    offset += (rest % shape[axis]) * strides[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  return offset;
}
