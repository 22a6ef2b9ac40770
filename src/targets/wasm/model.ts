import type { Batch } from '../../data/batch.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Graph } from '../../ir/graph.ts';
import { initialParameters } from '../draws.ts';
import type {
  CompiledModel,
  CompileOptions,
  Execution,
  ForwardRequest,
  StepResult,
  Tensors,
  TrainRequest,
} from '../target.ts';
import type { Buffer, Run } from './call.ts';
import { evaluationStates } from './evaluationStates.ts';
import { InputWriter } from './inputs.ts';
import { gibibytes, Machine, memoryThere } from './machine.ts';
import { concatenated, joined } from './microBatches.ts';
import { type FedProgram, ModelCode, type WasmOptions } from './modelCode.ts';
import { penalty, readOutputs, readScores } from './outputs.ts';
import { type Part, StepPlanner } from './stepPlan.ts';

/** Where the optimiser's state says how many parts steps are computed in. */
const partsKey = 'micro_batches';

export class WasmModel implements CompiledModel {
  readonly backend: string;
  private readonly graph: Graph;
  private readonly options: CompileOptions;
  private readonly code: ModelCode;
  private readonly machine: Machine;
  private readonly initialStates: Map<string, Float32Array>;
  private readonly planner: StepPlanner;
  private readonly inputs: InputWriter;
  private step = 0;
  /** Null where parameters have changed since evaluation last needed them. */
  private deployed: Tensors | null = null;

  private constructor(
    graph: Graph,
    options: CompileOptions,
    code: ModelCode,
    machine: Machine,
    initial: Tensors,
    memory: number,
    backend: string,
  ) {
    this.graph = graph;
    this.options = options;
    this.code = code;
    this.machine = machine;
    this.backend = backend;
    this.initialStates = new Map(
      graph.parameters.filter((p) => p.role === 'initialState').map((p) => [p.key, initial.get(p.key)!]),
    );
    this.planner = new StepPlanner(graph, code, memory);
    this.inputs = new InputWriter(graph, options.seed, machine);
    const { address, count } = code.onesAt;
    machine.floats.fill(1, address / 4, address / 4 + count);
    this.load(initial);
  }

  static async create(graph: Graph, options: CompileOptions, wasm: WasmOptions): Promise<WasmModel> {
    const { threads } = wasm;
    const code = new ModelCode(graph, options, wasm);
    const memory = options.memoryLimit ?? memoryThere();
    requireRoomForParameters(code, memory);
    const starting = Machine.start(code.kernels.module.assemble(), code.arena, threads);
    // Drawn while the threads start.
    const initial = initialParameters(graph, options.seed);
    const machine = await starting;
    const backend = `WebAssembly (${threads} ${threads === 1 ? 'thread' : 'threads'})`;
    return new WasmModel(graph, options, code, machine, initial, memory, backend);
  }

  get execution(): Execution {
    return { microBatches: this.planner.microBatches, relaxedSimd: this.code.kernels.relaxedSimd };
  }

  async trainStep(batch: Batch, request: TrainRequest): Promise<StepResult> {
    const before = this.planner.microBatches;
    const parts = this.planner.training(batch, request);
    if (this.planner.microBatches > before) this.options.onNotice?.(inParts(parts.length));
    this.step++;
    this.deployed = null;
    const run = this.runOf(batch, request);
    const result = parts.length === 1 ? this.trainOn(parts[0], run) : this.trainOnParts(parts, run);
    const loss = request.outputWeights
      ? dot(result.output!, request.outputWeights)
      : result.loss + penalty(this.graph, result);
    const gradients = request.wantGradients ? this.vector(this.code.vectors.gradients) : undefined;
    return { ...result, loss, gradients, output: request.wantOutput ? result.output : undefined };
  }

  async evaluate(batch: Batch, request: ForwardRequest = {}): Promise<StepResult> {
    const parts = this.planner.evaluation(batch, request);
    const run = this.runOf(batch);
    const results = parts.map((part) => this.evaluateOn(part, run));
    return results.length === 1 ? results[0] : joined(results);
  }

