/** The public API: compile a spec, call, train and export its network. */
export { type Compiled, type CompileSpecOptions, compileSource, compileSpec } from './compile.ts';
export type { Batch } from './data/batch.ts';
export { type DataPipeline, openPipeline } from './data/pipeline.ts';
export { CompileError, type Diagnostic, UserError } from './diagnostics/diagnostic.ts';
export { formatDiagnostic, formatDiagnostics } from './diagnostics/format.ts';
export { importNir } from './import/nir.ts';
export type { Graph } from './ir/graph.ts';
export { buildModel, Model, type ModelOptions, type ModelOutput, type PlainTensor, type TensorLike } from './model.ts';
export { exportNir } from './targets/nir/export.ts';
export { exportOnnx } from './targets/onnx/export.ts';
export { selectTarget } from './targets/select.ts';
export type { CompiledModel, StepResult, Target } from './targets/target.ts';
export { readCheckpoint } from './train/checkpoint.ts';
export { type Run, trainRun } from './train/run.ts';
export { RunFolder } from './train/runFolder.ts';
