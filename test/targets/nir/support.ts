import type { Compiled } from '../../../src/compile.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { initialParameters } from '../../../src/targets/draws.ts';
import type { NirArray, NirEdge, NirGraph, NirNode } from '../../../src/targets/nir/graph.ts';
import { writeNir } from '../../../src/targets/nir/write.ts';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import type { Tensors } from '../../../src/targets/target.ts';

/** Row-major, of the shape given, or a list. */
export function array(values: readonly number[], shape: readonly number[] = [values.length]): NirArray {
  return { shape, values: Float64Array.from(values) };
}

export function node(type: string, arrays: Record<string, NirArray> = {}): NirNode {
  return { type, arrays };
}

export const port = (type: 'Input' | 'Output', ...shape: number[]) => node(type, { shape: array(shape) });

export function lif(size: number, changes: Record<string, NirArray> = {}): NirNode {
  const all = (value: number) => array(Array.from({ length: size }, () => value));
  const arrays = { tau: all(0.001), r: all(1), v_leak: all(0), v_threshold: all(0.1), v_reset: all(0) };
  return node('LIF', { ...arrays, ...changes });
}

export function graphOf(nodes: Record<string, NirNode>, edges: readonly NirEdge[]): NirGraph {
  return { type: 'NIRGraph', nodes: new Map(Object.entries(nodes)), edges };
}

/** Nodes from input to output, one after the other. */
export function chain(nodes: Record<string, NirNode>): NirGraph {
  const names = Object.keys(nodes);
  return graphOf(
    nodes,
    names.slice(1).map((name, i) => [names[i], name]),
  );
}

export function fileOf(graph: NirGraph, version = '1.0.0', metadata = {}): Promise<Uint8Array> {
  return writeNir({ version, graph, dt: null }, metadata);
}

/** What a network gives for x [size, steps, features], [size, steps, classes] or [size, classes]; float64. */
export async function outputOf({ graph }: Compiled, weights: Tensors, x: Float32Array, shape: readonly number[]) {
  const optimizer = { kind: 'sgd', momentum: 0, weightDecay: 0 } as const;
  const model = await referenceTarget().compile(graph, { seed: 1, optimizer, clipNorm: null });
  model.load(weights);
  const [size, steps, features] = shape;
  const labels = new Int32Array(size);
  const input = { kind: 'dense', values: x } as const;
  const batch = { size, steps, features, input, labels, samples: labels };
  return (await model.evaluate(batch, { wantOutput: true })).output as Float32Array;
}

/** Random parameters under which neurons spike; states start at their constants. */
export function lively(graph: Graph, seed: number): Map<string, Float32Array> {
  const weights = initialParameters(graph, seed);
  for (const { key, role } of graph.parameters) {
    if (role === 'weight' || role === 'bias')
      weights.set(
        key,
        weights.get(key)!.map((v) => 8 * v + 1),
      );
  }
  return weights;
}
