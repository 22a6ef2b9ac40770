import { UserError } from '../../diagnostics/diagnostic.ts';
import type { NirArray, NirEdge, NirFile, NirGraph, NirNode, NirPrimitive } from './graph.ts';
import { type Dataset, type Group, openHdf5 } from './hdf5.ts';

/** What a file may ask for at most: a small file can claim any size. */
const limits = { nodes: 1000, edges: 20_000, depth: 8, values: 1 << 26, characters: 1 << 24 };

/** HDF5's type classes. */
const INTEGER = 0;
const FLOAT = 1;
const STRING = 3;

/**
 * Reads a .nir file in this thread. A damaged one can bring HDF5 down for good, or keep it busy without end, and should
 * be read by `readNir`.
 *
 * @throws UserError as `readNir`, and what HDF5 throws.
 */
export async function parseNir(bytes: Uint8Array, path: string): Promise<NirFile> {
  const { File, fileSystem } = await openHdf5();
  const inside = '/read.nir';
  fileSystem.writeFile(inside, bytes);
  const file = new File(inside, 'r');
  try {
    return new Reader(path).file(file);
  } finally {
    file.close();
    fileSystem.unlink(inside);
  }
}

class Reader {
  private readonly path: string;
  private nodes = 0;
  private values = 0;

  constructor(path: string) {
    this.path = path;
  }

  file(file: Group): NirFile {
    const root = file.get('node');
    if (!isGroup(root) || !file.keys().includes('version')) {
      throw this.foreign('it has no "version" and "node", as every NIR file does');
    }
    const version = this.text(file, 'version', 'the file');
    if (!/^[01]\.\d/.test(version)) {
      const shown = JSON.stringify(version.slice(0, 40));
      throw this.foreign(`it says that it is of version ${shown} of NIR, and sparchc knows versions 0 and 1`);
    }
    const node = this.node(root, 'the network', 0);
    if (node.type !== 'NIRGraph') {
      throw this.foreign(`its node is of the type "${node.type}" and not a graph ("NIRGraph")`);
    }
    return { version, graph: node as NirGraph, dt: this.timeStep(root) };
  }

  private node(group: Group, name: string, depth: number): NirNode {
    if (++this.nodes > limits.nodes) throw this.tooLarge(`more than ${limits.nodes} nodes`);
    const type = this.text(group, 'type', name);
    return type === 'NIRGraph' ? this.graph(group, name, depth) : { type, arrays: this.arrays(group, name) };
  }

  private graph(group: Group, name: string, depth: number): NirGraph {
    if (depth >= limits.depth) throw this.tooLarge(`graphs nested more than ${limits.depth} deep`);
    const children = group.get('nodes');
    if (!isGroup(children)) throw this.odd(`${name} has no group "nodes"`);
    const nodes = new Map<string, NirNode>();
    for (const key of children.keys()) {
      const child = children.get(key);
      if (!isGroup(child)) throw this.odd(`the node "${key}" is not a group`);
      nodes.set(key, this.node(child, `the node "${key}"`, depth + 1));
    }
    return { type: 'NIRGraph', nodes, edges: this.edges(group, name) };
  }

  private edges(group: Group, name: string): NirEdge[] {
    const dataset = this.dataset(group, 'edges', name);
    const { type, shape, size, total_size: count } = dataset.metadata;
    if (count === 0) return [];
    if (count > 2 * limits.edges || count * size > limits.characters) {
      throw this.tooLarge(`more than ${limits.edges} edges, or names too long`);
    }
    if (type !== STRING || shape?.length !== 2 || shape[1] !== 2) {
      throw this.odd(`the edges of ${name} must be pairs of names`);
    }
    const names = dataset.value as string[];
    return Array.from({ length: shape[0] }, (_, i) => [names[2 * i], names[2 * i + 1]]);
  }

  private arrays(group: Group, name: string): NirPrimitive['arrays'] {
    const keys = group.keys().filter((key) => key !== 'type' && key !== 'metadata');
    const datasets = keys.map((key) => [key, this.dataset(group, key, name)] as const);
    const numeric = datasets.filter(([, { metadata }]) => metadata.type !== STRING);
    return Object.fromEntries(numeric.map(([key, dataset]) => [key, this.array(dataset, `"${key}" of ${name}`)]));
  }

  private array(dataset: Dataset, name: string): NirArray {
    const { type, shape, size, total_size: count, littleEndian } = dataset.metadata;
    const fits = (type === FLOAT && [4, 8].includes(size)) || (type === INTEGER && [1, 2, 4, 8].includes(size));
    if (!fits || !shape || (!littleEndian && size > 1)) {
      throw this.odd(`${name} must hold little-endian numbers of float32, float64 or an integer type`);
    }
    this.values += count;
    if (this.values > limits.values) throw this.tooLarge(`more than ${limits.values} numbers`);
    const read = count === 0 ? [] : dataset.value;
    const list = typeof read === 'object' ? (read as ArrayLike<number | bigint>) : [read as number | bigint];
    const values = Float64Array.from(list, Number);
    if (values.length !== count) throw this.odd(`${name} cannot be read`);
    if (!values.every(Number.isFinite)) throw this.odd(`${name} has a value that is not a finite number`);
    return { shape, values };
  }

  /** The metadata is for people and may hold anything. */
  private timeStep(root: Group): number | null {
    const metadata = root.get('metadata');
    const dataset = isGroup(metadata) && metadata.keys().includes('dt') ? metadata.get('dt') : null;
    if (!isDataset(dataset) || dataset.metadata.type !== FLOAT || dataset.metadata.total_size !== 1) return null;
    const dt = Number(this.array(dataset, 'the time step').values[0]);
    return dt > 0 ? dt : null;
  }

  private text(group: Group, key: string, name: string): string {
    const { metadata, value } = this.scalar(group, key, name);
    if (metadata.type !== STRING || typeof value !== 'string') throw this.odd(`"${key}" of ${name} must be a text`);
    return value;
  }

  private scalar(group: Group, key: string, name: string): Dataset {
    const dataset = this.dataset(group, key, name);
    if (dataset.metadata.total_size !== 1) throw this.odd(`"${key}" of ${name} must be one value`);
    return dataset;
  }

  private dataset(group: Group, key: string, name: string): Dataset {
    const found = group.keys().includes(key) ? group.get(key) : null;
    if (!isDataset(found)) throw this.odd(`${name} has no "${key}"`);
    return found;
  }

  private foreign(why: string): UserError {
    return new UserError('SP871', `"${this.path}" is no NIR file that sparchc can read: ${why}`);
  }

  private odd(what: string): UserError {
    return new UserError('SP872', `"${this.path}" is no valid NIR file: ${what}`);
  }

  private tooLarge(what: string): UserError {
    return new UserError('SP872', `"${this.path}" is too large a network for sparchc: it has ${what}`);
  }
}

function isGroup(entity: unknown): entity is Group {
  return typeof entity === 'object' && entity !== null && 'create_group' in entity;
}

function isDataset(entity: unknown): entity is Dataset {
  return typeof entity === 'object' && entity !== null && 'slice' in entity;
}
