import type { Graph, GraphNode, Norm, TensorType } from './graph.ts';
import type { Initializer } from './initializer.ts';
import type { AdjointStep, Atom, Eqn, Step, Surrogate, Var } from './step.ts';

/** The IR as text, for people and for tests: one line per equation or node. */
export function printGraph(graph: Graph): string {
  const lines = graph.nodes.map((node) => `  ${node.id} : ${printTensor(node.type)} = ${printNode(node)}`);
  const parameters = graph.parameters.map((p) => {
    const kind = p.trainable ? p.role : `${p.role}, not trained`;
    return `  ${p.key} : [${p.shape.join(', ')}] ${printInitializer(p.initializer)} (${kind})`;
  });
  const { regularizer, scores } = graph.loss;
  const penalty = regularizer
    ? ` + ${regularizer.factor} * firing_rate outside [${regularizer.min}, ${regularizer.max}]`
    : '';
  return [
    `graph ${graph.name} {`,
    ...lines,
    `  output ${graph.output}`,
    `  class scores ${graph.prediction}`,
    `  loss cross_entropy(${scores})${penalty}`,
    '}',
    '',
    'parameters {',
    ...parameters,
    '}',
    '',
  ].join('\n');
}

function printTensor({ features, time, set, scale }: TensorType): string {
  const shape = time ? `[batch, time, ${features}]` : `[batch, ${features}]`;
  return `${shape} ${set}${scale === 1 ? '' : ` * ${Number(scale.toPrecision(4))}`}`;
}

function printNode(node: GraphNode): string {
  switch (node.kind) {
    case 'source':
      return 'data';
    case 'projection':
      return `project(${node.input}, ${node.weight}${node.bias ? `, ${node.bias}` : ''}${printNorm(node.norm)})`;
    case 'population':
      return `${node.step.name}(${node.inputs.join(', ')})${node.bidirectional ? ' in both directions' : ''}`;
    case 'dropout':
      return `dropout(${node.input}, p=${node.p})`;
    case 'merge':
      return `${node.operation}(${node.inputs.join(', ')})`;
    case 'readout':
      return `${node.step.name}(${node.input}) at the last step`;
  }
}

function printNorm(norm: Norm): string {
  return norm.kind === 'none' ? '' : `, ${norm.kind}`;
}

export function printStep(step: Step): string {
  const parameters = step.parameters.map(
    (p) => `  ${p.trainable ? 'param' : 'frozen'} ${declare(p.variable)} = ${printInitializer(p.initializer)}`,
  );
  return [
    `step ${step.name} {`,
    ...step.inputs.map((i) => `  input ${declare(i.variable)}`),
    ...parameters,
    ...step.states.map((s) => `  state ${declare(s.before)} = ${printInitializer(s.initializer)}`),
    '  once per batch:',
    ...step.prelude.map(printEqn),
    '  every time step:',
    ...step.body.map(printEqn),
    ...step.states.map((s) => `  next ${s.name} = ${name(s.after)}`),
    `  output ${name(step.output)} : ${step.outputSet}`,
    '}',
    '',
  ].join('\n');
}

export function printAdjoint(adjoint: AdjointStep): string {
  return [
    `adjoint ${adjoint.step.name} {`,
    `  kept ${adjoint.residuals.map(name).join(', ') || 'nothing'}`,
    `  given ${[adjoint.outputCotangent, ...adjoint.states.map((s) => s.after)].map(name).join(', ')}`,
    '  every time step, backwards:',
    ...adjoint.body.map(printEqn),
    ...adjoint.states.map((s) => `  previous d_${s.name} = ${name(s.before)}`),
    ...adjoint.inputs.map((i) => `  d_${i.name} = ${name(i.cotangent)}`),
    '  over all time steps and rows:',
    ...adjoint.sums.map((s) => `    ${name(s.into)} = sum ${name(s.value)}`),
    ...adjoint.outers.map((o) => `    ${name(o.into)} = sum ${name(o.left)} x ${name(o.right)}`),
    '  once per batch:',
    ...adjoint.prelude.map(printEqn),
    ...adjoint.gradients.map((g) => `  gradient of ${g.parameter} = ${name(g.value)}`),
    '}',
    '',
  ].join('\n');
}

function printEqn(eqn: Eqn): string {
  const surrogate = eqn.surrogate ? `, ${printSurrogate(eqn.surrogate)}` : '';
  return `    ${declare(eqn.out)} = ${eqn.prim}(${eqn.args.map(name).join(', ')}${surrogate})`;
}

function printSurrogate(surrogate: Surrogate): string {
  return surrogate.args.length > 0 ? `${surrogate.name}(${surrogate.args.join(', ')})` : surrogate.name;
}

function declare(v: Var): string {
  return `${name(v)} : ${v.type.extent} ${v.type.set}`;
}

/** Names are for people, ids make them unique. */
function name(atom: Atom): string {
  return atom.kind === 'lit' ? String(atom.value) : `${atom.name}.${atom.id}`;
}

function printInitializer(initializer: Initializer): string {
  switch (initializer.kind) {
    case 'constant':
      return String(initializer.value);
    case 'uniform':
      return `uniform(${short(initializer.low)}, ${short(initializer.high)})`;
    case 'normal':
      return `normal(${short(initializer.mean)}, ${short(initializer.std)})`;
    case 'orthogonal':
      return initializer.gain === 1 ? 'orthogonal' : `orthogonal(gain=${initializer.gain})`;
  }
}

const short = (value: number): string => String(Number(value.toPrecision(6)));
