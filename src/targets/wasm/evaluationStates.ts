import type { Graph, PopulationNode } from '../../ir/graph.ts';
import { type Deployment, productOf, scaled } from '../../passes/deploy.ts';
import type { Tensors } from '../target.ts';
import { firstName } from './inferenceLayer.ts';
import { initialName } from './layer.ts';

/**
 * What a pass of evaluation starts from, by the program's inputs, each [batch, size]: the states of the deployed graph and
 * their products, where `given` (by the keys of the network's states, [rows, size]) has none, those in `values` for all rows.
 */
export function evaluationStates(
  network: Graph,
  { graph, populations }: Deployment,
  values: Tensors,
  given: Tensors,
  batch: number,
): Map<string, Float32Array> {
  const inputs = new Map<string, Float32Array>();
  const originals = new Map(network.nodes.map((node) => [node.id, node]));
  for (const node of graph.nodes) {
    const deployed = populations.get(node.id);
    if (node.kind !== 'population' || !deployed) continue;
    const own = (originals.get(node.id) as PopulationNode).initialStates;
    const rowsOf = (state: string): Float32Array | null => {
      const rows = given.get(own[state]);
      const scale = deployed.scales.get(state);
      return rows && scale ? scaled(rows, values.get(scale) as Float32Array) : (rows ?? null);
    };
    const write = (name: (direction: number) => string, rows: Float32Array | null, fixed: string) => {
      const directions = node.bidirectional ? 2 : 1;
      for (let direction = 0; direction < directions; direction++) {
        const perDirection = (count: number) => [direction * count * node.size, (direction + 1) * count * node.size] as const;
        const own = rows
          ? rows.subarray(...perDirection(batch))
          : repeated((values.get(fixed) as Float32Array).subarray(...perDirection(1)), batch);
        inputs.set(name(direction), own);
      }
    };
    for (const { name } of node.step.states) {
      write((direction) => initialName(node, name, direction), rowsOf(name), node.initialStates[name]);
    }
    for (const { key, state, matrix } of deployed.firstProducts.values()) {
      const rows = rowsOf(state);
      const products = rows && productOf(values.get(matrix) as Float32Array, rows, node.size);
      write((direction) => firstName(key, direction), products, key);
    }
  }
  return inputs;
}

function repeated(row: Float32Array, count: number): Float32Array {
  const values = new Float32Array(row.length * count);
  for (let i = 0; i < count; i++) values.set(row, i * row.length);
  return values;
}
