import { type Key, threefry } from './threefry.ts';

/**
 * A stream of draws addressed by a path: `new Stream(seed, 'dropout', epoch, sample, layer)`. Equal paths give equal
 * draws on every target and thread count and after a resume; different paths give independent ones.
 */
export class Stream {
  private readonly key: Key;
  private readonly words = new Uint32Array(2);
  private counter = 0;
  private spare: number | null = null;

  constructor(...path: readonly (number | string)[]) {
    this.key = streamKey(path);
  }

  /** 32 random bits. */
  word(): number {
    if (this.spare !== null) {
      const word = this.spare;
      this.spare = null;
      return word;
    }
    threefry(this.key, 0, this.counter++, this.words);
    this.spare = this.words[1];
    return this.words[0];
  }

  /** Uniform in [0, 1) with 24 bits, exactly representable in float32. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * ((this.word() >>> 8) / 16777216);
  }

  /** Uniform integer in [0, n). */
  integer(n: number): number {
    return Math.floor((this.word() / 4294967296) * n);
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A random order of 0 .. n - 1 (Fisher-Yates). */
  permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    return order;
  }
}

export type Path = readonly (number | string)[];

/** The key of a stream's generator: folds the path into it, one component at a time, so that no two paths share a key by concatenation. */
export function streamKey(path: Path): Key {
  return startOfKey(path, path.length);
}

/** What is folded of a path of `length` components when the first ones are: whoever has the others goes on from there. */
export function startOfKey(first: Path, length: number): Key {
  return first.map(wordsOf).reduce(fold, start(length));
}

const start = (length: number): Key => [0x9e3779b9, length];

const folded = new Uint32Array(2);

function fold(key: Key, [high, low]: Key): Key {
  threefry(key, high, low, folded);
  return [folded[0], folded[1]];
}

/** The counter that a component is folded into a key as: its high word and its low word. */
export function wordsOf(component: number | string): Key {
  return typeof component === 'number' ? split(component) : fnv1a(component);
}

function split(n: number): Key {
  return [Math.floor(n / 4294967296) >>> 0, n >>> 0];
}

function fnv1a(text: string): Key {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) as number), 0x01000193);
  return [0x80000000 | text.length, hash >>> 0];
}
