import type { Graph, PopulationNode, ReadoutNode } from '../../ir/graph.ts';
import { type Deployment, deploy } from '../../passes/deploy.ts';
import type { CompileOptions } from '../target.ts';
import type { Store, Variant } from './arrays.ts';
import type { Buffer } from './call.ts';
import { addDriver } from './driver.ts';
import { Kernels } from './kernels/kernel.ts';
import { padded } from './layout.ts';
import { programEnd } from './machine.ts';
import { Network } from './network.ts';
import { type NeuronKernels, neuronKernels, type PlannedNeuron } from './neuron/neuron.ts';
import { planForward } from './neuron/plan.ts';
import { ParameterVector } from './parameters.ts';
import { type Program, ProgramBuilder, plan } from './program.ts';
import { type Shape, shapeOf } from './shape.ts';
import { addBackward, addUpdate, finishForward, type Results, type Vectors } from './training.ts';

/** Numbers in the largest matrix from which on one sample alone is work enough for several threads. */
const worthHelp = 1 << 18;

/** A program with what the host writes before it. */
export interface FedProgram {
  readonly program: Program;
  readonly inputs: ReadonlyMap<string, Buffer>;
  readonly shape: Shape;
  /** Whether it is work enough for more than the calling thread. */
  readonly helped: boolean;
}

/** One that gives class scores. */
export interface Prediction extends FedProgram {
  readonly scores: Buffer;
}

/** One that gives everything. */
export interface Pass extends FedProgram {
  readonly results: Results;
  readonly output: Buffer | null;
  readonly traces: ReadonlyMap<string, Buffer>;
}

export interface PassOptions {
  readonly weighted: boolean;
  readonly wantOutput: boolean;
  readonly wantTraces: boolean;
  /** Of a training pass: ends with the optimiser's step. */
  readonly update: boolean;
}

export interface WasmOptions {
  /** Threads to compute with, the calling one included, at most `mostThreads`; results do not depend on it. */
  readonly threads: number;
  /** Whether products of training fuse multiplications and additions, which gives other bits; by default not. */
  readonly relaxedSimd?: boolean;
}

/** A model's kernels, and where its parameters lie. */
export class ModelCode {
  readonly kernels: Kernels;
  readonly trained: ParameterVector;
  readonly fixed: ParameterVector;
  /** What evaluation computes, and its parameters, which follow from those of the network. */
  readonly deployment: Deployment;
  readonly deployed: ParameterVector;
  readonly vectors: Vectors;
  readonly arena: number;
  /** Where gradients go that nobody asked for: those of frozen parameters of kernels that compute them anyway. */
  private readonly discarded: number;
  private readonly graph: Graph;
  private readonly options: CompileOptions;
  private readonly threads: number;
  private readonly store: Store;
  private readonly deployedStore: Store;
  private readonly neurons = new Map<string, NeuronKernels>();
  private readonly plans = new Map<string, PlannedNeuron>();
  private readonly isLarge: boolean;
  readonly onesAt: { readonly address: number; readonly count: number };

  constructor(graph: Graph, options: CompileOptions, { threads, relaxedSimd }: WasmOptions = { threads: 1 }) {
    this.kernels = new Kernels(relaxedSimd);
    this.graph = graph;
    this.options = options;
    this.threads = threads;
    this.isLarge = graph.parameters.some(({ shape }) => shape.reduce((product, n) => product * n, 1) >= worthHelp);
    const stored = graph.parameters.filter((p) => p.role !== 'initialState');
    const align = (address: number) => Math.ceil(address / 4096) * 4096;
    const widest = padded(Math.max(4, ...graph.nodes.map((n) => n.type.features)));
    this.onesAt = { address: programEnd, count: widest };
    this.trained = new ParameterVector(
      stored.filter((p) => p.trainable),
      align(programEnd + widest * 8),
    );
    const { bytes, address, size } = this.trained;
    const vector = (name: string, i: number): Buffer => ({ name, bytes, address: align(address + i * (bytes + 4096)) });
    this.vectors = {
      parameters: vector('parameters', 0),
      gradients: vector('gradients', 1),
      first: vector('first moments', 2),
      second: vector('second moments', 3),
      size,
      runs: this.trained.runs(),
    };
    this.fixed = new ParameterVector(
      stored.filter((p) => !p.trainable),
      align(address + 4 * (bytes + 4096)),
    );
    this.discarded = align(this.fixed.address + this.fixed.bytes);
    this.deployment = deploy(graph);
    this.deployed = new ParameterVector(
      this.deployment.graph.parameters.filter((p) => p.role !== 'initialState'),
      align(this.discarded + this.fixed.bytes),
    );
    this.arena = align(this.deployed.address + this.deployed.bytes);
    this.store = this.newStore(widest);
    this.deployedStore = { ...this.store, parameter: (key) => this.deployed.buffer(key) };
    addDriver(this.kernels);
    this.writeAllKernels();
    this.kernels.complete = true;
  }

