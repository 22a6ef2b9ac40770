import type { Sample } from './definition.ts';

/** Bytes of samples that are kept: the recordings of Heidelberg Digits fit, so that they are decoded once. */
const LIMIT = 256 * 2 ** 20;

/**
 * Keeps what is costly to make until it is full. Epochs ask for every sample once, so replacing one that is kept would
 * gain nothing.
 */
export class SampleCache {
  private readonly samples = new Map<string, Sample>();
  private readonly limit: number;
  private bytes = 0;

  constructor(limit = LIMIT) {
    this.limit = limit;
  }

  get(key: string): Sample | undefined {
    return this.samples.get(key);
  }

  add(key: string, sample: Sample): void {
    const bytes = bytesOf(sample);
    if (bytes === null || this.bytes + bytes > this.limit) return;
    this.samples.set(key, sample);
    this.bytes += bytes;
  }
}

/** Null for spikes in continuous time, which are read as fast as they are copied; binning them costs more. */
function bytesOf(sample: Sample): number | null {
  switch (sample.kind) {
    case 'waveform':
      return sample.samples.byteLength;
    case 'features':
      return sample.values.byteLength;
    case 'unusable':
      return sample.reason.length;
    case 'eventSteps':
      return sample.offsets.byteLength + sample.units.byteLength + sample.counts.byteLength;
    case 'spikes':
      return null;
  }
}
