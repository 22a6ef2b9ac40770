import type { InferenceSession, TypedTensor } from 'onnxruntime-node';
import type { DemoDescription } from '../description.ts';

/** Both runtimes have the same interface. */
type Runtime = typeof import('onnxruntime-node');

/** Values over time, [steps, features]. */
export interface Sequence {
  readonly values: Float32Array;
  readonly steps: number;
  readonly features: number;
}

export interface Classified {
  readonly scores: Float32Array;
  /** What the network takes. */
  readonly features: Sequence;
  /** What each layer gives, in the order of `DemoDescription.layers`. */
  readonly activity: readonly Sequence[];
}

/** The network of a demo, in onnxruntime-web. */
export class Model {
  readonly description: DemoDescription;
  private readonly runtime: Runtime;
  private readonly session: InferenceSession;
  /** Of a stream, by input. */
  private states: InferenceSession.FeedsType = {};

  private constructor(description: DemoDescription, runtime: Runtime, session: InferenceSession) {
    this.description = description;
    this.runtime = runtime;
    this.session = session;
    this.restart();
  }

  /** Loads what lies beside the page. */
  static async load(): Promise<Model> {
    const description: DemoDescription = await (await fetched('demo.json')).json();
    const runtime: Runtime = await import(addressOf('ort/ort.js'));
    const { wasm } = runtime.env;
    wasm.wasmPaths = { wasm: addressOf('ort/ort-wasm-simd-threaded.wasm') };
    // More threads need headers that a static server does not send.
    wasm.numThreads = 1;
    const file = new Uint8Array(await (await fetched('model.onnx')).arrayBuffer());
    return new Model(description, runtime, await runtime.InferenceSession.create(file));
  }

  /**
   * The classes' scores of sound at the model's rate, and how they came about. A model of a stream goes on from the
   * last chunk, and its features and activity are those of the frames that this one completed.
   */
  async classify(sound: Float32Array): Promise<Classified> {
    const { layers } = this.description;
    const activities = layers.map(({ layer }) => `activity.${layer}`);
    const states = Object.keys(this.states);
    const nextStates = states.map(nextOf);
    const x = new this.runtime.Tensor('float32', sound, [1, sound.length]);
    const results = await this.session.run({ ...this.states, x }, ['scores', 'features', ...activities, ...nextStates]);
    this.states = Object.fromEntries(states.map((name) => [name, results[nextOf(name)]]));
    const sequence = (name: string): Sequence => {
      const { data, dims } = results[name] as TypedTensor<'float32'>;
      return { values: data as Float32Array, steps: dims[1], features: dims[2] };
    };
    return {
      scores: results.scores.data as Float32Array,
      features: sequence('features'),
      activity: activities.map(sequence),
    };
  }

  /** What comes next begins a new stream. */
  restart(): void {
    const { Tensor } = this.runtime;
    const initial = Object.entries(this.description.initialStates);
    this.states = Object.fromEntries(
      initial.map(([name, { dims, values }]) => [name, new Tensor('float32', Float32Array.from(values), dims)]),
    );
  }
}

/** The output that is this input of the next chunk. */
const nextOf = (state: string) => `next_${state}`;

async function fetched(name: string): Promise<Response> {
  const response = await fetch(addressOf(name));
  if (!response.ok) throw new Error(`the file ${name} is missing beside the page; write the demo again`);
  return response;
}

function addressOf(name: string): string {
  return new URL(name, document.baseURI).href;
}
