import type { EpochMetrics } from '../train/loop.ts';
import { count, duration, learningRate, percent } from './text.ts';

interface Column {
  readonly header: string;
  readonly width: number;
  cell(metrics: EpochMetrics): string;
}

/** One row per epoch, broken between columns where the terminal is narrower. */
export class EpochTable {
  private readonly columns: readonly Column[];
  private readonly width: number;

  /** `width` is the terminal's, Infinity where lines may have any length. */
  constructor(epochs: number, layers: readonly string[], width: number) {
    this.columns = columnsFor(epochs, layers);
    this.width = width;
  }

  header(): string {
    return this.layOut((column) => column.header);
  }

  row(metrics: EpochMetrics): string {
    return this.layOut((column) => column.cell(metrics));
  }

  private layOut(cell: (column: Column) => string): string {
    const lines: string[] = [];
    let line = '';
    for (const column of this.columns) {
      const text = cell(column).padStart(column.width);
      const longer = line === '' ? text : `${line}  ${text}`;
      if (line !== '' && longer.length > this.width) {
        lines.push(line);
        line = text.padStart(text.length + 4);
      } else {
        line = longer;
      }
    }
    return [...lines, line].map((l) => l.trimEnd()).join('\n');
  }
}

function columnsFor(epochs: number, layers: readonly string[]): Column[] {
  const digits = String(epochs).length;
  const columns: Column[] = [
    { header: 'epoch', width: 2 * digits + 1, cell: (m) => `${String(m.epoch).padStart(digits)}/${epochs}` },
    { header: 'train loss', width: 10, cell: (m) => m.train.loss.toFixed(4) },
    { header: 'acc', width: 6, cell: (m) => percent(m.train.accuracy) },
    { header: 'valid loss', width: 10, cell: (m) => m.validation.loss.toFixed(4) },
    // The star marks the best epoch so far.
    { header: 'acc ', width: 7, cell: (m) => percent(m.validation.accuracy) + (m.best ? '*' : ' ') },
    { header: 'lr', width: 8, cell: (m) => learningRate(m.learningRate) },
    { header: 'samples/s', width: 9, cell: (m) => count(m.train.samplesPerSecond) },
    { header: 'time', width: 7, cell: (m) => duration(m.train.seconds + m.validation.seconds) },
  ];
  const rates = layers.map((layer) => ({
    header: `${layer} rate`,
    width: 6,
    cell: (m: EpochMetrics) => percent(m.train.firingRates[layer]),
  }));
  return [...columns, ...rates].map((c) => ({ ...c, width: Math.max(c.width, c.header.length) }));
}
