import type { Eqn, Var } from '../../../ir/step.ts';
import {
  add,
  type Expr,
  f32,
  i32,
  type Local,
  loadSplat,
  loadV,
  mul,
  splat,
  storeF32,
  storeV,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { sumFeatures } from '../kernels/gradients.ts';
import { eachFeature, type Kernel, type Kernels, onPanel } from '../kernels/kernel.ts';
import { softmaxAdjointRow, softmaxRow } from '../kernels/softmax.ts';
import { matrixRows, panelBytes, panelsOf } from '../layout.ts';
import { emit, isElementwise } from './emit.ts';

/**
 * Equations that run once per batch, before the first or after the last time step: on numbers per neuron in one kernel,
 * on matrices in kernels of their own, panel by panel.
 */
export interface OnceStage {
  readonly kernel: Kernel;
  readonly items: number;
  /** Argument names are `v` and the id. */
  readonly variables: readonly Var[];
}

export function onceStages(k: Kernels, name: string, eqns: readonly Eqn[], features: number): OnceStage[] {
  const stages: OnceStage[] = [];
  let run: Eqn[] = [];
  const flush = () => {
    if (run.length > 0) stages.push(vectorStage(k, `${name}_${stages.length}`, run, features));
    run = [];
  };
  for (const eqn of eqns) {
    if (eqn.out.type.extent !== 'matrix') run.push(eqn);
    else {
      flush();
      stages.push(matrixStage(k, `${name}_${stages.length}`, eqn, features));
    }
  }
  flush();
  return stages;
}

const variablesOf = (eqns: readonly Eqn[]): Var[] => [
  ...new Map(
    eqns.flatMap((e) => [...e.args, e.out]).flatMap((a) => (a.kind === 'var' ? [[a.id, a] as const] : [])),
  ).values(),
];

function vectorStage(k: Kernels, name: string, eqns: readonly Eqn[], features: number): OnceStage {
  const variables = variablesOf(eqns);
  const kernel = k.kernel(
    `once_${name}`,
    variables.map((x) => `v${x.id}`),
    (f, _, a) => {
      for (const eqn of eqns) writeVector(k, f, eqn, a, features);
    },
  );
  return { kernel, items: 1, variables };
}

function writeVector(k: Kernels, f: Func, eqn: Eqn, a: Readonly<Record<string, Local>>, features: number): void {
  const out = a[`v${eqn.out.id}`];
  const base = (n: number) => a[`v${(eqn.args[n] as Var).id}`];
  if (eqn.prim === 'sumFeatures') {
    f.do(storeV(out, sumFeatures(f, features, base(0))));
  } else if (!isElementwise(eqn.prim)) {
    const row = (x: Expr) => [x, i32(1), i32(0)];
    const func = eqn.prim === 'softmax' ? softmaxRow(k, features) : softmaxAdjointRow(k, features);
    f.do(call(func, [...eqn.args.flatMap((_, n) => row(base(n))), ...row(out)]));
  } else {
    const write = (o: Expr | number) => {
      const value = emit(f, eqn, (atom) => {
        if (atom.kind === 'lit') return splat(atom.value);
        const from = a[`v${atom.id}`];
        return f.let('x', atom.type.extent === 'scalar' ? loadSplat(from) : loadV(add(from, o)));
      });
      f.do(storeV(add(out, o), value));
    };
    if (eqn.out.type.extent === 'scalar') write(0);
    else eachFeature(f, features, write);
  }
}

/** A matrix [features, features] in panels; items are panels. */
function matrixStage(k: Kernels, name: string, eqn: Eqn, features: number): OnceStage {
  const variables = variablesOf([eqn]);
  const rows = matrixRows(features);
  const kernel = k.kernel(
    `matrix_${name}`,
    variables.map((x) => `v${x.id}`),
    (f, panel, a) => {
      onPanel(f, features, panel, (vectors, width) => {
        const start = f.let('start', mul(panel, rows * panelBytes));
        const end = f.let('end', add(start, rows * width));
        const o = f.local('i32', 'o');
        f.for(o, start, end, 16, () => {
          const loaded = (atom: Eqn['args'][number]) =>
            atom.kind === 'lit' ? splat(atom.value) : f.let('x', loadV(add(a[`v${atom.id}`], o)));
          const value = eqn.prim === 'zeroDiagonal' ? f.let('kept', loaded(eqn.args[0])) : emit(f, eqn, loaded);
          f.do(storeV(add(a[`v${eqn.out.id}`], o), value));
        });
        if (eqn.prim === 'zeroDiagonal') {
          // Row r of a panel that starts at column c has its diagonal element at column r - c.
          const column = f.local('i32', 'column');
          f.for(column, 0, i32(vectors * 4), 1, () => {
            const row = add(column, mul(panel, 32));
            f.do(storeF32(add(a[`v${eqn.out.id}`], add(start, add(mul(row, width), mul(column, 4)))), f32(0)));
          });
        }
      });
    },
  );
  return { kernel, items: panelsOf(features).count, variables };
}
