/** The public API: compile a spec, train it, export it. */
export { type Compiled, type CompileSpecOptions, compileSource, compileSpec } from './compile.ts';
export type { Batch } from './data/batch.ts';
export { type DataPipeline, openPipeline } from './data/pipeline.ts';
export { CompileError, type Diagnostic, UserError } from './diagnostics/diagnostic.ts';
export { formatDiagnostic, formatDiagnostics } from './diagnostics/format.ts';
export type { Graph } from './ir/graph.ts';
export { exportOnnx } from './targets/onnx/export.ts';
export { selectTarget } from './targets/select.ts';
export type { CompiledModel, StepResult, Target } from './targets/target.ts';
