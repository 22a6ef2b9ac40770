import { type Batch, validSteps } from '../../data/batch.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { type Graph, type LayerActivity, nodeById, type PopulationNode, type ReadoutNode } from '../../ir/graph.ts';
import { streamKey } from '../../random/stream.ts';
import { drawDropoutMask, drawInitialStates, initialParameters } from '../draws.ts';
import type { CompiledModel, CompileOptions, ForwardRequest, StepResult, Tensors, TrainRequest } from '../target.ts';
import { addDriver } from './driver.ts';
import { Kernels } from './kernels/kernel.ts';
import { initialName } from './layer.ts';
import { padded, readRows } from './layout.ts';
import { Machine, programEnd } from './machine.ts';
import { Network, type Store, type Variant } from './network.ts';
import { type NeuronKernels, neuronKernels } from './neuron/neuron.ts';
import { ParameterVector } from './parameters.ts';
import { type Buffer, type Program, ProgramBuilder, plan } from './program.ts';
import { rowCount, rowsOf, type Shape, shapeOf } from './shape.ts';
import { addBackward, finishForward, type Results, type Vectors } from './training.ts';

/** A program with what the host writes before it and reads after it. */
interface Pass {
  readonly program: Program;
  readonly results: Results;
  readonly inputs: ReadonlyMap<string, Buffer>;
  readonly output: Buffer | null;
  readonly traces: ReadonlyMap<string, Buffer>;
  readonly shape: Shape;
}

interface PassOptions {
  readonly weighted: boolean;
  readonly wantOutput: boolean;
  readonly wantTraces: boolean;
}

/** A model's kernels, and where its parameters lie. */
export class WasmProgram {
  readonly kernels = new Kernels();
  readonly trained: ParameterVector;
  readonly fixed: ParameterVector;
  readonly vectors: Vectors;
  readonly arena: number;
  /** Where gradients go that nobody asked for: those of frozen parameters of kernels that compute them anyway. */
  private readonly discarded: number;
  private readonly graph: Graph;
  private readonly options: CompileOptions;
  private readonly store: Store;
  private readonly neurons = new Map<string, NeuronKernels>();
  readonly onesAt: { readonly address: number; readonly count: number };

  constructor(graph: Graph, options: CompileOptions) {
    this.graph = graph;
    this.options = options;
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
    this.arena = align(this.discarded + this.fixed.bytes);
    this.store = this.newStore(widest);
    addDriver(this.kernels);
    this.writeAllKernels();
    this.kernels.complete = true;
  }

  /** The calls for a batch of some shape. */
  pass(variant: Variant, options: PassOptions): Pass {
    const { graph } = this;
    const builder = new ProgramBuilder();
    const network = new Network(graph, this.kernels, builder, this.store, variant, (node, affine) =>
      this.neuronsOf(node, affine),
    );
    const results = finishForward(network, graph, options.weighted);
    const output = options.wantOutput || options.weighted ? builder.output(network.arrayOf(graph.output)) : null;
    const populations = options.wantTraces ? graph.nodes.filter((n) => n.kind === 'population') : [];
    const traces = new Map(populations.map((n) => [n.layer, builder.output(network.arrayOf(n.id))]));
    if (variant.training) addBackward(network, graph, this.options, this.vectors, results, options.weighted);
    const inputs = new Map([...builder.inputs].map((b) => [b.name, b]));
    return { program: plan(builder, this.arena), results, inputs, output, traces, shape: variant.shape };
  }

  private neuronsOf(node: PopulationNode | ReadoutNode, affine: readonly boolean[]): NeuronKernels {
    const key = node.id;
    const known = this.neurons.get(key);
    if (known) return known;
    const features = node.kind === 'population' ? node.size : node.type.features;
    const made = neuronKernels(this.kernels, node.layer, node.step, features, affine);
    this.neurons.set(key, made);
    return made;
  }

