import type { Stream } from '../random/stream.ts';

/** `count` of the speakers, at random. */
export function chooseSpeakers(speakers: readonly number[], count: number, stream: Stream): Set<number> {
  const sorted = speakers.toSorted((a, b) => a - b);
  return new Set(Array.from(stream.permutation(sorted.length).subarray(0, count), (i) => sorted[i]));
}

/**
 * A share of the samples of each class, at random, by index. Rounds within each class, but leaves at least one sample
 * of it on either side; a class of one sample stays whole.
 */
export function chooseShare(labels: Int32Array, share: number, streamOf: (label: number) => Stream): Set<number> {
  const chosen = new Set<number>();
  for (const label of new Set(labels)) {
    const members = Array.from(labels.keys()).filter((index) => labels[index] === label);
    const count = Math.min(members.length - 1, Math.max(1, Math.round(share * members.length)));
    for (const i of streamOf(label).permutation(members.length).subarray(0, count)) chosen.add(members[i]);
  }
  return chosen;
}
