import type { Batch } from '../../src/data/batch.ts';
import { type Env, evaluate, overRows } from '../../src/ir/evaluate.ts';
import type { Graph, GraphNode, PopulationNode } from '../../src/ir/graph.ts';
import type { Eqn } from '../../src/ir/step.ts';
import type { Stream } from '../../src/random/stream.ts';
import { type Context, merge, projection } from '../../src/targets/reference/nodes.ts';
import { Sequence, Validity } from '../../src/targets/reference/sequence.ts';
import type { Tensors } from '../../src/targets/target.ts';

/**
 * What every spiking layer compared with zero, [time, batch, features] by layer, in evaluation mode, when all spikes are
 * forced to those of `traces` ([batch, time, features] by layer). Layers run forward in time only. `round` is
 * applied to the result of every operation.
 */
export function forcedPotentials(
  graph: Graph,
  parameters: Tensors,
  batch: Batch,
  traces: Tensors,
  round: (value: number) => number = (value) => value,
): Map<string, Sequence> {
  const values = new Map([...parameters].map(([key, value]) => [key, Float64Array.from(value)]));
  const validity = new Validity(batch);
  const context: Context = { parameters: values, gradients: new Map(), validity, training: false, running: new Map() };
  const outputs = new Map<string, Sequence>();
  const potentials = new Map<string, Sequence>();
  const outputOf = (id: string) => outputs.get(id) as Sequence;

  const run = (node: GraphNode): Sequence | null => {
    switch (node.kind) {
      case 'source':
        return Sequence.fromBatch(batch);
      case 'projection':
        return projection(node, outputOf(node.input), context).value.map((v) => round(v));
      case 'dropout':
        return outputOf(node.input);
      case 'merge':
        return merge(node, node.inputs.map(outputOf)).value;
      case 'readout':
        return null;
      case 'population': {
        const trace = traces.get(node.layer);
        if (!trace || node.bidirectional) return null;
        const spikes = Sequence.fromBatchMajor(trace, batch.size, batch.steps, node.size);
        potentials.set(node.layer, runForced(node, node.inputs.map(outputOf), spikes, values, round));
        return spikes;
      }
    }
  };
  for (const node of graph.nodes) {
    const output = run(node);
    if (!output) break;
    outputs.set(node.id, output);
  }
  return potentials;
}

function runForced(
  node: PopulationNode,
  inputs: readonly Sequence[],
  spikes: Sequence,
  parameters: ReadonlyMap<string, Float64Array>,
  round: (value: number) => number,
): Sequence {
  const { step, size } = node;
  const dims = { rows: spikes.rows, features: size };
  const constant: Env = new Map();
  for (const { name, variable } of step.parameters) {
    constant.set(variable.id, parameters.get(node.parameters[name]) as Float64Array);
  }
  const run = (eqn: Eqn, env: Env) => {
    evaluate([eqn], env, dims);
    env.set(
      eqn.out.id,
      (env.get(eqn.out.id) as Float64Array).map((v) => round(v)),
    );
  };
  for (const eqn of step.prelude) run(eqn, constant);
  const potentials = new Sequence(spikes.steps, spikes.rows, size);
  let states: Float64Array[] = step.states.map(({ name }) => {
    const fixed = parameters.get(node.initialStates[name]) as Float64Array;
    return Float64Array.from({ length: spikes.rows * size }, (_, i) => fixed[i % size]);
  });
  for (let t = 0; t < spikes.steps; t++) {
    const env: Env = new Map(constant);
    step.inputs.forEach((input, i) => void env.set(input.variable.id, inputs[i].at(t)));
    step.states.forEach((state, i) => void env.set(state.before.id, states[i]));
    for (const eqn of step.body) {
      if (eqn.prim === 'spike') potentials.at(t).set(overRows(eqn.args[0], env, dims));
      if (eqn.out === step.output && eqn.prim === 'spike') env.set(eqn.out.id, spikes.at(t));
      else run(eqn, env);
    }
    states = step.states.map((state) => overRows(state.after, env, dims));
  }
  return potentials;
}

/** What float32 might make of a result: an error of up to two units in the last place, drawn from `stream`. */
export function randomRounding(stream: Stream): (value: number) => number {
  return (value) => value * (1 + stream.uniform(-1, 1) * 2 ** -23);
}
