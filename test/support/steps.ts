import type { PopulationNode } from '../../src/ir/graph.ts';
import type { Step } from '../../src/ir/step.ts';
import { graphOf } from './graphs.ts';

/** The step of a neuron of the library, or of `define`. */
export function stepOf(type: string, define = ''): Step {
  const layers = [{ name: 'h', type, norm: 'none' as const, size: 4, from: ['input'] }];
  const graph = graphOf(layers, { features: 3, classes: 4, define });
  return (graph.nodes.find((n) => n.kind === 'population') as PopulationNode).step;
}