  /** The calls for a batch of some shape. */
  pass(variant: Variant, options: PassOptions): Pass {
    const { builder, ...rest } = this.calls(variant, options);
    return { ...this.planned(builder, variant), ...rest };
  }

  private calls(variant: Variant, options: PassOptions) {
    const graph = this.graphFor(variant);
    const { builder, network } = this.forward(variant);
    const results = finishForward(network, graph, options.weighted);
    const output = options.wantOutput || options.weighted ? builder.output(network.arrayOf(graph.output)) : null;
    const populations = options.wantTraces ? graph.nodes.filter((n) => n.kind === 'population') : [];
    const traces = new Map(populations.map((n) => [n.layer, builder.output(network.arrayOf(n.id))]));
    if (variant.training) {
      builder.layer = undefined;
      builder.firstBackward = builder.calls.length;
      addBackward(network, graph, results, options.weighted);
      if (options.update) addUpdate(builder, this.kernels, this.options, this.vectors);
    }
    return { builder, results, output, traces };
  }

  /** The calls that lead to the scores, without losses and rates. */
  prediction(variant: Variant): Prediction {
    const { builder, network } = this.forward(variant);
    const scores = builder.output(network.arrayOf(this.graph.prediction));
    return { ...this.planned(builder, variant), scores };
  }

  private forward(variant: Variant) {
    const builder = new ProgramBuilder(!variant.training);
    const graph = this.graphFor(variant);
    const store = variant.training ? this.store : this.deployedStore;
    const network = new Network(graph, this.kernels, builder, store, variant, this.deployment.populations, {
      trained: (node, affine, asBits) => this.neuronsOf(node, affine, asBits),
      deployed: (node, affine) => this.deployedOf(node, affine),
    });
    return { builder, network };
  }

  private graphFor({ training }: Variant): Graph {
    return training ? this.graph : this.deployment.graph;
  }

  /** How many threads compute a sample of such a batch together. */
  partsFor({ chunks }: Shape): number {
    return this.isLarge ? Math.max(1, Math.floor(this.threads / chunks)) : 1;
  }

  private planned(builder: ProgramBuilder, { shape, training }: Variant): FedProgram {
    const inputs = new Map([...builder.inputs].map((b) => [b.name, b]));
    const helped = training || shape.B > 1 || this.isLarge;
    return { program: plan(builder, this.arena, shape.chunks), inputs, shape, helped };
  }

  /** The optimiser's step alone. */
  updateProgram(): Program {
    const builder = new ProgramBuilder(false);
    addUpdate(builder, this.kernels, this.options, this.vectors);
    return plan(builder, this.arena, 1);
  }

  private neuronsOf(node: PopulationNode | ReadoutNode, affine: readonly boolean[], asBits: boolean): NeuronKernels {
    const known = this.neurons.get(node.id);
    if (known) return known;
    const made = neuronKernels(this.kernels, node.layer, node.step, featuresOf(node), affine, asBits);
    this.neurons.set(node.id, made);
    return made;
  }

  private deployedOf(node: PopulationNode | ReadoutNode, affine: readonly boolean[]): PlannedNeuron {
    const known = this.plans.get(node.id);
    if (known) return known;
    const made = { name: node.layer, plan: planForward(node.step, featuresOf(node), affine) };
    this.plans.set(node.id, made);
    return made;
  }

  /** Kernels are written when a pass asks for them: after every kind of pass was built once, all there are. */
  private writeAllKernels(): void {
    const shape = shapeOf({ size: 1, steps: 1 });
    for (const training of [true, false]) {
      for (const input of ['events', 'dense'] as const) {
        for (const weighted of training ? [false, true] : [false]) {
          for (const draws of training ? [true, false] : [false]) {
            const drawn = { drawsStates: draws, drawsMasks: draws };
            const variant = { shape, training, input, events: 1, lengths: true, parts: 1, ...drawn };
            this.calls(variant, { weighted, wantOutput: true, wantTraces: true, update: true });
          }
        }
      }
    }
  }

  private newStore(widest: number): Store {
    const { trained, fixed, vectors, onesAt, discarded } = this;
    const vector = (name: string, address: number): Buffer => ({ name, bytes: widest * 4, address });
    const ones = vector('ones', onesAt.address);
    const zeros = vector('zeros', onesAt.address + widest * 4);
    return {
      parameter: (key) => (trained.entries.has(key) ? trained : fixed).buffer(key),
      gradient: (key) =>
        trained.entries.has(key)
          ? trained.buffer(key, vectors.gradients.address as number)
          : fixed.buffer(key, discarded),
      isTrained: (key) => trained.entries.has(key),
      ones,
      zeros,
    };
  }
}

const featuresOf = (node: PopulationNode | ReadoutNode): number =>
  node.kind === 'population' ? node.size : node.type.features;
