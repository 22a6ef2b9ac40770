import { stringify } from 'yaml';
import { type Compiled, compileSource } from './compile.ts';
import type { Batch } from './data/batch.ts';
import { UserError } from './diagnostics/diagnostic.ts';
import { type Graph, nodeById } from './ir/graph.ts';
import { selectTarget } from './targets/select.ts';
import type { CompiledModel, Tensors } from './targets/target.ts';
import { compileOptions } from './train/run.ts';

/** Values with their shape [batch, time, features], row-major. */
export interface PlainTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | readonly number[];
}

/** What a TensorFlow.js tensor offers; any object that does will do. */
export interface TensorLike {
  readonly shape: readonly number[];
  data(): Promise<ArrayLike<number>>;
}

export interface ModelOutput {
  /** What the network gives: [batch, classes], or [batch, time, features] where it has no pool. */
  readonly output: { readonly shape: readonly number[]; readonly values: Float32Array };
  /** Class scores, [batch, classes]; of a sequence, its mean over time (or as the loss pools it). */
  readonly scores: { readonly shape: readonly number[]; readonly values: Float32Array };
  /** By spiking layer: the mean over batch and time of each neuron's output. */
  readonly firingRates: Tensors;
}

export interface ModelOptions {
  /** As `--target`. */
  readonly target?: string;
  /** As `--set`. */
  readonly sets?: readonly string[];
  /** Folder that relative paths in the spec are relative to. */
  readonly folder?: string;
}

/** A network that a program calls on tensors of its own, in evaluation mode. */
export class Model {
  readonly spec: Compiled;
  private readonly compiled: CompiledModel;

  constructor(spec: Compiled, compiled: CompiledModel) {
    this.spec = spec;
    this.compiled = compiled;
  }

  /**
   * Runs the network on inputs [batch, time, features], which need not be binary. `lengths` gives each sample's number
   * of valid time steps.
   *
   * @throws UserError SP835 where the shape or the lengths do not fit.
   */
  async call(input: PlainTensor | TensorLike, lengths?: readonly number[]): Promise<ModelOutput> {
    const { graph } = this.spec;
    const batch = await this.batchOf(input, lengths);
    const { size, steps } = batch;
    const result = await this.compiled.evaluate(batch, { wantOutput: true });
    const { type } = nodeById(graph, graph.output);
    const spiking = graph.layers.filter((l) => l.spiking).map((l) => l.layer);
    return {
      output: {
        shape: type.time ? [size, steps, type.features] : [size, type.features],
        values: result.output as Float32Array,
      },
      scores: { shape: [size, graph.classes], values: result.scores },
      firingRates: new Map([...result.firingRates].filter(([layer]) => spiking.includes(layer))),
    };
  }

  /**
   * The class scores that `call` gives, [batch, classes], and nothing else: sooner, above all for single samples.
   *
   * @throws UserError SP835 where the shape or the lengths do not fit.
   */
  async predict(input: PlainTensor | TensorLike, lengths?: readonly number[]): Promise<ModelOutput['scores']> {
    const batch = await this.batchOf(input, lengths);
    return { shape: [batch.size, this.spec.graph.classes], values: await this.compiled.predict(batch) };
  }

  private async batchOf(input: PlainTensor | TensorLike, lengths?: readonly number[]): Promise<Batch> {
    const { features } = this.spec.data;
    const [size, steps, given] = input.shape;
    if (input.shape.length !== 3 || given !== features || size < 1 || steps < 1) {
      const message = `the input must have the shape [batch, time, ${features}], not [${input.shape.join(', ')}]`;
      throw new UserError('SP835', message);
    }
    const values = Float32Array.from('data' in input ? await input.data() : input.values);
    if (values.length !== size * steps * features) {
      const message = `the shape [${input.shape.join(', ')}] has ${size * steps * features} values, but ${values.length} were given`;
      throw new UserError('SP835', message);
    }
    if (lengths) requireLengths(lengths, size, steps);
    return {
      size,
      steps,
      features,
      input: { kind: 'dense', values },
      labels: new Int32Array(size),
      samples: Int32Array.from({ length: size }, (_, i) => i),
      ...(lengths && { lengths: Int32Array.from(lengths) }),
    };
  }

  /** All parameters and buffers by key (`snn.0.W.weight`, ...), as checkpoints hold them. */
  parameters(): Promise<Map<string, Float32Array>> {
    return this.compiled.parameters();
  }

  /**
   * Replaces all parameters and buffers.
   *
   * @throws UserError SP602 where some are missing, unknown, or of another size.
   */
  load(parameters: Tensors): void {
    requireParameters(this.spec.graph, parameters);
    this.compiled.load(parameters);
  }

  dispose(): void {
    this.compiled.dispose();
  }
}

/** Whatever is wrong is said before anything was replaced. */
function requireParameters(graph: Graph, parameters: Tensors): void {
  const missing = graph.parameters.filter((p) => !parameters.has(p.key)).map((p) => `"${p.key}"`);
  if (missing.length > 0) {
    const more = missing.length > 3 ? ` and ${missing.length - 3} more` : '';
    const message = `the weights lack ${missing.slice(0, 3).join(', ')}${more}; give all of them (parameters() has the model's own)`;
    throw new UserError('SP602', message);
  }
  const sizes = new Map(graph.parameters.map((p) => [p.key, p.shape.reduce((product, n) => product * n, 1)]));
  for (const [key, { length }] of parameters) {
    const size = sizes.get(key);
    if (length === size) continue;
    const message =
      size === undefined
        ? `this model has no parameter "${key}"; load weights of the same model`
        : `the parameter "${key}" has ${length} values; this model needs ${size} values`;
    throw new UserError('SP602', message);
  }
}

function requireLengths(lengths: readonly number[], size: number, steps: number): void {
  const fits = lengths.length === size && lengths.every((n) => Number.isInteger(n) && n >= 1 && n <= steps);
  if (fits) return;
  const message = `lengths must be ${size} whole numbers from 1 to ${steps}, one for each sample, not [${lengths.join(', ')}]`;
  throw new UserError('SP835', message);
}

/**
 * Builds a freshly initialised model from a spec: its text, or an object of the same structure. Specs without data of
 * their own name the source `tensor(features=..., classes=...)`.
 *
 * @throws CompileError with everything that is wrong with the spec.
 */
export async function buildModel(spec: string | object, options: ModelOptions = {}): Promise<Model> {
  const text = typeof spec === 'string' ? spec : stringify(spec);
  const compiled = compileSource({ name: 'spec', text, folder: options.folder ?? '.' }, { sets: options.sets });
  const { target } = await selectTarget(options.target ?? 'auto');
  return new Model(compiled, await target.compile(compiled.graph, compileOptions(compiled.experiment)));
}
