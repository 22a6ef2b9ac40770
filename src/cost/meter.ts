import type { Batch } from '../data/batch.ts';
import { nodeById, type PopulationNode, type ProjectionNode } from '../ir/graph.ts';
import type { Values } from '../targets/reference/nodes.ts';
import type { CompiledModel, StepResult, Tensors } from '../targets/target.ts';
import { connectionSparsity, type Matrix, projectionMatrix, recurrentMatrix } from './connections.ts';
import { ActivationCounts, type Costs } from './costs.ts';
import {
  butFirst,
  butLast,
  type Columns,
  countUpdates,
  countZeros,
  forEachRow,
  Operations,
  validRanges,
} from './count.ts';
import type { ProbedGraph, RecurrentProduct } from './probes.ts';
import { NodeValues } from './values.ts';

type Projection = Matrix & { readonly node: ProjectionNode };
type Recurrence = Matrix & { readonly product: RecurrentProduct };

/** Evaluates a model of a probed graph, and counts what it does. */
export class CostMeter {
  private readonly model: CompiledModel;
  private readonly probed: ProbedGraph;
  private readonly weights: Tensors;
  private readonly parameters: Values;
  private readonly projections: readonly Projection[];
  private readonly recurrences: readonly Recurrence[];
  private readonly matrices: readonly Matrix[];
  private readonly operations = new Operations();
  private readonly activations = new ActivationCounts();
  private updates = 0;
  private samples = 0;

  /** `weights` are all parameters and buffers of the model. */
  constructor(model: CompiledModel, probed: ProbedGraph, weights: Tensors) {
    const { network, products } = probed;
    this.model = model;
    this.probed = probed;
    this.weights = weights;
    this.parameters = new Map([...weights].map(([key, values]) => [key, Float64Array.from(values)]));
    this.projections = network.nodes
      .filter((node) => node.kind === 'projection')
      .map((node) => ({ node, ...projectionMatrix(network, node, weights) }));
    this.recurrences = products.map((product) => ({ product, ...recurrentMatrix(product, weights) }));
    // A matrix that is used twice has its connections once.
    const distinct = new Map(
      this.recurrences.map((matrix) => [`${matrix.product.population.id} ${matrix.product.matrix.id}`, matrix]),
    );
    this.matrices = [...this.projections, ...distinct.values()];
  }

  async evaluate(batch: Batch): Promise<StepResult> {
    const { network, membranes } = this.probed;
    const result = await this.model.evaluate(batch, { wantTraces: true });
    const values = new NodeValues(network, this.parameters, result.traces as Tensors, batch);
    for (const node of network.nodes) {
      if (node.kind !== 'population') continue;
      const { zeros, all } = countZeros(values.columns(node.id), validRanges(batch));
      this.activations.add(node.layer, zeros, all);
    }
    for (const projection of this.projections) this.countProjection(projection, values, batch);
    for (const recurrence of this.recurrences) this.countRecurrence(recurrence, values, batch);
    for (const { population, trace } of membranes) {
      for (const columns of directionsOf(population, trace, values)) {
        this.updates += countUpdates(columns, validRanges(batch));
      }
    }
    this.samples += batch.size;
    return result;
  }

  /** Of all batches so far. */
  costs(): Costs {
    const { dense, macs, acs } = this.operations;
    const perSample = (total: number) => total / this.samples;
    return {
      footprint: [...this.weights.values()].reduce((bytes, values) => bytes + values.byteLength, 0),
      connectionSparsity: connectionSparsity(this.matrices),
      activationSparsity: this.activations.overall(),
      activationSparsityByLayer: this.activations.byLayer(),
      synapticOperations: { dense: perSample(dense), effectiveMacs: perSample(macs), effectiveAcs: perSample(acs) },
      membraneUpdates: perSample(this.updates),
    };
  }

  dispose(): void {
    this.model.dispose();
  }

  private countProjection({ node, outputs, fanOut }: Projection, values: NodeValues, batch: Batch): void {
    const { operations } = this;
    const pooled = { size: batch.size, steps: 1 };
    const ranges = validRanges(node.type.time ? batch : pooled);
    const { input } = batch;
    if (nodeById(this.probed.network, node.input).kind === 'source' && input.kind === 'events') {
      const rows = { steps: batch.steps, stride: 1, first: 0 };
      forEachRow(rows, ranges, (row) => void operations.addEvents(input, row, fanOut, outputs));
    } else {
      const columns = values.columns(node.input);
      forEachRow(columns, ranges, (start) => void operations.addProduct(columns.values, start, fanOut, outputs));
    }
  }

  private countRecurrence({ product, outputs, fanOut }: Recurrence, values: NodeValues, batch: Batch): void {
    const { population, trace, before } = product;
    const { operations } = this;
    const ranges = validRanges(batch);
    directionsOf(population, trace, values).forEach((columns, direction) => {
      const count = (start: number) => void operations.addProduct(columns.values, start, fanOut, outputs);
      if (before) {
        // The first product is with the initial state, the others with the state after the step before, in the
        // direction's own order of time.
        const initial = this.weights.get(population.initialStates[before.name]) as Float32Array;
        for (const _ of ranges) operations.addProduct(initial, direction * population.size, fanOut, outputs);
        forEachRow(columns, ranges.map(direction === 0 ? butLast : butFirst), count);
      } else forEachRow(columns, ranges, count);
    });
  }
}

/** The columns of a population's trace, by direction. */
function directionsOf({ size, bidirectional }: PopulationNode, trace: string, values: NodeValues): Columns[] {
  return bidirectional ? [0, 1].map((d) => values.direction(trace, size, 2, d)) : [values.direction(trace, size, 1, 0)];
}
