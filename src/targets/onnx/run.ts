import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { type Batch, DenseBuffer } from '../../data/batch.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Tensors } from '../target.ts';
import type { OnnxModelInfo } from './info.ts';
import { rateOutput } from './interface.ts';
import { type LoadedFile, loadBytes, loadFile, type OnnxOptions } from './load.ts';
import { batchLoss, meanRates } from './measures.ts';

export interface OnnxResult {
  /** Mean cross-entropy over the samples (or over all valid time steps, for a model trained at every step). */
  readonly loss: number;
  /** [batch, classes] */
  readonly scores: Float32Array;
  /** Mean over batch and valid time of every layer's output, per neuron, by layer. */
  readonly firingRates: Tensors;
  /** [batch, time, features], where the model gives a sequence. */
  readonly output?: Float32Array;
  /** States after the last valid step by input name (`state.LAYER.STATE`), [rows, size]. */
  readonly finalStates: Tensors;
}

export interface OnnxModel {
  readonly info: OnnxModelInfo;
  /**
   * `initialStates` by input name (`state.LAYER.STATE`): [batch, size], or [2, batch, size] in bidirectional layers;
   * what is absent starts from the model's fixed state. Throws UserError SP624 where the batch does not fit the model.
   */
  evaluate(batch: Batch, initialStates?: Tensors): Promise<OnnxResult>;
  /** The scores that `evaluate` gives and nothing else; labels are not read. */
  predict(batch: Batch): Promise<Float32Array>;
  /** The scores of one recording at the model's rate; for models that take sound. */
  classifySound(samples: Float32Array): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Loads a model of whole sequences. Throws UserError SP621 (no such file), SP622 (corrupt) or SP623 (foreign). */
export async function openOnnx(path: string, options: OnnxOptions = {}): Promise<OnnxModel> {
  return sequenceModel(await loadFile(path, 'sequence', options));
}

/** The same for a model in memory; `name` is for messages. */
export async function openOnnxBytes(bytes: Uint8Array, name: string, options: OnnxOptions = {}): Promise<OnnxModel> {
  return sequenceModel(await loadBytes(bytes, name, 'sequence', options));
}

export function sequenceModel(file: LoadedFile): OnnxModel {
  return new LoadedModel(file);
}

class LoadedModel implements OnnxModel {
  readonly info: OnnxModelInfo;
  private readonly session: InferenceSession;
  private readonly run: LoadedFile['run'];
  private readonly lossPerStep: boolean;
  private readonly defaults: ReadonlyMap<string, Tensor>;
  private readonly dense = new DenseBuffer();

  constructor({ session, run, info, lossPerStep, defaults }: LoadedFile) {
    this.session = session;
    this.run = run;
    this.info = info;
    this.lossPerStep = lossPerStep;
    this.defaults = defaults;
  }

  async evaluate(batch: Batch, initialStates: Tensors = new Map()): Promise<OnnxResult> {
    this.requireFit(batch);
    this.requireLabels(batch);
    const results = await this.dense.lend(batch, (values) => this.run(this.feeds(batch, values, initialStates)));
    const values = (name: string) => results[name].data as Float32Array;
    const scores = values('scores');
    const output = 'output' in results ? values('output') : undefined;
    const layers = this.info.layers.map(({ layer }) => layer);
    const named = (prefix: string) => this.session.outputNames.filter((name) => name.startsWith(prefix));
    return {
      scores,
      output,
      loss: batchLoss(this.lossPerStep && output ? output : scores, batch, this.info.classes, this.lossPerStep),
      firingRates: new Map(layers.map((layer) => [layer, meanRates(values(rateOutput(layer)), batch)])),
      finalStates: new Map(named('final.').map((name) => [name.replace('final.', 'state.'), values(name)])),
    };
  }

  async predict(batch: Batch): Promise<Float32Array> {
    this.requireFit(batch);
    const { scores } = await this.dense.lend(batch, (values) =>
      this.run(this.feeds(batch, values, new Map()), ['scores']),
    );
    return scores.data as Float32Array;
  }

  async classifySound(samples: Float32Array): Promise<Float32Array> {
    const x = new Tensor('float32', samples, [1, samples.length]);
    const { scores } = await this.run({ ...Object.fromEntries(this.defaults), x }, ['scores']);
    return scores.data as Float32Array;
  }

  dispose(): Promise<void> {
    return this.session.release();
  }

  private requireFit(batch: Batch): void {
    const { features, input } = this.info;
    if (input === 'waveform') {
      const message = 'the model takes sound, and this gives it features; export it again without --input waveform';
      throw new UserError('SP624', message, { exitCode: 2 });
    }
    if (batch.features !== features) {
      const message = `the model takes ${features} features per time step but the data has ${batch.features}; use the data it was trained on`;
      throw new UserError('SP624', message);
    }
  }

  private requireLabels(batch: Batch): void {
    const { classes } = this.info;
    const label = batch.labels.find((l) => l < 0 || l >= classes);
    if (label !== undefined) {
      throw new UserError(
        'SP624',
        `the model knows ${classes} classes but the data has the label ${label}; use the data it was trained on`,
      );
    }
  }

  private feeds(batch: Batch, values: Float32Array, initialStates: Tensors): Record<string, Tensor> {
    const feeds: Record<string, Tensor> = Object.fromEntries(this.defaults);
    feeds.x = new Tensor('float32', values, [batch.size, batch.steps, batch.features]);
    if (batch.lengths) feeds.lengths = new Tensor('int64', BigInt64Array.from(batch.lengths, BigInt), [batch.size]);
    for (const [name, state] of initialStates) {
      const shape = this.defaults.get(name)?.dims;
      if (!shape) throw new Error(`the model has no initial state "${name}"`);
      feeds[name] = new Tensor('float32', state, shape.with(-2, batch.size));
    }
    return feeds;
  }
}
