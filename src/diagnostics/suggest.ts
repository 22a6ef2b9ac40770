import { closest, distance } from 'fastest-levenshtein';

/** `did you mean "batchnorm"?`, or an empty string where nothing known is near enough to what was written. */
export function didYouMean(written: string, known: readonly string[]): string {
  if (known.length === 0) return '';
  const lower = written.toLowerCase();
  const candidates = known.map((k) => k.toLowerCase());
  const best = candidates.find((candidate) => hasSwappedLetters(lower, candidate)) ?? closest(lower, candidates);
  const edits = hasSwappedLetters(lower, best) ? 1 : distance(lower, best);
  const near = edits <= Math.max(1, Math.floor(written.length / 3)) && edits < written.length;
  return near ? `did you mean "${known[candidates.indexOf(best)]}"?` : '';
}

/** Whether two letters changed places, which is one mistake; `distance` counts two. */
function hasSwappedLetters(a: string, b: string): boolean {
  const letters = (text: string) => [...text].sort().join('');
  return distance(a, b) === 2 && letters(a) === letters(b);
}

/** `"a", "b" or "c"`, for messages that list what is allowed. */
export function oneOf(names: readonly string[]): string {
  const quoted = names.map((n) => `"${n}"`);
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
}

/** The suggestion when a name is near a known one, otherwise the list of what is known. */
export function suggestion(written: string, known: readonly string[]): string {
  return didYouMean(written, known) || (known.length > 0 ? `use ${oneOf(known)}` : '');
}
