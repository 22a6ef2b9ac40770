import { SingleBar } from 'cli-progress';
import type { Compiled } from '../compile.ts';
import type { ReportPreparation } from '../data/definition.ts';
import { type DataPipeline, openPipeline } from '../data/pipeline.ts';
import { isTerminal, type Output } from './output.ts';

/** Opens the data of a spec, with progress where it is made first, and with its warnings. */
export async function openData({ experiment, dataSpans }: Compiled, output: Output): Promise<DataPipeline> {
  const { data: config, train, seed } = experiment;
  const bar = preparationBar(output);
  try {
    const data = await openPipeline(config, {
      batch: train.batch,
      seed,
      spans: dataSpans,
      onPreparation: bar.report,
    });
    bar.close();
    for (const warning of data.warnings) output.warn(`warning: ${warning}`);
    return data;
  } finally {
    bar.close();
  }
}

/** A sentence that says what is made, and on a terminal a bar. */
function preparationBar({ stream, quiet }: Output): { readonly report: ReportPreparation; close(): void } {
  let bar: SingleBar | null = null;
  let said = false;
  return {
    report({ what, done, total }) {
      if (quiet) return;
      if (!said) stream.write(`${what}\n`);
      said = true;
      if (!isTerminal(stream)) return;
      bar ??= startBar(stream, total);
      bar.update(done);
    },
    close() {
      bar?.stop();
      bar = null;
    },
  };
}

function startBar(stream: NodeJS.WriteStream, total: number): SingleBar {
  const bar = new SingleBar({
    format: '[{bar}] {percentage}%',
    stream,
    barsize: 24,
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(total, 0);
  return bar;
}
