import type { Graph } from '../../ir/graph.ts';
import type { CompileOptions } from '../target.ts';
import type { Buffer } from './call.ts';
import { ModelCode } from './modelCode.ts';
import { shapeOf } from './shape.ts';

/** The kernels of a model as text, and the calls of a training step of some shape, stage by stage. */
export function printKernels(graph: Graph, options: CompileOptions, size: { batch: number; steps: number }): string {
  const program = new ModelCode(graph, options);
  const kernels = program.kernels.module.funcs.map((f) => f.print());
  return [...kernels, printCalls(program, size)].join('\n');
}

function printCalls(code: ModelCode, { batch, steps }: { batch: number; steps: number }): string {
  const variant = {
    shape: shapeOf({ size: batch, steps }),
    training: true,
    input: 'events',
    events: batch * steps,
    lengths: false,
    drawsStates: true,
    drawsMasks: true,
    parts: 1,
  } as const;
  const { program } = code.pass(variant, { weighted: false, wantOutput: false, wantTraces: false, update: true });
  const lines = program.calls.flatMap(({ kernel, items, args, barrier }) => {
    const buffers = Object.values(args).filter((a): a is Buffer => typeof a === 'object');
    const call = `  ${kernel.func.name} x ${items}: ${buffers.map((b) => b.name).join(', ')}`;
    return barrier ? [call, '  --'] : [call];
  });
  return [`training step of ${batch} samples, ${steps} steps {`, ...lines, '}', ''].join('\n');
}
