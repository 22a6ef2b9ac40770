/** Of the model's interface: names and shapes of inputs and outputs, metadata keys. Format 1 differs in streams only. */
export const formatVersion = 2;

export const metadataKeys = {
  format: 'sparchc.format',
  version: 'sparchc.version',
  specSha256: 'sparchc.spec_sha256',
  classes: 'sparchc.classes',
  /** The resolved spec as YAML, paths reduced to their last part: `specSha256` is its hash. */
  spec: 'sparchc.spec',
  /** Of the model, as the spec says; absent where it does not. */
  license: 'sparchc.license',
  /** JSON: their names by index; absent where the data has none. */
  classNames: 'sparchc.class_names',
  /** What `x` is: `features` or `waveform`. */
  input: 'sparchc.input',
  /** Of recordings, in Hz; absent for other data. */
  sampleRate: 'sparchc.sample_rate',
  /** `true` where recordings were read as if they had that rate, whatever their files say. */
  assumeRate: 'sparchc.assume_rate',
  /** Seconds of a time step; absent where it has no duration. */
  stepSeconds: 'sparchc.step_seconds',
  /** JSON: [{type, params}], SI units: how recorded samples become `x`. */
  preprocessing: 'sparchc.preprocessing',
  /** The whole pipeline of the data as text, what the graph does itself included; for people. */
  pipeline: 'sparchc.pipeline',
  /** JSON: [{layer, features, spiking}], those with a `rate.LAYER` output. */
  layers: 'sparchc.layers',
  /** Which output the cross-entropy is computed from: `scores`, or `output` at every time step. */
  loss: 'sparchc.loss',
  /** `sequence` or `step`: whole sequences, or chunks of a stream. */
  mode: 'sparchc.mode',
  /** JSON: the `Segmentation` of a stream. */
  segmentation: 'sparchc.segmentation',
  /** JSON: [{name, shape}], the parts of a stream's state vector in order. */
  state: 'sparchc.state',
  /** How the weights are stored: `float32`, `float16` or `int8`. */
  weights: 'sparchc.weights',
} as const;
