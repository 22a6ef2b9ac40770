import { encodeFloat16 } from '../../data/float16.ts';
import {
  type Attribute,
  attribute,
  dataTypes,
  type Model,
  type Node,
  type Tensor,
  tensorValues,
  toNumber,
} from './proto.ts';

/** How the weights of the products are stored. They are computed with in float32, but for products of int8 with spikes. */
export type WeightType = 'float32' | 'float16' | 'int8';

/** Where a matrix of int8 and its scales [out] are found, by the matrix's name in float32. */
export const int8Name = (matrix: string) => `${matrix}.int8`;
export const scaleName = (matrix: string) => `${matrix}.scale`;

/**
 * Stores every matrix [in, out] that something is multiplied by in fewer bits, and adds the nodes that turn it back into
 * float32, where that is read. `int8` is symmetric, with one scale for each of `out` channels: the largest absolute weight becomes 127.
 */
export function compressWeights(model: Model, type: WeightType): Model {
  if (type === 'float32') return model;
  const { graph } = model;
  const all = withSubgraphs(graph.node);
  const read = new Set(all.flatMap(({ input }) => input));
  const multiplied = new Set(all.filter(({ opType }) => opType === 'MatMul').map(({ input }) => input[1]));
  // Some are multiplied in float64.
  const cast = all.filter(({ opType, output }) => opType === 'Cast' && multiplied.has(output[0]));
  const factors = new Set([...multiplied, ...cast.map(({ input }) => input[0])]);
  const nodes: Node[] = [];
  const initializer = graph.initializer.flatMap((tensor) => {
    // The front end's filters are float64, and no weights.
    const isWeight = tensor.dims.length === 2 && tensor.dataType === dataTypes.float32;
    const isFactor = factors.has(tensor.name) || read.has(int8Name(tensor.name));
    if (!isFactor || !isWeight) return [tensor];
    const { tensors, nodes: toFloat } = type === 'int8' ? toInt8(tensor) : toFloat16(tensor);
    if (read.has(tensor.name)) nodes.push(...toFloat);
    return tensors;
  });
  return { ...model, graph: { ...graph, initializer, node: [...nodes, ...graph.node] } };
}

/** Those in loops too: they read tensors of the outer graph. */
function withSubgraphs(nodes: readonly Node[]): Node[] {
  return nodes.flatMap((node) => [node, ...node.attribute.flatMap(({ g }) => (g ? withSubgraphs(g.node) : []))]);
}

interface Compressed {
  readonly tensors: Tensor[];
  /** Which turn them back into float32: operators that runtimes compute when they load a model. */
  readonly nodes: Node[];
}

function toInt8(tensor: Tensor): Compressed {
  const values = tensorValues(tensor) as Float32Array;
  const columns = toNumber(tensor.dims[1]);
  const scales = new Float32Array(columns);
  values.forEach((v, i) => {
    scales[i % columns] = Math.max(scales[i % columns], Math.abs(v) / 127);
  });
  // A channel of zeros has no scale of its own.
  const divisors = scales.map((s) => s || 1);
  const integers = Int8Array.from(values, (v, i) => Math.round(v / divisors[i % columns]));
  const name = int8Name(tensor.name);
  const scale = scaleName(tensor.name);
  const float = `${tensor.name}.integers`;
  return {
    tensors: [
      { name, dims: tensor.dims, dataType: dataTypes.int8, rawData: new Uint8Array(integers.buffer) },
      { name: scale, dims: [columns], dataType: dataTypes.float32, rawData: new Uint8Array(divisors.buffer) },
    ],
    nodes: [
      nodeOf('Cast', [name], float, [attribute('to', dataTypes.float32)]),
      nodeOf('Mul', [float, scale], tensor.name, []),
    ],
  };
}

function toFloat16(tensor: Tensor): Compressed {
  const bits = Uint16Array.from(tensorValues(tensor) as Float32Array, encodeFloat16);
  const name = `${tensor.name}.float16`;
  return {
    tensors: [{ name, dims: tensor.dims, dataType: dataTypes.float16, rawData: new Uint8Array(bits.buffer) }],
    nodes: [nodeOf('Cast', [name], tensor.name, [attribute('to', dataTypes.float32)])],
  };
}

function nodeOf(opType: string, input: string[], output: string, options: Attribute[]): Node {
  return { name: output, opType, input, output: [output], attribute: options };
}
