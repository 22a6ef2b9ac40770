import { atomValue, type Env, evaluate } from '../../ir/evaluate.ts';
import type { PopulationNode } from '../../ir/graph.ts';
import { typeOf } from '../../ir/primitives.ts';
import type { Atom, Eqn, Var } from '../../ir/step.ts';
import type { Tensors } from '../target.ts';
import { type Indeterminate, Polynomial } from './polynomial.ts';

/** A recurrent product: `matrix` [size, size] times `operand`. */
export interface RecurrentProduct {
  readonly matrix: Float64Array;
  readonly operand: Polynomial;
}

/** What one time step of a layer computes. */
export interface Interpretation {
  /** Neurons. */
  readonly size: number;
  readonly output: Polynomial;
  /** By state, its value after the step. */
  readonly after: ReadonlyMap<string, Polynomial>;
  /** By state, the id of its value before the step; states that hold the same spikes share one. */
  readonly before: ReadonlyMap<string, string>;
  /** By id of a spike, the potential minus the threshold. */
  readonly spikes: ReadonlyMap<string, Polynomial>;
  readonly products: ReadonlyMap<string, RecurrentProduct>;
  /** By id of anything else, what it is. */
  readonly opaque: ReadonlyMap<string, string>;
}

export const inputId = 'input';

/** Interprets a layer's equations with its trained parameters; the states in `leftOut` are 0 always. */
export function interpret(node: PopulationNode, values: Tensors, leftOut: ReadonlySet<string>): Interpretation {
  return new Interpreter(node, values, leftOut).run();
}

class Interpreter {
  private readonly node: PopulationNode;
  private readonly env: Env;
  private readonly leftOut: ReadonlySet<string>;
  private readonly values = new Map<number, Polynomial>();
  private readonly before = new Map<string, string>();
  private readonly spikes = new Map<string, Polynomial>();
  private readonly products = new Map<string, RecurrentProduct>();
  private readonly opaque = new Map<string, string>();

  constructor(node: PopulationNode, values: Tensors, leftOut: ReadonlySet<string>) {
    this.node = node;
    this.leftOut = leftOut;
    this.env = preludeValues(node, values);
  }

  run(): Interpretation {
    const { step } = this.node;
    for (const { variable } of step.inputs) this.define(variable, { id: inputId, binary: false });
    for (const { name, before, after } of step.states) {
      const held = isSpike(after, step.body);
      const id = held ? `held ${(after as Var).id}` : `state ${name}`;
      this.before.set(name, id);
      if (this.leftOut.has(name)) this.values.set(before.id, this.number(0));
      else this.define(before, { id, binary: held });
    }
    const dropped = step.states.filter(({ name }) => this.leftOut.has(name)).map(({ after }) => after);
    for (const eqn of step.body) {
      this.values.set(eqn.out.id, dropped.includes(eqn.out) ? this.number(0) : this.compute(eqn));
    }
    return {
      size: this.node.size,
      output: this.value(step.output),
      after: new Map(step.states.map(({ name, after }) => [name, this.value(after)])),
      before: this.before,
      spikes: this.spikes,
      products: this.products,
      opaque: this.opaque,
    };
  }

  private define(variable: Var, indeterminate: Indeterminate): void {
    this.values.set(variable.id, Polynomial.of(indeterminate, this.node.size));
  }

  private number(value: number): Polynomial {
    return Polynomial.constant(new Float64Array(this.node.size).fill(value));
  }

  private value(atom: Atom): Polynomial {
    if (atom.kind === 'lit') return this.number(atom.value);
    const known = this.values.get(atom.id);
    if (known) return known;
    const given = atomValue(atom, this.env);
    return Polynomial.constant(
      Float64Array.from({ length: this.node.size }, (_, i) => given[given.length === 1 ? 0 : i]),
    );
  }

  private compute(eqn: Eqn): Polynomial {
    if (eqn.prim === 'matvec') return this.product(eqn);
    const args = eqn.args.map((atom) => this.value(atom));
    const [a, b, c] = args;
    switch (eqn.prim) {
      case 'add':
        return a.plus(b);
      case 'sub':
        return a.minus(b);
      case 'neg':
        return this.number(0).minus(a);
      case 'detach':
        return a;
      case 'mul':
        return a.times(b) ?? this.unknown(eqn);
      case 'div':
        return (b.constant && b.coefficients() && a.times(inverse(b))) || this.unknown(eqn);
      case 'select': {
        // c ? a : b is b + c * (a - b) for a condition that is 0 or 1.
        const condition = typeOf(eqn.args[0]).set === 'spike' || a.single?.binary ? a : null;
        const difference = condition?.times(b.minus(c));
        return difference ? c.plus(difference) : this.unknown(eqn);
      }
      case 'spike': {
        const id = `spike ${eqn.out.id}`;
        this.spikes.set(id, a);
        return Polynomial.of({ id, binary: true }, this.node.size);
      }
      default:
        return this.unknown(eqn);
    }
  }

  private product(eqn: Eqn): Polynomial {
    const id = `product ${eqn.out.id}`;
    this.products.set(id, { matrix: atomValue(eqn.args[0], this.env), operand: this.value(eqn.args[1]) });
    return Polynomial.of({ id, binary: false }, this.node.size);
  }

  private unknown(eqn: Eqn): Polynomial {
    const id = `opaque ${eqn.out.id}`;
    this.opaque.set(id, eqn.prim);
    return Polynomial.of({ id, binary: typeOf(eqn.out).set === 'spike' }, this.node.size);
  }
}

function preludeValues({ step, parameters, size }: PopulationNode, values: Tensors): Env {
  const env: Env = new Map();
  for (const { name, variable } of step.parameters) {
    env.set(variable.id, Float64Array.from(values.get(parameters[name]) as Float32Array));
  }
  evaluate(step.prelude, env, { rows: 1, features: size });
  return env;
}

function isSpike(atom: Atom, body: readonly Eqn[]): boolean {
  return atom.kind === 'var' && body.some(({ out, prim }) => out === atom && prim === 'spike');
}

function inverse(constant: Polynomial): Polynomial {
  return Polynomial.constant((constant.coefficients() as Float64Array).map((v) => 1 / v));
}
