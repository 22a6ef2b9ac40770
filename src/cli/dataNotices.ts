import type { SplitCounters } from '../data/pipeline.ts';
import { count, percent } from './text.ts';

/** Skipped samples that are named; the others are counted. */
const NAMED = 5;

/** What did not reach the network, and nobody should have to guess: skipped samples and events outside of the window. */
export function dataNotices(counters: Readonly<Record<string, SplitCounters>>): string[] {
  return Object.entries(counters).flatMap(([split, { events, dropped, skipped }]) => [
    ...(skipped.length > 0 ? [skippedSamples(split, skipped)] : []),
    ...(dropped > 0 ? [droppedEvents(split, dropped / (events + dropped))] : []),
  ]);
}

function droppedEvents(split: string, share: number): string {
  return `${percent(share)} of the ${split} split's events lay outside of the time window and were left out`;
}

function skippedSamples(split: string, skipped: readonly string[]): string {
  const rest = skipped.length > NAMED ? `; and ${count(skipped.length - NAMED)} more` : '';
  const samples = `${count(skipped.length)} ${skipped.length === 1 ? 'sample' : 'samples'}`;
  return `skipped ${samples} of the ${split} split: ${skipped.slice(0, NAMED).join('; ')}${rest}`;
}
