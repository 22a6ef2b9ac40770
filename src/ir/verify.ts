import type { Graph, GraphNode } from './graph.ts';
import { primRules, typeOf } from './primitives.ts';
import type { AdjointStep, Atom, Eqn, Step, Var } from './step.ts';

/**
 * Rejects IR that no pass may produce. A failure here is a mistake in sparchc, not in a spec, hence a plain Error.
 * A Step's equations are in order, well typed, and over rows exactly in the body; a Graph's nodes refer to earlier
 * nodes with fitting types and to existing parameters of fitting shapes.
 */
export function verifyStep(step: Step): void {
  const known = new Set<number>();
  const define = (v: Var) => defineOnce(v, known, step.name);
  for (const p of step.parameters) define(p.variable);
  verifyEqns(step.prelude, known, step.name);
  for (const eqn of step.prelude)
    demand(eqn.out.type.extent !== 'rows', step.name, `${eqn.out.name} over rows in the prelude`);
  for (const input of step.inputs) define(input.variable);
  for (const state of step.states) define(state.before);
  verifyEqns(step.body, known, step.name);
  for (const eqn of step.body)
    demand(eqn.out.type.extent === 'rows', step.name, `${eqn.out.name} not over rows in the body`);
  for (const atom of [step.output, ...step.states.map((s) => s.after)]) {
    demandKnown(atom, known, step.name);
    demand(typeOf(atom).extent === 'rows', step.name, 'an output or state that is not over rows');
  }
}

export function verifyAdjoint(adjoint: AdjointStep): void {
  const { step } = adjoint;
  const name = `adjoint of ${step.name}`;
  const known = new Set<number>();
  const readable = [
    ...step.parameters.map((p) => p.variable),
    ...step.prelude.map((e) => e.out),
    ...adjoint.residuals,
    adjoint.outputCotangent,
    ...adjoint.states.map((s) => s.after),
  ];
  for (const v of readable) defineOnce(v, known, name);
  verifyEqns(adjoint.body, known, name);
  const results = [
    ...adjoint.states.map((s) => s.before),
    ...adjoint.inputs.map((i) => i.cotangent),
    ...adjoint.sums.map((s) => s.value),
    ...adjoint.outers.flatMap((o) => [o.left, o.right]),
  ];
  for (const atom of results) demandKnown(atom, known, name);
  for (const { into } of [...adjoint.sums, ...adjoint.outers]) defineOnce(into, known, name);
  verifyEqns(adjoint.prelude, known, name);
  for (const { value } of adjoint.gradients) demandKnown(value, known, name);
}

function verifyEqns(eqns: readonly Eqn[], known: Set<number>, where: string): void {
  for (const eqn of eqns) {
    const rule = primRules[eqn.prim];
    demand(eqn.args.length === rule.arity, where, `${eqn.prim} with ${eqn.args.length} operands`);
    for (const atom of eqn.args) demandKnown(atom, known, where);
    const type = rule.type(eqn.args.map(typeOf));
    demand(typeof type !== 'string', where, `${eqn.prim}: ${type}`);
    demand(
      typeof type !== 'string' && type.extent === eqn.out.type.extent,
      where,
      `${eqn.out.name} of another extent than ${eqn.prim} gives`,
    );
    demand((eqn.surrogate !== undefined) === (eqn.prim === 'spike'), where, `${eqn.prim} and its surrogate`);
    defineOnce(eqn.out, known, where);
  }
}

function defineOnce(variable: Var, known: Set<number>, where: string): void {
  demand(!known.has(variable.id), where, `${variable.name} defined twice`);
  known.add(variable.id);
}

function demandKnown(atom: Atom, known: ReadonlySet<number>, where: string): void {
  demand(
    atom.kind === 'lit' || known.has(atom.id),
    where,
    `${atom.kind === 'var' ? atom.name : ''} used before it is defined`,
  );
}

export function verifyGraph(graph: Graph): void {
  const where = `graph ${graph.name}`;
  const shapes = new Map(graph.parameters.map((p) => [p.key, p.shape]));
  demand(shapes.size === graph.parameters.length, where, 'two parameters with one key');
  const nodes = new Map<string, GraphNode>();
  const typeAt = (id: string) => {
    const node = nodes.get(id);
    if (!node) throw new Error(`${where}: node "${id}" used before it is defined`);
    return node.type;
  };
  const demandShape = (key: string, shape: readonly number[]) =>
    demand(
      shapes.get(key)?.join() === shape.join(),
      where,
      `parameter ${key} of shape [${shapes.get(key)}], not [${shape}]`,
    );

  for (const node of graph.nodes) {
    demand(!nodes.has(node.id), where, `two nodes "${node.id}"`);
    switch (node.kind) {
      case 'source':
        break;
      case 'projection': {
        demandShape(node.weight, [node.type.features, typeAt(node.input).features]);
        if (node.bias) demandShape(node.bias, [node.type.features]);
        if (node.norm.kind !== 'none') demandShape(node.norm.weight, [node.type.features]);
        break;
      }
      case 'population':
        verifyStep(node.step);
        demand(node.inputs.length === node.step.inputs.length, where, `${node.id} with ${node.inputs.length} inputs`);
        for (const id of node.inputs)
          demand(typeAt(id).features === node.size && typeAt(id).time, where, `${node.id} reads ${id}`);
        for (const s of node.step.states)
          demandShape(node.initialStates[s.name], [node.bidirectional ? 2 : 1, node.size]);
        break;
      case 'readout':
        verifyStep(node.step);
        demand(typeAt(node.input).time && !node.type.time, where, `${node.id} must consume time`);
        break;
      case 'dropout':
        demand(typeAt(node.input).features === node.type.features, where, `${node.id} changes the size`);
        break;
      case 'merge': {
        const sizes = node.inputs.map((id) => typeAt(id).features);
        const size = node.operation === 'add' ? sizes[0] : sizes.reduce((a, b) => a + b, 0);
        demand(size === node.type.features, where, `${node.id} of ${node.type.features} features`);
        break;
      }
    }
    nodes.set(node.id, node);
  }
  for (const id of [graph.output, graph.prediction, graph.loss.scores, ...graph.layers.map((l) => l.output)])
    typeAt(id);
}

function demand(condition: boolean, where: string, what: string): asserts condition {
  if (!condition) throw new Error(`invalid IR (${where}): ${what}; please report this`);
}
