/** What is known of a recording before it is decoded. */
export interface AudioInfo {
  /** Samples of each channel. */
  readonly samples: number;
  /** Samples per second. */
  readonly rate: number;
}

/** A file that cannot be used as a recording; the message is to follow its name: `is truncated: ...`. */
export class AudioProblem extends Error {
  override readonly name = 'AudioProblem';
}
