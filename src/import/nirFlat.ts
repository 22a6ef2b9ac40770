import { isGraph, type NirEdge, type NirGraph, type NirPrimitive } from '../targets/nir/graph.ts';
import { invalid, unsupported } from './nirProblem.ts';

/** A graph without graphs in it: where there was one, its `Input` and `Output` pass signals on unchanged. */
export interface FlatGraph {
  readonly nodes: ReadonlyMap<string, NirPrimitive>;
  /** By node, the nodes whose outputs it adds up. */
  readonly inputsOf: ReadonlyMap<string, readonly string[]>;
  readonly input: string;
  readonly output: string;
  /** What a node is called in messages and, made a name, in the spec. */
  readonly titles: ReadonlyMap<string, string>;
}

/** Nodes of nested graphs that only pass on. */
const passing = new Set(['Input', 'Output', 'Flatten', 'Affine', 'Linear', 'Scale']);

/** Throws UserError SP872 where edges or ports do not fit, SP873 where there are several inputs or outputs. */
export function flatten(graph: NirGraph, path: string): FlatGraph {
  const flat = new Flattening(path);
  const { input, output } = flat.add(graph, 'the network', '');
  const inputsOf = new Map([...flat.nodes.keys()].map((name) => [name, [] as string[]]));
  for (const [from, to] of flat.edges) inputsOf.get(to)?.push(from);
  return { nodes: flat.nodes, inputsOf, input, output, titles: flat.titles };
}

class Flattening {
  readonly nodes = new Map<string, NirPrimitive>();
  readonly edges: NirEdge[] = [];
  readonly titles = new Map<string, string>();
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Adds a graph's nodes under `prefix`; returns what its inputs and outputs are called then. */
  add(graph: NirGraph, title: string, prefix: string): { input: string; output: string } {
    // By name in the file, what an edge to it and one from it mean.
    const entries = new Map<string, string>();
    const exits = new Map<string, string>();
    const neurons = [...graph.nodes].filter(([, node]) => !passing.has(node.type));
    for (const [name, node] of graph.nodes) {
      const full = prefix + name;
      if (isGraph(node)) {
        const ports = this.add(node, `the graph "${full}"`, `${full}.`);
        entries.set(name, ports.input);
        exits.set(name, ports.output);
        continue;
      }
      const key = this.unique(full);
      // A layer and its recurrence are often a graph of their own, which has the better name.
      const alone = prefix !== '' && neurons.length === 1 && neurons[0][0] === name;
      this.titles.set(key, alone ? prefix.slice(0, -1) : full);
      this.nodes.set(key, node);
      entries.set(name, key);
      exits.set(name, key);
    }
    for (const [from, to] of graph.edges) {
      const [start, end] = [exits.get(from), entries.get(to)];
      if (start === undefined) throw this.noSuchNode(from, title);
      if (end === undefined) throw this.noSuchNode(to, title);
      this.edges.push([start, end]);
    }
    return { input: this.port(graph, 'Input', title, entries), output: this.port(graph, 'Output', title, exits) };
  }

  /** A name with a point in it may be what a node of a nested graph is called already. */
  private unique(name: string): string {
    return this.nodes.has(name) ? this.unique(`${name}'`) : name;
  }

  private port(graph: NirGraph, type: 'Input' | 'Output', title: string, keys: ReadonlyMap<string, string>): string {
    const ports = [...graph.nodes].filter(([, node]) => node.type === type).map(([name]) => name);
    if (ports.length === 1) return keys.get(ports[0]) as string;
    if (ports.length === 0) throw invalid(this.path, `${title} has no node of the type ${type}`);
    throw unsupported(this.path, [
      `${title} has ${ports.length} nodes of the type ${type}, and a network here has one`,
    ]);
  }

  private noSuchNode(name: string, title: string) {
    return invalid(this.path, `an edge of ${title} names the node "${name}", which is not there`);
  }
}
