/** What the page of a demo knows of its model, as `demo.json`: a browser's runtime does not show a model's properties. */
export interface DemoDescription {
  readonly name: string;
  /** Takes whole recordings, or a stream in chunks. */
  readonly mode: 'sequence' | 'step';
  /** Of a stream, by input: what its first chunk starts from. Empty for whole recordings, whose file holds it. */
  readonly initialStates: Readonly<Record<string, { readonly dims: readonly number[]; readonly values: number[] }>>;
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
