import type { Deployment } from '../../passes/deploy.ts';
import { productOf } from '../../passes/deployPopulation.ts';
import type { Tensors } from '../target.ts';
import { firstName } from './inferenceLayer.ts';
import { initialName } from './layer.ts';

/**
 * What a pass of evaluation starts from, by the program's inputs, each [batch, size]: states and their products. Where
 * `given` ([rows, size] by the states' keys) has none, those in `values` count for all rows.
 */
export function evaluationStates(
  { graph, populations }: Deployment,
  values: Tensors,
  given: Tensors,
  batch: number,
): Map<string, Float32Array> {
  const inputs = new Map<string, Float32Array>();
  for (const node of graph.nodes) {
    const deployed = populations.get(node.id);
    if (node.kind !== 'population' || !deployed) continue;
    const { size, initialStates } = node;
    const write = (name: (direction: number) => string, rows: Float32Array | undefined, fixed: string) => {
      for (let direction = 0; direction < (node.bidirectional ? 2 : 1); direction++) {
        const of = (all: Float32Array, count: number) =>
          all.subarray(direction * count * size, (direction + 1) * count * size);
        inputs.set(name(direction), rows ? of(rows, batch) : repeated(of(values.get(fixed) as Float32Array, 1), batch));
      }
    };
    for (const { name } of node.step.states) {
      const key = initialStates[name];
      write((direction) => initialName(node, name, direction), given.get(key), key);
    }
    for (const { key, state, matrix } of deployed.firstProducts.values()) {
      const rows = given.get(initialStates[state]);
      const products = rows && productOf(values.get(matrix) as Float32Array, rows, size);
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
