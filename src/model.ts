import { stringify } from 'yaml';
import { type Compiled, compileSource } from './compile.ts';
import type { Batch } from './data/batch.ts';
import { UserError } from './diagnostics/diagnostic.ts';
import { nodeById } from './ir/graph.ts';
import { selectTarget } from './targets/select.ts';
import type { CompiledModel, Tensors } from './targets/target.ts';
import { definitionNamed, optimizers } from './train/definitions.ts';

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
    const { graph, data } = this.spec;
    const [size, steps, features] = input.shape;
    if (input.shape.length !== 3 || features !== data.features || size < 1 || steps < 1) {
      const message = `the input must have the shape [batch, time, ${data.features}], not [${input.shape.join(', ')}]`;
      throw new UserError('SP835', message);
    }
    const values = Float32Array.from('data' in input ? await input.data() : input.values);
    if (values.length !== size * steps * features) {
      const message = `the shape [${input.shape.join(', ')}] has ${size * steps * features} values, but ${values.length} were given`;
      throw new UserError('SP835', message);
    }
    if (lengths) requireLengths(lengths, size, steps);
    const batch: Batch = {
      size,
      steps,
      features,
      input: { kind: 'dense', values },
      labels: new Int32Array(size),
      samples: Int32Array.from({ length: size }, (_, i) => i),
      ...(lengths && { lengths: Int32Array.from(lengths) }),
    };
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

  /** All parameters and buffers by key (`snn.0.W.weight`, ...), as checkpoints hold them. */
  parameters(): Promise<Map<string, Float32Array>> {
    return this.compiled.parameters();
  }

  load(parameters: Tensors): void {
    this.compiled.load(parameters);
  }

  dispose(): void {
    this.compiled.dispose();
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
  const { seed, train } = compiled.experiment;
  const { target } = await selectTarget(options.target ?? 'auto');
  const optimizer = definitionNamed(optimizers, train.optimizer.type).config(train.optimizer.params);
  return new Model(compiled, await target.compile(compiled.graph, { seed, optimizer, clipNorm: train.clipNorm }));
}
