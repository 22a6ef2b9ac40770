import { isGraph, type NirFile, type NirGraph, type NirNode } from './graph.ts';
import { type Group, openHdf5 } from './hdf5.ts';

/** Variable-length UTF-8, as h5py writes texts. */
const text = 'S';

/** What a file says of itself besides its network. */
export type Metadata = Readonly<Record<string, string | number>>;

/** The bytes of a .nir file: HDF5 in the layout of the `nir` package's `write`. */
export async function writeNir({ version, graph }: NirFile, metadata: Metadata): Promise<Uint8Array> {
  const { File, fileSystem } = await openHdf5();
  const path = '/written.nir';
  const file = new File(path, 'w');
  try {
    file.create_dataset({ name: 'version', data: version, shape: [], dtype: text });
    const root = file.create_group('node');
    writeGraph(root, graph);
    const group = root.create_group('metadata');
    for (const [name, value] of Object.entries(metadata)) {
      group.create_dataset({ name, data: value, shape: [], dtype: typeof value === 'string' ? text : '<d' });
    }
  } finally {
    file.close();
  }
  const bytes = fileSystem.readFile(path);
  fileSystem.unlink(path);
  return bytes;
}

function writeGraph(group: Group, { nodes, edges }: NirGraph): void {
  group.create_dataset({ name: 'type', data: 'NIRGraph', shape: [], dtype: text });
  group.create_dataset({ name: 'edges', data: edges.flat(), shape: [edges.length, 2], dtype: text });
  const children = group.create_group('nodes');
  for (const [name, node] of nodes) writeNode(children.create_group(name), node);
}

function writeNode(group: Group, node: NirNode): void {
  if (isGraph(node)) return writeGraph(group, node);
  group.create_dataset({ name: 'type', data: node.type, shape: [], dtype: text });
  for (const [name, { shape, values }] of Object.entries(node.arrays)) {
    group.create_dataset({ name, data: values, shape: [...shape] });
  }
}
