import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Tensors } from '../target.ts';
import type { OnnxModelInfo } from './info.ts';
import { activityOutput, rateOutput } from './interface.ts';
import { type LoadedFile, loadFile, type OnnxOptions } from './load.ts';
import { nextSoundState, soundState } from './sound/features.ts';
import { nextStateVector, sizeOf, stateVector } from './stateVector.ts';
import { silentSteps } from './stream.ts';

export interface StreamResult {
  /** Of the steps gathered so far, [batch, classes]. */
  readonly scores: Float32Array;
  /** Time steps of the chunk; of sound, the frames that it completed. */
  readonly steps: number;
  /** [batch, time, features], where the model gives a sequence. */
  readonly output?: Float32Array;
  /** What the network saw of the sound, [batch, time, features]. */
  readonly features?: Float32Array;
  /** Of models with a silence gate: steps without an event in a row so far, [batch]; where they close it, all of them. */
  readonly silentSteps?: Float32Array;
  /** Of models exported with `--record`: each layer's output, [batch, time, features], by layer. */
  readonly activity: Tensors;
}

export interface OnnxStream {
  readonly info: OnnxModelInfo;
  /**
   * Feeds the next time steps of every row: `x` is [batch, time, features] row-major, or [batch, samples] of sound. The states go on from those of the
   * last call, or start afresh in the first one, in the rows where `reset` is true, after `restart` and where the batch has
   * another size. Throws UserError SP624 where `x` is not of that size.
   */
  feed(x: Float32Array, batch?: number, reset?: readonly boolean[]): Promise<StreamResult>;
  /** The next chunk begins a new stream in every row. */
  restart(): void;
  dispose(): Promise<void>;
}

/** Loads a model that was exported with `--mode step`. Throws UserError SP621, SP622 or SP623. */
export async function openOnnxStream(path: string, options: OnnxOptions = {}): Promise<OnnxStream> {
  return streamModel(await loadFile(path, 'step', options));
}

export function streamModel(file: LoadedFile): OnnxStream {
  return new LoadedStream(file);
}

class LoadedStream implements OnnxStream {
  readonly info: OnnxModelInfo;
  private readonly session: InferenceSession;
  private readonly run: LoadedFile['run'];
  private readonly defaults: Record<string, Tensor>;
  /** All but the firing rates: each takes time. */
  private readonly outputs: readonly string[];
  private readonly activities: readonly (readonly [layer: string, output: string])[];
  /** Where the state vector has the silent steps; null without a silence gate. */
  private readonly silent: number | null;
  private states: Record<string, Tensor> = {};
  private rows = 0;

  constructor({ session, run, info, defaults }: LoadedFile) {
    this.session = session;
    this.run = run;
    this.info = info;
    this.defaults = Object.fromEntries(defaults);
    const rates = new Set(info.layers.map(({ layer }) => rateOutput(layer)));
    this.outputs = session.outputNames.filter((name) => !rates.has(name));
    this.activities = info.layers
      .map(({ layer }) => [layer, activityOutput(layer)] as const)
      .filter(([, output]) => session.outputNames.includes(output));
    this.silent = offsetIn(info.state ?? [], silentSteps);
  }

  async feed(x: Float32Array, batch = 1, reset?: readonly boolean[]): Promise<StreamResult> {
    const shape = this.shapeOf(x, batch);
    if (batch !== this.rows) this.restart();
    this.rows = batch;
    const chunk = {
      x: new Tensor('float32', x, shape),
      ...(reset && { reset: new Tensor('bool', Uint8Array.from(reset, Number), [batch]) }),
    };
    const results = await this.run({ ...this.defaults, ...this.states, ...chunk }, this.outputs);
    this.states = nextStates(results);
    const values = (name: string) => results[name].data as Float32Array;
    return {
      scores: values('scores'),
      activity: new Map(this.activities.map(([layer, name]) => [layer, values(name)])),
      steps: shape.length === 3 ? shape[1] : results.features.dims[1],
      ...('output' in results && { output: values('output') }),
      ...(this.silent !== null && { silentSteps: columnOf(results[nextStateVector], this.silent) }),
      ...('features' in results && { features: values('features') }),
    };
  }

  private shapeOf(x: Float32Array, batch: number): number[] {
    const { features, input } = this.info;
    const unit = input === 'waveform' ? 1 : features;
    const count = x.length / (batch * unit);
    if (Number.isInteger(count) && count >= 1) return input === 'waveform' ? [batch, count] : [batch, count, features];
    const message =
      input === 'waveform'
        ? `a chunk has ${x.length} samples but the model takes a multiple of ${batch} (batch); give each row as many samples`
        : `a chunk has ${x.length} numbers but the model takes a multiple of ${batch} x ${features} (batch, features); give whole time steps`;
    throw new UserError('SP624', message);
  }

  restart(): void {
    this.states = {};
  }

  dispose(): Promise<void> {
    return this.session.release();
  }
}

function nextStates(results: Record<string, Tensor>): Record<string, Tensor> {
  const next = { [stateVector]: results[nextStateVector] };
  return nextSoundState in results ? { ...next, [soundState]: results[nextSoundState] } : next;
}

function offsetIn(state: NonNullable<OnnxModelInfo['state']>, name: string): number | null {
  const index = state.findIndex((part) => part.name === name);
  return index < 0 ? null : state.slice(0, index).reduce((sum, part) => sum + sizeOf(part), 0);
}

/** A column of [batch, width]. */
function columnOf({ data, dims: [batch, width] }: Tensor, column: number): Float32Array {
  return Float32Array.from({ length: batch }, (_, row) => (data as Float32Array)[row * width + column]);
}
