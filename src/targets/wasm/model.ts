import type { Batch } from '../../data/batch.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Graph } from '../../ir/graph.ts';
import { initialParameters } from '../draws.ts';
import type { CompiledModel, CompileOptions, ForwardRequest, StepResult, Tensors, TrainRequest } from '../target.ts';
import { InputWriter } from './inputs.ts';
import { Machine } from './machine.ts';
import { ModelCode, type Pass } from './modelCode.ts';
import { penalty, readOutputs } from './outputs.ts';
import { PassCache } from './passes.ts';
import type { Buffer } from './program.ts';

export class WasmModel implements CompiledModel {
  readonly backend: string;
  private readonly graph: Graph;
  private readonly options: CompileOptions;
  private readonly code: ModelCode;
  private readonly machine: Machine;
  private readonly initialStates: Map<string, Float32Array>;
  private readonly passes: PassCache;
  private readonly inputs: InputWriter;
  private step = 0;

  private constructor(graph: Graph, options: CompileOptions, code: ModelCode, machine: Machine, backend: string) {
    this.graph = graph;
    this.options = options;
    this.code = code;
    this.machine = machine;
    this.backend = backend;
    const initial = initialParameters(graph, options.seed);
    this.initialStates = new Map(
      graph.parameters.filter((p) => p.role === 'initialState').map((p) => [p.key, initial.get(p.key)!]),
    );
    this.passes = new PassCache(code, machine);
    this.inputs = new InputWriter(graph, options.seed, machine, this.initialStates);
    const { address, count } = code.onesAt;
    machine.floats.fill(1, address / 4, address / 4 + count);
    this.load(initial);
  }

  static async create(graph: Graph, options: CompileOptions, threads: number): Promise<WasmModel> {
    const code = new ModelCode(graph, options);
    const machine = await Machine.start(code.kernels.module.assemble(), code.arena, threads);
    const backend = `WebAssembly (${threads} ${threads === 1 ? 'thread' : 'threads'})`;
    return new WasmModel(graph, options, code, machine, backend);
  }

  async trainStep(batch: Batch, request: TrainRequest): Promise<StepResult> {
    const pass = this.passes.training(batch, request);
    this.inputs.writeBatch(pass, batch);
    this.inputs.writeTrainingDraws(pass, batch, request);
    this.step++;
    this.run(pass, batch, request.learningRate);
    const result = readOutputs(this.machine.floats, this.graph, pass, batch, request);
    const loss = request.outputWeights
      ? dot(result.output!, request.outputWeights)
      : result.loss + penalty(this.graph, result);
    const gradients = request.wantGradients ? this.vector(this.code.vectors.gradients) : undefined;
    return { ...result, loss, gradients, output: request.wantOutput ? result.output : undefined };
  }

  async evaluate(batch: Batch, request: ForwardRequest = {}): Promise<StepResult> {
    const pass = this.passes.evaluation(batch, request);
    this.inputs.writeBatch(pass, batch);
    this.inputs.writeStates(pass, batch, (key) => request.initialStates?.get(key) ?? null);
    this.run(pass, batch, 0);
    return readOutputs(this.machine.floats, this.graph, pass, batch, request);
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

  private run({ program }: Pass, batch: Batch, learningRate: number): void {
    this.machine.run(program, { validSteps: validSteps(batch), learningRate, step: this.step });
  }
}

function validSteps({ size, steps, lengths }: Batch): number {
  return lengths ? lengths.reduce((a, b) => a + b, 0) : size * steps;
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
