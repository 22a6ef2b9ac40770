import type { Graph, GraphNode } from '../ir/graph.ts';

export interface LayerRow {
  readonly layer: string;
  /** `RadLIF`, `softmax_sum`, ... */
  readonly kind: string;
  /** Shape of what it gives: `batch x time x 128`. */
  readonly output: string;
  /** Trainable ones. */
  readonly parameters: number;
}

/** What each layer of a network is, in the order of the data. */
export function layerTable(graph: Graph): LayerRow[] {
  const rows = new Map<string, LayerRow>();
  for (const node of graph.nodes) {
    const layer = layerOf(graph, node);
    // The last node of a layer that is more than plumbing names it: a population rather than its projection.
    if (layer !== null) rows.set(layer, row(graph, node, layer));
  }
  return [...rows.values()];
}

function row(graph: Graph, node: GraphNode, layer: string): LayerRow {
  const { features, time } = node.type;
  return {
    layer,
    kind: kindOf(node),
    output: ['batch', ...(time ? ['time'] : []), features].join(' x '),
    parameters: graph.parameters
      .filter((p) => p.trainable && p.layer === layer)
      .reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0),
  };
}

function layerOf(graph: Graph, node: GraphNode): string | null {
  switch (node.kind) {
    case 'population':
    case 'readout':
      return node.layer;
    case 'projection':
      return graph.parameters.find((p) => p.key === node.weight)?.layer ?? null;
    case 'merge':
      return node.id;
    default:
      return null;
  }
}

function kindOf(node: GraphNode): string {
  switch (node.kind) {
    case 'population':
      return node.bidirectional ? `${node.step.name}, bidirectional` : node.step.name;
    case 'readout':
      return node.step.name;
    case 'projection':
      return 'dense';
    case 'merge':
      return node.operation;
    default:
      return node.kind;
  }
}