  /** Kernels are written when a pass asks for them: after every kind of pass was built once, all there are. */
  private writeAllKernels(): void {
    const shape = shapeOf({ size: 1, steps: 1 });
    for (const training of [true, false]) {
      for (const input of ['events', 'dense'] as const) {
        for (const weighted of training ? [false, true] : [false]) {
          for (const draws of training ? [true, false] : [false]) {
            const variant = { shape, training, input, events: 1, lengths: true, drawsStates: draws, drawsMasks: draws };
            this.pass(variant, { weighted, wantOutput: true, wantTraces: true });
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

export class WasmModel implements CompiledModel {
  readonly backend: string;
  private readonly graph: Graph;
  private readonly options: CompileOptions;
  private readonly code: WasmProgram;
  private readonly machine: Machine;
  private readonly initialStates: Map<string, Float32Array>;
  private readonly passes = new Map<string, Pass>();
  private step = 0;

  private constructor(graph: Graph, options: CompileOptions, code: WasmProgram, machine: Machine, backend: string) {
    this.graph = graph;
    this.options = options;
    this.code = code;
    this.machine = machine;
    this.backend = backend;
    const initial = initialParameters(graph, options.seed);
    this.initialStates = new Map(
      graph.parameters.filter((p) => p.role === 'initialState').map((p) => [p.key, initial.get(p.key)!]),
    );
    const { address, count } = code.onesAt;
    machine.floats.fill(1, address / 4, address / 4 + count);
    this.load(initial);
  }

  static async create(graph: Graph, options: CompileOptions, threads: number): Promise<WasmModel> {
    const code = new WasmProgram(graph, options);
    const machine = await Machine.start(code.kernels.module.assemble(), code.arena, threads);
    const backend = `WebAssembly (${threads} ${threads === 1 ? 'thread' : 'threads'})`;
    return new WasmModel(graph, options, code, machine, backend);
  }

  async trainStep(batch: Batch, request: TrainRequest): Promise<StepResult> {
    const pass = this.passFor(batch, request, request);
    this.writeBatch(pass, batch);
    this.writeTrainingDraws(pass, batch, request);
    this.step++;
    this.run(pass, batch, request.learningRate);
    const result = this.read(pass, batch, request);
    const loss = request.outputWeights
      ? dot(result.output!, request.outputWeights)
      : result.loss + this.penalty(result);
    const gradients = request.wantGradients ? this.vector(this.code.vectors.gradients) : undefined;
    return { ...result, loss, gradients, output: request.wantOutput ? result.output : undefined };
  }

  async evaluate(batch: Batch, request: ForwardRequest = {}): Promise<StepResult> {
    const pass = this.passFor(batch, request, null);
    this.writeBatch(pass, batch);
    this.writeStates(pass, batch, (key) => request.initialStates?.get(key) ?? null);
    this.run(pass, batch, 0);
    return this.read(pass, batch, request);
  }

  async parameters(): Promise<Map<string, Float32Array>> {
    const { trained, fixed } = this.code;
    const { floats } = this.machine;
    return new Map(
      this.graph.parameters.map(({ key }) => {
        const initial = this.initialStates.get(key);
        return [key, initial?.slice() ?? (trained.entries.has(key) ? trained : fixed).read(floats, key)];
      }),
    );
  }

  load(parameters: Tensors): void {
    const { trained, fixed } = this.code;
    for (const [key, values] of parameters) {
      const initial = this.initialStates.get(key);
      if (initial && initial.length === values.length) this.initialStates.set(key, values.slice());
      else if (trained.entries.has(key)) trained.write(this.machine.floats, key, values);
      else if (fixed.entries.has(key)) fixed.write(this.machine.floats, key, values);
      else throw new UserError('SP602', `this model has no parameter "${key}"; load weights of the same model`);
    }
  }

  async optimizerState(): Promise<Map<string, Float32Array>> {
    const state = new Map<string, Float32Array>([['step', Float32Array.of(this.step)]]);
    for (const [name, buffer] of this.moments()) {
      for (const [key, values] of this.vector(buffer)) state.set(`${name}.${key}`, values);
    }
    return state;
  }

  loadOptimizerState(state: Tensors): void {
    const entry = (key: string) => {
      const values = state.get(key);
      if (values) return values;
      const message = `the saved optimiser state lacks "${key}"; resume with the optimizer the run was started with`;
      throw new UserError('SP603', message);
    };
    this.step = entry('step')[0];
    const { trained } = this.code;
    for (const [name, buffer] of this.moments()) {
      for (const key of trained.entries.keys()) {
        trained.write(this.machine.floats, key, entry(`${name}.${key}`), buffer.address as number);
      }
    }
  }

  dispose(): void {
    this.machine.dispose();
  }

  /** The optimiser's moments by PyTorch's names. */
  private moments(): [string, Buffer][] {
    const { optimizer } = this.options;
    const { first, second } = this.code.vectors;
    if (optimizer.kind === 'sgd') return optimizer.momentum === 0 ? [] : [['momentum_buffer', first]];
    return [
      ['exp_avg', first],
      ['exp_avg_sq', second],
    ];
  }

  private vector(buffer: Buffer): Map<string, Float32Array> {
    const { trained } = this.code;
    const read = (key: string) => trained.read(this.machine.floats, key, buffer.address as number);
    return new Map([...trained.entries.keys()].map((key) => [key, read(key)]));
  }

  // Running a pass

  private passFor(batch: Batch, request: ForwardRequest, training: TrainRequest | null): Pass {
    const input = batch.input.kind;
    // Room for more events than this batch has spares the next ones a plan of their own.
    const events =
      batch.input.kind === 'events' ? 2 ** Math.ceil(Math.log2(Math.max(1024, batch.input.units.length))) : 0;
    const options = {
      weighted: training?.outputWeights !== undefined,
      wantOutput: request.wantOutput ?? false,
      wantTraces: request.wantTraces ?? false,
    };
    const drawsStates = training !== null && !training.initialStates;
    const drawsMasks = training !== null && !training.dropoutMasks;
    const key = [
      batch.size,
      batch.steps,
      input,
      events,
      !!batch.lengths,
      !!training,
      drawsStates,
      drawsMasks,
      ...Object.values(options),
    ].join();
    const known = this.passes.get(key);
    if (known) return known;
    const variant = {
      shape: shapeOf(batch),
      training: training !== null,
      input,
      events,
      lengths: batch.lengths !== undefined,
      drawsStates,
      drawsMasks,
    };
    const pass = this.code.pass(variant, options);
    this.machine.reserve(pass.program);
    if (this.passes.size >= 16) this.passes.clear();
    this.passes.set(key, pass);
    return pass;
  }

  private run({ program }: Pass, batch: Batch, learningRate: number): void {
    this.machine.run(program, { validSteps: validSteps(batch), learningRate, step: this.step });
  }

  private address(pass: Pass, name: string): number | null {
    const buffer = pass.inputs.get(name);
    return buffer ? pass.program.addressOf(buffer) : null;
  }

  private write(pass: Pass, name: string, values: Float32Array | Int32Array | Uint16Array | Uint32Array): void {
    const address = this.address(pass, name);
    if (address === null) return;
    this.machine.bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), address);
  }

  private writeBatch(pass: Pass, batch: Batch): void {
    const { input, lengths, labels } = batch;
    if (input.kind === 'dense') this.write(pass, 'input', input.values);
    else {
      this.write(pass, 'offsets', input.offsets);
      this.write(pass, 'units', input.units);
      this.write(pass, 'counts', input.counts);
    }
    this.write(pass, 'labels', labels);
    if (lengths) this.write(pass, 'lengths', lengths);
    const { group, chunks } = pass.shape;
    const perChunk = (count: (b: number) => number) =>
      Float32Array.from({ length: chunks }, (_, c) => {
        let total = 0;
        for (let b = c * group; b < Math.min(batch.size, (c + 1) * group); b++) total += count(b);
        return total;
      });
    this.write(
      pass,
      'stepCounts',
      perChunk((b) => lengths?.[b] ?? batch.steps),
    );
    this.write(
      pass,
      'sampleCounts',
      perChunk(() => 1),
    );
  }

  private writeTrainingDraws(pass: Pass, batch: Batch, request: TrainRequest): void {
    const { seed } = this.options;
    const drawn = new Map<string, Float32Array>();
    for (const node of this.graph.nodes) {
      if (node.kind === 'population') {
        if (this.writeStateKeys(pass, batch, node, request.epoch)) continue;
        for (const [key, values] of drawInitialStates(node, batch, seed, request.epoch)) drawn.set(key, values);
      } else if (node.kind === 'dropout') {
        const path = (sample: number) => [seed, 'dropout', request.epoch, sample, node.layer];
        if (this.writeKeys(pass, `mask ${node.id}`, batch, path)) continue;
        const mask = request.dropoutMasks?.get(node.layer) ?? drawDropoutMask(node, batch, seed, request.epoch);
        this.write(pass, `mask ${node.id}`, mask);
      }
    }
    if (request.outputWeights) this.write(pass, 'outputWeights', request.outputWeights);
    this.writeStates(pass, batch, (key) => request.initialStates?.get(key) ?? drawn.get(key) ?? null);
  }

  /** The keys of the streams that the pass draws a layer's states from; false where the host must draw some of them. */
  private writeStateKeys(pass: Pass, batch: Batch, node: PopulationNode, epoch: number): boolean {
    const { seed } = this.options;
    let all = true;
    for (const { name } of node.step.states) {
      for (let direction = 0; direction < (node.bidirectional ? 2 : 1); direction++) {
        const path = (sample: number) => [seed, 'state', epoch, sample, node.layer, name, direction];
        const drawn = this.writeKeys(pass, initialName(node, name, direction), batch, path);
        all &&= drawn;
      }
    }
    return all;
  }

  private writeKeys(pass: Pass, name: string, batch: Batch, path: (sample: number) => (number | string)[]): boolean {
    if (this.address(pass, `keys of ${name}`) === null) return false;
    const keys = Uint32Array.from([...batch.samples].flatMap((sample) => [...streamKey(path(sample))]));
    this.write(pass, `keys of ${name}`, keys);
    return true;
  }

  /** Initial states: what is given for a key, [rows, size], otherwise the model's own for every sample. */
  private writeStates(pass: Pass, batch: Batch, given: (key: string) => Float32Array | null): void {
    for (const node of this.graph.nodes) {
      if (node.kind !== 'population' && node.kind !== 'readout') continue;
      const size = node.kind === 'population' ? node.size : node.type.features;
      const directions = node.kind === 'population' && node.bidirectional ? 2 : 1;
      for (const state of node.step.states) {
        const all = node.kind === 'population' ? given(node.initialStates[state.name]) : null;
        for (let direction = 0; direction < directions; direction++) {
          if (!pass.inputs.has(initialName(node, state.name, direction))) continue;
          const start = direction * batch.size * size;
          const values = all
            ? all.subarray(start, start + batch.size * size)
            : this.ownStates(node, state, batch.size, direction);
          this.write(pass, initialName(node, state.name, direction), values);
        }
      }
    }
  }

  private ownStates(
    node: PopulationNode | ReadoutNode,
    state: PopulationNode['step']['states'][number],
    rows: number,
    direction: number,
  ): Float32Array {
    if (node.kind === 'readout') {
      if (state.initializer.kind !== 'constant') throw new Error('the states of a pool start at constants');
      return new Float32Array(rows * node.type.features).fill(state.initializer.value);
    }
    const { size } = node;
    const fixed = this.initialStates.get(node.initialStates[state.name])!;
    const values = new Float32Array(rows * size);
    for (let row = 0; row < rows; row++)
      values.set(fixed.subarray(direction * size, (direction + 1) * size), row * size);
    return values;
  }

  // Reading results

  private read(pass: Pass, batch: Batch, request: ForwardRequest): StepResult {
    const { graph } = this;
    const { results } = pass;
    const rateOf = (l: LayerActivity) => this.floatsAt(pass, results.rates.get(l.layer)!, l.features);
    const output = pass.output && this.rows(pass, pass.output, nodeById(graph, graph.output).type);
    const traces = [...pass.traces].map(([layer, buffer]) => {
      const node = graph.nodes.find((n) => n.kind === 'population' && n.layer === layer)!;
      return [layer, this.rows(pass, buffer, node.type)] as const;
    });
    return {
      loss: this.floatsAt(pass, results.losses, lossCount(graph, batch)).reduce((sum, l) => sum + l, 0),
      scores: this.rows(pass, results.scores, nodeById(graph, graph.prediction).type),
      firingRates: new Map(graph.layers.map((l) => [l.layer, rateOf(l)])),
      output: output ?? undefined,
      traces: request.wantTraces ? new Map(traces) : undefined,
    };
  }

  private penalty({ firingRates }: StepResult): number {
    const { regularizer } = this.graph.loss;
    if (!regularizer) return 0;
    let total = 0;
    for (const layer of this.graph.layers.filter((l) => l.spiking)) {
      for (const rate of firingRates.get(layer.layer)!) {
        total += Math.max(0, regularizer.min - rate) + Math.max(0, rate - regularizer.max);
      }
    }
    return regularizer.factor * total;
  }

  private floatsAt(pass: Pass, buffer: Buffer, count: number): Float32Array {
    const start = pass.program.addressOf(buffer) / 4;
    return this.machine.floats.slice(start, start + count);
  }

  /** A node's value, [batch, time, features] or [batch, features]. */
  private rows(
    { program, shape }: Pass,
    buffer: Buffer,
    { features, time }: { features: number; time: boolean },
  ): Float32Array {
    const { B, T, S, first } = rowsOf(shape, time);
    const array = this.machine.floats.subarray(program.addressOf(buffer) / 4);
    const rowOf = (i: number) => Math.floor(i / T) * S + first + (i % T);
    return readRows(array, { rows: rowCount(shape, time), features }, B * T, rowOf);
  }
}

function lossCount(graph: Graph, { size, steps }: Batch): number {
  return nodeById(graph, graph.loss.scores).type.time ? size * steps : size;
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
