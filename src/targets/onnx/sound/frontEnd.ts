import type { Call } from '../../../data/config.ts';
import { type FbankParams, type FbankPlan, fbankPlan } from '../../../data/transforms/fbank.ts';
import { UserError } from '../../../diagnostics/diagnostic.ts';

/** How sound becomes the features that the network takes, inside the exported graph. */
export interface FrontEnd {
  /** Samples per second of the sound that the graph is fed. */
  readonly rate: number;
  readonly fbank: FbankParams;
  readonly plan: FbankPlan;
  readonly normalize: Normalization | null;
}

export interface Normalization {
  readonly over: 'utterance' | 'past';
  readonly variance: boolean;
}

/**
 * The front end of a network whose input is made by `preprocessing`, from sound with `rate` samples per second.
 * Resampling stays outside: the graph takes sound that has that rate already.
 *
 * Throws UserError SP630 where such a front end cannot be part of the graph.
 */
export function frontEndOf(preprocessing: readonly Call[], rate: number | null): FrontEnd {
  const calls = preprocessing.filter(({ type }) => type !== 'resample');
  const [fbank, normalize, ...others] = calls;
  const isKnown = fbank?.type === 'fbank' && (!normalize || normalize.type === 'normalize') && others.length === 0;
  if (!isKnown) throw refused(whyNot(calls));
  if (rate === null) {
    throw refused(
      'the sampling rate of the recordings that it was trained on is not known; put resample(16kHz) before fbank in the spec, and train again',
    );
  }
  const params = fbank.params as unknown as FbankParams;
  return {
    rate,
    fbank: params,
    plan: fbankPlan(rate, params),
    normalize: (normalize?.params as unknown as Normalization | undefined) ?? null,
  };
}

/** Throws UserError SP626 where the front end needs more of the sound than a stream has at that time. */
export function requireCausalFrontEnd({ plan }: FrontEnd): void {
  const { snipEdges, shift, length } = plan.framing;
  if (!snipEdges) {
    throw new UserError(
      'SP626',
      'fbank(snip_edges=false) mirrors a recording at its end, which a stream does not have; export with --mode sequence, or train with snip_edges=true',
      { exitCode: 2 },
    );
  }
  if (shift > length) {
    throw new UserError(
      'SP626',
      "fbank's shift is longer than its frame, and a stream keeps no sound between frames; export with --mode sequence, or train with a shorter shift",
      { exitCode: 2 },
    );
  }
}

function whyNot(calls: readonly Call[]): string {
  const names = calls.map(({ type }) => type);
  if (names.length === 0) return 'its input is not made from sound; leave out --input waveform';
  if (names.includes('bin')) {
    return 'its input is counted spikes, and how a recording became spikes (the cochlea model of the dataset) is not part of the spec; train on the recordings with fbank, or leave out --input waveform';
  }
  return `its input is made by ${names.join(', ')}, and the graph can hold fbank and then normalize; leave out --input waveform`;
}

function refused(why: string): UserError {
  return new UserError('SP630', `the network cannot take sound: ${why}`, { exitCode: 2 });
}
