import { argmax } from './measures.ts';
import type { OnnxStream, StreamResult } from './runStream.ts';

/** What a stream was heard to say. */
export interface Word {
  readonly index: number;
  readonly scores: readonly number[];
  /** Seconds of the stream: when it began, to the chunk; with a silence gate only. */
  readonly start?: number;
  /** With a silence gate, when it ended; otherwise when it was known. */
  readonly end: number;
  /** What the model took since the word before. */
  readonly seconds: number;
}

/**
 * When there is a word: `pauses`, with a silence gate, between any two of them; `changes`, when another class has become
 * the most likely one; `end`, once, of all that was fed.
 */
export type WordRule = 'pauses' | 'changes' | 'end';

/** Finds words in the scores of one stream. */
export class Words {
  private readonly stream: OnnxStream;
  private readonly rule: WordRule;
  private seconds = 0;
  /** The last result, where it is a word as soon as the stream ends. */
  private pending: StreamResult | null = null;
  /** When the silence gate opened, while it is open. */
  private opened: number | null = null;
  private told: number | null = null;
  private computing = 0;

  constructor(stream: OnnxStream, rule: WordRule) {
    this.stream = stream;
    this.rule = rule;
    stream.restart();
  }

  /** Feeds a chunk that lasts so long. A pause must not fit between two events of one chunk. */
  async feed(x: Float32Array, seconds: number): Promise<Word[]> {
    const began = performance.now();
    const result = await this.stream.feed(x);
    this.computing += (performance.now() - began) / 1000;
    const start = this.seconds;
    this.seconds += seconds;
    if (this.rule === 'pauses') return this.atPause(result, start);
    if (this.rule === 'changes') return this.atChange(result);
    this.pending = result;
    return [];
  }

  /** What the end of the stream makes known. */
  end(): Word[] {
    const { pending } = this;
    this.pending = null;
    return pending ? [this.word(pending)] : [];
  }

  private atPause(result: StreamResult, start: number): Word[] {
    if (!isClosed(this.stream, result)) {
      this.opened ??= start;
      this.pending = result;
      return [];
    }
    if (this.opened === null) return [];
    const word = this.word(result, this.pause);
    this.opened = null;
    this.pending = null;
    return [word];
  }

  private atChange(result: StreamResult): Word[] {
    const index = argmax(result.scores);
    if (result.steps === 0 || index === this.told) return [];
    this.told = index;
    return [this.word(result)];
  }

  /** Seconds without an event that close the gate. */
  private get pause(): number {
    const { segmentation, stepSeconds } = this.stream.info;
    return segmentation?.kind === 'silence' ? segmentation.steps * (stepSeconds ?? 1) : 0;
  }

  /** One that ended so long ago. */
  private word({ scores }: StreamResult, ago = 0): Word {
    const start = this.opened;
    const end = Math.max(start ?? 0, this.seconds - ago);
    const seconds = this.computing;
    this.computing = 0;
    return { index: argmax(scores), scores: [...scores], ...(start !== null && { start }), end, seconds };
  }
}

/** Words end where the stream has a silence gate that closes, or another class wins, or (`whole`) at the end. */
export function wordRuleOf({ info }: OnnxStream, whole: boolean): WordRule {
  const kind = info.segmentation?.kind;
  if (kind === 'silence') return 'pauses';
  return whole && kind === 'reset' ? 'end' : 'changes';
}

/** Steps of a chunk of about 50 ms, short enough for `Words`. */
export function chunkSteps({ info }: OnnxStream): number {
  const wanted = Math.max(1, Math.round(0.05 / (info.stepSeconds ?? 0.01)));
  return info.segmentation?.kind === 'silence' ? Math.min(wanted, info.segmentation.steps) : wanted;
}

function isClosed({ info }: OnnxStream, { silentSteps }: StreamResult): boolean {
  if (info.segmentation?.kind !== 'silence' || !silentSteps) throw new Error('the stream has no silence gate');
  return silentSteps[0] >= info.segmentation.steps;
}
