/** What the page of a demo knows of its model, as `demo.json`: a browser's runtime does not show a model's properties. */
export interface DemoDescription {
  readonly name: string;
  /** By index. */
  readonly classNames: readonly string[];
  /** Of the sound that the model takes, in Hz. */
  readonly sampleRate: number;
  /** Recordings are read as if they had that rate, whatever their files say. */
  readonly assumeRate: boolean;
  /** Of a time step. */
  readonly stepSeconds: number;
  readonly layers: readonly { readonly layer: string; readonly features: number; readonly spiking: boolean }[];
  /** How sound becomes features, for people. */
  readonly pipeline: string;
  readonly license: string | null;
  /** Of sparchc. */
  readonly version: string;
}
