import { decodeModel, type Subgraph } from './proto.ts';

/** Bytes of all numbers that a model file holds, as they are stored. */
export function constantBytes(file: Uint8Array): number {
  return bytesOf(decodeModel(file).graph);
}

function bytesOf({ initializer, node }: Subgraph): number {
  const own = initializer.reduce((sum, { rawData }) => sum + rawData.length, 0);
  const inner = node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => (g ? [bytesOf(g)] : [])));
  return inner.reduce((sum, bytes) => sum + bytes, own);
}
