import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Tensors } from '../target.ts';
import { rateOutput } from './interface.ts';
import { type LoadedFile, loadFile, type OnnxModelInfo, type OnnxOptions } from './load.ts';

export interface StreamResult {
  /** Of the steps gathered so far, [batch, classes]. */
  readonly scores: Float32Array;
  /** Mean activity over the chunk's steps that count, by layer, [batch, features]. */
  readonly firingRates: Tensors;
  /** [batch, time, features], where the model gives a sequence. */
  readonly output?: Float32Array;
}

export interface OnnxStream {
  readonly info: OnnxModelInfo;
  /**
   * Feeds the next time steps of every row: `x` is [batch, time, features] row-major. The states go on from those of the
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
  return new LoadedStream(await loadFile(path, 'step', options));
}

class LoadedStream implements OnnxStream {
  readonly info: OnnxModelInfo;
  private readonly session: InferenceSession;
  private readonly defaults: Record<string, Tensor>;
  private states: Record<string, Tensor> = {};
  private rows = 0;

  constructor({ session, info, defaults }: LoadedFile) {
    this.session = session;
    this.info = info;
    this.defaults = Object.fromEntries(defaults);
  }

  async feed(x: Float32Array, batch = 1, reset?: readonly boolean[]): Promise<StreamResult> {
    const { features, layers } = this.info;
    const steps = x.length / (batch * features);
    if (!Number.isInteger(steps) || steps < 1) {
      const message = `a chunk has ${x.length} numbers but the model takes a multiple of ${batch} x ${features} (batch, features); give whole time steps`;
      throw new UserError('SP624', message);
    }
    if (batch !== this.rows) this.restart();
    this.rows = batch;
    const chunk = {
      x: new Tensor('float32', x, [batch, steps, features]),
      ...(reset && { reset: new Tensor('bool', Uint8Array.from(reset, Number), [batch]) }),
    };
    const results = await this.session.run({ ...this.defaults, ...this.states, ...chunk });
    const finals = this.session.outputNames.filter((name) => name.startsWith('final.'));
    this.states = Object.fromEntries(finals.map((name) => [name.replace('final.', 'state.'), results[name] as Tensor]));
    const values = (name: string) => results[name].data as Float32Array;
    return {
      scores: values('scores'),
      firingRates: new Map(layers.map(({ layer }) => [layer, values(rateOutput(layer))])),
      ...('output' in results && { output: values('output') }),
    };
  }

  restart(): void {
    this.states = {};
  }

  dispose(): Promise<void> {
    return this.session.release();
  }
}
