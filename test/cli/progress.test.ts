import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { EpochTable } from '../../src/cli/epochTable.ts';
import { barLine, LiveProgress, PlainProgress } from '../../src/cli/progress.ts';
import { duration, learningRate, shellQuote } from '../../src/cli/text.ts';
import type { EpochMetrics, Progress } from '../../src/train/loop.ts';

const metrics = (loss: number, accuracy: number, seconds: number) => ({
  samples: 1000,
  loss,
  accuracy,
  firingRates: { h1: 0.0421, h2: 0.118 },
  seconds,
  samplesPerSecond: 1000 / seconds,
});
const epoch = (n: number): EpochMetrics => ({
  epoch: n,
  learningRate: 0.0049,
  train: metrics(1.23456, 0.5, 8),
  validation: metrics(0.98765, 0.66666, 2),
  best: n === 1,
});
const progress = (batch: number): Progress => ({
  split: 'train',
  epoch: 3,
  batch,
  batches: 10,
  metrics: metrics(0.8123, 0.712, batch),
});

function written(): { stream: PassThrough & NodeJS.WriteStream; text: () => string } {
  const stream = new PassThrough() as PassThrough & NodeJS.WriteStream;
  return { stream, text: () => String(stream.read() ?? '') };
}

describe('the table of epochs', () => {
  const lines = (width: number) => {
    const table = new EpochTable(30, ['h1', 'h2'], width);
    return [table.header(), table.row(epoch(1)), table.row(epoch(22))].join('\n');
  };

  it('is aligned', () => {
    expect(`\n${lines(120)}\n`).toBe(`
epoch  train loss     acc  valid loss     acc         lr  samples/s     time  h1 rate  h2 rate
 1/30      1.2346   50.0%      0.9877   66.7%*    0.0049        125      10s     4.2%    11.8%
22/30      1.2346   50.0%      0.9877   66.7%     0.0049        125      10s     4.2%    11.8%
`);
  });

  it.each([20, 40, 60, 80])('fits into %d columns and loses nothing', (width) => {
    const narrow = lines(width);
    expect(Math.max(...narrow.split('\n').map((l) => l.length))).toBeLessThanOrEqual(width);
    expect(narrow.match(/\S+/g)).toEqual(lines(120).match(/\S+/g));
  });
});

describe('the line of the bar', () => {
  it('shows how far, how well and how long', () => {
    expect(barLine(progress(5), 65, 100)).toBe(
      'epoch 3 [============            ]  50%, loss 0.8123, accuracy 71.2%, 1:05 left, 200 samples/s',
    );
  });

  it('shrinks with the terminal', () => {
    expect(barLine(progress(5), 65, 60)).toBe('epoch 3 [========       ]  50%, loss 0.8123, accuracy 71.2%');
    for (let width = 1; width < 120; width++) expect(barLine(progress(5), 65, width).length).toBeLessThanOrEqual(width);
  });
});

describe('plain lines', () => {
  it('come once per epoch, with one header', () => {
    const { stream, text } = written();
    const reporter = new PlainProgress(stream, { epochs: 4, layers: ['h1'] });
    reporter.batchDone(progress(1));
    reporter.epochDone(epoch(1));
    reporter.epochDone(epoch(2));
    const lines = text().trimEnd().split('\n');
    expect(lines.map((l) => l.trim().split(' ')[0])).toEqual(['epoch', '1/4', '2/4']);
  });

  it('come inside an epoch after a silence, with an estimate from the epoch before', () => {
    const { stream, text } = written();
    const reporter = new PlainProgress(stream, { epochs: 4, layers: [] }, 0);
    reporter.batchDone(progress(5));
    expect(text()).toBe('epoch 3, 5/10 batches, loss 0.8123, accuracy 71.2%, 15s left, 200 samples/s\n');
    reporter.epochDone(epoch(2));
    text();
    reporter.batchDone(progress(5));
    expect(text()).toContain('15s left');
    reporter.batchDone({ ...progress(5), split: 'test', epoch: null });
    expect(text()).toContain('test, 5/10 batches, loss 0.8123, accuracy 71.2%, 5.0s left');
  });
});

describe('the live bar', () => {
  it('makes way for the line of the epoch and gives cursor and line wrapping back', () => {
    const { stream, text } = written();
    Object.assign(stream, { isTTY: true, columns: 70 });
    const reporter = new LiveProgress(stream, { epochs: 4, layers: ['h1'] });
    reporter.batchDone(progress(1));
    reporter.batchDone(progress(2));
    reporter.epochDone(epoch(3));
    reporter.batchDone({ ...progress(1), epoch: 4 });
    reporter.close();
    const output = text();
    expect(output).toContain('epoch 3 [');
    expect(output).toContain('epoch 4 [');
    expect(output).toMatch(/ 3\/4 +1\.2346/);
    const last = (code: string) => output.lastIndexOf(`\u001b[?${code}`);
    expect(last('25h')).toBeGreaterThan(last('25l'));
    expect(last('7h')).toBeGreaterThan(last('7l'));
  });
});

describe('numbers for people', () => {
  it.each([
    [0.04, '0.0s'],
    [9.94, '9.9s'],
    [9.96, '10s'],
    [59.6, '1:00'],
    [187, '3:07'],
    [3765, '1:02:45'],
  ])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  it.each([
    [0.01, '0.01'],
    [0.01 * 0.7 ** 3, '0.00343'],
    [1e-6, '0.000001'],
  ])('the learning rate %d is %s', (value, text) => expect(learningRate(value)).toBe(text));

  it('arguments are quoted for a shell where they must be', () => {
    expect(['runs/a-b_1', 'a b', "it's", ''].map(shellQuote)).toEqual(['runs/a-b_1', "'a b'", "'it'\\''s'", "''"]);
  });
});