  async predict(batch: Batch): Promise<Float32Array> {
    const run = this.runOf(batch);
    const scores = this.planner.prediction(batch).map(({ batch, pass }) => {
      this.runForward(pass, batch, {}, run);
      return readScores(this.machine.floats, this.graph, pass);
    });
    return scores.length === 1 ? scores[0] : concatenated(scores);
  }

  async parameters(): Promise<Map<string, Float32Array>> {
    return this.currentParameters();
  }

  private currentParameters(): Map<string, Float32Array> {
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
    this.deployed = null;
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
    if (this.planner.microBatches > 1) state.set(partsKey, Float32Array.of(this.planner.microBatches));
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
    this.planner.microBatches = state.get(partsKey)?.[0] ?? 1;
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

  // Running passes

  private trainOn({ batch, request, pass }: Part<TrainRequest>, run: Run): StepResult {
    this.machine.reserve(pass.program);
    this.inputs.writeBatch(pass, batch);
    this.inputs.writeTrainingDraws(pass, batch, request);
    this.machine.run(pass.program, run, pass.helped);
    return readOutputs(this.machine.floats, this.graph, pass, batch, request);
  }

  private trainOnParts(parts: readonly Part<TrainRequest>[], run: Run): StepResult {
    const { gradients, size } = this.code.vectors;
    const start = (gradients.address as number) / 4;
    const sum = new Float32Array(size);
    const results = parts.map((part) => {
      const result = this.trainOn(part, run);
      const own = this.machine.floats.subarray(start, start + size);
      for (let i = 0; i < size; i++) sum[i] += own[i];
      return result;
    });
    this.machine.floats.set(sum, start);
    this.machine.run(this.code.updateProgram(), run, true);
    return joined(results);
  }

  private evaluateOn({ batch, request, pass }: Part<ForwardRequest>, run: Run): StepResult {
    this.runForward(pass, batch, request, run);
    return readOutputs(this.machine.floats, this.graph, pass, batch, request);
  }

  private runForward(pass: FedProgram, batch: Batch, { initialStates }: ForwardRequest, run: Run): void {
    this.machine.reserve(pass.program);
    const values = this.deployedValues();
    this.inputs.writeBatch(pass, batch);
    this.inputs.writePools(pass, batch);
    const states = evaluationStates(this.code.deployment, values, initialStates ?? new Map(), batch.size);
    for (const [name, rows] of states) this.inputs.write(pass, name, rows);
    this.machine.run(pass.program, run, pass.helped);
  }

  /** The values of the deployed graph's parameters, which follow from those of the network. */
  private deployedValues(): Tensors {
    if (this.deployed) return this.deployed;
    const { deployment, deployed } = this.code;
    const { floats } = this.machine;
    this.deployed = deployment.values(this.currentParameters());
    for (const key of deployed.entries.keys()) deployed.write(floats, key, this.deployed.get(key) as Float32Array);
    this.machine.forgetConstants();
    return this.deployed;
  }

  private runOf(batch: Batch, { epoch, learningRate } = { epoch: 0, learningRate: 0 }): Run {
    const { seed } = this.options;
    return { samples: batch.size, validSteps: validSteps(batch), learningRate, step: this.step, seed, epoch };
  }
}

function requireRoomForParameters({ arena }: ModelCode, memory: number): void {
  if (arena <= memory) return;
  const message = `the parameters with their gradients and moments need ${gibibytes(arena)} on the target "wasm", and there are ${gibibytes(memory)}; make the network smaller`;
  throw new UserError('SP605', message);
}

function inParts(count: number): string {
  return (
    `a training step does not fit into the memory there is, so it is computed in ${count} parts with summed gradients: ` +
    'the same step up to rounding'
  );
}

function validSteps({ size, steps, lengths }: Batch): number {
  return lengths ? lengths.reduce((a, b) => a + b, 0) : size * steps;
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
