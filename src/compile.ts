import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { describePipeline, type PipelineError, type PipelineInfo } from './data/describe.ts';
import type { DataSpans } from './data/pipeline.ts';
import { CompileError, type Diagnostic, Reporter } from './diagnostics/diagnostic.ts';
import type { Source, Span } from './diagnostics/source.ts';
import type { Graph } from './ir/graph.ts';
import { verifyGraph } from './ir/verify.ts';
import { buildGraph } from './passes/buildGraph.ts';
import { extendLibrary, type Library, standardLibrary } from './passes/library.ts';
import type { Experiment } from './spec/experiment.ts';
import { expandSpec, loadSpec } from './spec/load.ts';
import { printResolved } from './spec/printResolved.ts';
import { resolveTree } from './spec/resolve.ts';
import { get, type ListTree, type MapTree } from './spec/tree.ts';
import { validateTree } from './spec/validate.ts';

/**
 * The driver, phase by phase: load (YAML and DSL text to one tree) -> validate (schema) -> resolve (defaults) ->
 * describe the data -> lower neurons and network to the Graph -> verify.
 */
export interface Compiled {
  readonly experiment: Experiment;
  /** What the data pipeline delivers, known without opening any file. */
  readonly data: PipelineInfo;
  readonly graph: Graph;
  readonly library: Library;
  /** The experiment as a spec of its own, with absolute paths. */
  readonly resolvedYaml: string;
  /** The same with paths reduced to their last part, so that it does not depend on the machine. */
  readonly portableYaml: string;
  /** Of `portableYaml`. */
  readonly specSha256: string;
  readonly warnings: readonly Diagnostic[];
  /** Where the spec asks for its data: what is wrong with the data is shown there. */
  readonly dataSpans: DataSpans;
}

export interface CompileSpecOptions {
  /** Overrides, each `path=value`. */
  readonly sets?: readonly string[];
}

/**
 * Compiles a spec file.
 *
 * @throws CompileError with everything that is wrong with it.
 * @throws UserError where the file cannot be read.
 */
export function compileSpec(path: string, { sets = [] }: CompileSpecOptions = {}): Compiled {
  const reporter = new Reporter();
  return withoutOverflow(() => compileTree(loadSpec(path, sets, reporter), reporter));
}

/** Compiles a spec that is already in memory; relative paths in it are relative to `source.folder`. */
export function compileSource(source: Source, { sets = [] }: CompileSpecOptions = {}): Compiled {
  const reporter = new Reporter();
  return withoutOverflow(() => compileTree(expandSpec(source, sets, reporter), reporter));
}

/** Trees are walked recursively: absurdly deep ones end in this message rather than in a crash. */
function withoutOverflow<T>(compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const message = 'an expression or section of the spec is too long or nested too deeply; split it up with "let"';
    throw new CompileError([{ code: 'SP501', severity: 'error', message }]);
  }
}

function compileTree(tree: MapTree | null, reporter: Reporter): Compiled {
  if (tree) validateTree(tree, reporter);
  reporter.throwIfFailed();
  const spec = tree as MapTree;

  const described: { info: PipelineInfo | null } = { info: null };
  const experiment = resolveTree(
    spec,
    (data) => {
      described.info = describeData(data, spec, reporter);
      return described.info?.classes ?? null;
    },
    reporter,
  );
  const library = extendLibrary(standardLibrary(), experiment.definitions, reporter);
  reporter.throwIfFailed();
  const data = described.info as PipelineInfo;

  const graph = buildGraph(
    experiment.model,
    {
      name: experiment.name,
      library,
      input: data,
      classes: data.classes,
      lossPool: experiment.lossPool,
      lossPoolSpan: get(spec, 'train', 'loss', 'pool')?.span,
      regularizer: experiment.regularizer,
    },
    reporter,
  );
  reporter.throwIfFailed();
  verifyGraph(graph as Graph);
  const portableYaml = printResolved(withoutFolders(experiment));
  return {
    experiment,
    data,
    graph: graph as Graph,
    library,
    resolvedYaml: printResolved(experiment),
    portableYaml,
    specSha256: createHash('sha256').update(portableYaml).digest('hex'),
    warnings: reporter.report(),
    dataSpans: dataSpansOf(spec),
  };
}

function dataSpansOf(spec: MapTree): DataSpans {
  const folder = get(spec, 'data', 'source', 'folder') ?? get(spec, 'data', 'source', 'type');
  return { source: folder?.span, validation: get(spec, 'data', 'validation', 'type')?.span };
}

function describeData(data: Experiment['data'], spec: MapTree, reporter: Reporter): PipelineInfo | null {
  const described = describePipeline(data);
  if (!('error' in described)) return described;
  reporter.error('SP456', described.error, stepSpan(spec, described.step));
  return null;
}

/** Step 0 of the data pipeline is the source, step k the k-th transform. */
function stepSpan(spec: MapTree, step: PipelineError['step']): Span | undefined {
  if (step === 'validation') return get(spec, 'data', 'validation', 'type')?.span;
  if (step === 0) return get(spec, 'data', 'source', 'type')?.span;
  return get((get(spec, 'data', 'transforms') as ListTree).items[step - 1], 'type')?.span;
}

function withoutFolders(experiment: Experiment): Experiment {
  const { data, train } = experiment;
  const params = Object.entries(data.source.params).map(([key, value]) => [
    key,
    typeof value === 'string' ? basename(value) : value,
  ]);
  return {
    ...experiment,
    data: { ...data, source: { ...data.source, params: Object.fromEntries(params) } },
    train: { ...train, init: train.init && basename(train.init) },
  };
}
