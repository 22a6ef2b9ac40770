/**
 * A NIR graph (Pedersen et al. 2024, "Neuromorphic intermediate representation") in memory, as a file holds it: nodes by
 * name, and edges along which the output of one node is the input of another. Several edges into a node add up.
 */
export interface NirGraph {
  readonly type: 'NIRGraph';
  readonly nodes: ReadonlyMap<string, NirNode>;
  readonly edges: readonly NirEdge[];
}

export type NirEdge = readonly [from: string, to: string];

/** A primitive with its parameters: `Affine` has `weight` and `bias`, `Input` has `shape`, ... */
export interface NirPrimitive {
  readonly type: string;
  readonly arrays: Readonly<Record<string, NirArray>>;
}

export type NirNode = NirPrimitive | NirGraph;

/** Row-major. */
export interface NirArray {
  readonly shape: readonly number[];
  readonly values: Float32Array | Float64Array | BigInt64Array;
}

export interface NirFile {
  /** Of the `nir` package that wrote it. */
  readonly version: string;
  readonly graph: NirGraph;
  /** The time step that the network was trained with, in seconds: a hint in the metadata, which NIR makes optional. */
  readonly dt: number | null;
}

export function isGraph(node: NirNode): node is NirGraph {
  return node.type === 'NIRGraph';
}

export function vector(values: Float32Array | Float64Array): NirArray {
  return { shape: [values.length], values };
}
