import { EqnBuilder, isLit, lit } from '../ir/builder.ts';
import { atomValue, type Env } from '../ir/evaluate.ts';
import type { Atom, Eqn, Step, Var } from '../ir/step.ts';
import { scaleRows } from './foldBatchnorm.ts';
import {
  addUp,
  type Factor,
  factorOf,
  isConstant,
  minusOne,
  one,
  plus,
  type Sum,
  signed,
  sumOf,
  type Term,
  times,
} from './sums.ts';

/** out = diag(scale) matrix + diag(diagonal). */
export interface ScaledMatrix {
  readonly out: Var;
  readonly matrix: Var;
  readonly scale: Atom;
  readonly diagonal: Atom;
}

export interface CombinedStep {
  readonly step: Step;
  /** Matrices that the body reads besides those of the parameters and the prelude. */
  readonly matrices: readonly ScaledMatrix[];
}

/**
 * A step that computes the same, but for rounding, in fewer operations per time step; for inference, since it has no
 * derivatives. Sums are multiplied out where that costs nothing. Then products of constants go into the prelude, what
 * depends on inputs alone is added up by itself (and can be computed for all time steps at once), a factor of a recurrent
 * product goes into its matrix and, with `diagonals`, a multiple of the vector in that product into the matrix's diagonal.
 * A spike compares with its threshold.
 */
export function combineSums(step: Step, diagonals: boolean): CombinedStep {
  const combiner = new Combiner(step, diagonals);
  for (const eqn of step.body) combiner.visit(eqn);
  const states = step.states.map((state) => ({ ...state, after: combiner.computed(state.after) }));
  const output = combiner.computed(step.output);
  const { eqns } = combiner.builder;
  const changes = ({ out }: Eqn) => !isConstant(out);
  const prelude = [...step.prelude, ...eqns.filter((eqn) => !changes(eqn))];
  return { step: { ...step, prelude, body: eqns.filter(changes), states, output }, matrices: combiner.matrices };
}

/** The matrix's values, from those of what it is made of. */
export function evaluateScaled({ matrix, scale, diagonal }: ScaledMatrix, env: Env, size: number): Float64Array {
  const [by, on] = [scale, diagonal].map((atom) => overNeurons(atomValue(atom, env), size));
  const scaled = atomValue(matrix, env).slice();
  scaleRows(scaled, by);
  for (let i = 0; i < size; i++) scaled[i * size + i] += on[i];
  return scaled;
}

function overNeurons(values: Float64Array, size: number): Float64Array {
  return values.length === 1 ? new Float64Array(size).fill(values[0]) : values;
}

class Combiner {
  readonly builder: EqnBuilder;
  readonly matrices: ScaledMatrix[] = [];
  private readonly diagonals: boolean;
  /** How often each variable of the body is read. */
  private readonly uses: ReadonlyMap<number, number>;
  /** How many products each matrix is in. */
  private readonly products: ReadonlyMap<number, number>;
  /** By the step's variables: what stands for them in the new body, or the sum that was not computed yet. */
  private readonly atoms = new Map<number, Atom>();
  private readonly sums = new Map<number, Sum>();
  /** Variables that depend on a state: the states and, of the new body, what was looked at so far. */
  private readonly stateful: Set<number>;
  private seen = 0;

  constructor(step: Step, diagonals: boolean) {
    const given = [...step.inputs, ...step.parameters].map(({ variable }) => variable);
    const computed = [...step.prelude, ...step.body].map(({ out }) => out);
    const ids = [...given, ...step.states.map(({ before }) => before), ...computed].map(({ id }) => id);
    this.builder = new EqnBuilder(1 + Math.max(...ids));
    this.diagonals = diagonals;
    this.uses = count([
      ...step.body.flatMap(({ args }) => args),
      ...step.states.map(({ after }) => after),
      step.output,
    ]);
    this.products = count(step.body.flatMap(({ prim, args }) => (prim === 'matvec' ? [args[0]] : [])));
    this.stateful = new Set(step.states.map(({ before }) => before.id));
  }

  visit(eqn: Eqn): void {
    const { out } = eqn;
    const sum = isConstant(out) ? null : this.sumOfEqn(eqn);
    if (sum === null) this.atoms.set(out.id, this.emit(eqn));
    else if (this.uses.get(out.id) === 1) this.sums.set(out.id, sum);
    else this.atoms.set(out.id, this.emitSum(sum));
  }

  /** The variable's value in the new body, which computes it now if it has not yet. */
  computed(atom: Atom): Atom {
    if (atom.kind === 'lit') return atom;
    const sum = this.sums.get(atom.id);
    if (sum) {
      this.sums.delete(atom.id);
      this.atoms.set(atom.id, this.emitSum(sum));
    }
    return this.atoms.get(atom.id) ?? atom;
  }

  private asSum(atom: Atom): Sum {
    return (atom.kind === 'var' && this.sums.get(atom.id)) || sumOf(this.computed(atom));
  }

  /** Null where the equation gives no sum. */
  private sumOfEqn({ out, prim, args: [a, b] }: Eqn): Sum | null {
    const { builder } = this;
    const scaled = (atom: Atom, by: Atom) => times(builder, this.asSum(atom), factorOf(this.computed(by)));
    switch (prim) {
      case 'add':
        return plus(builder, this.asSum(a), this.asSum(b));
      case 'sub':
        return plus(builder, this.asSum(a), times(builder, this.asSum(b), minusOne));
      case 'neg':
        return times(builder, this.asSum(a), minusOne);
      case 'mul':
        if (isConstant(b)) return scaled(a, b);
        return isConstant(a) ? scaled(b, a) : null;
      case 'div':
        return isConstant(b) ? scaled(a, builder.emit('div', [lit(1), this.computed(b)])) : null;
      case 'detach':
        return this.asSum(a);
      case 'matvec': {
        const product = { matrix: this.computed(a) as Var, vector: this.computed(b) as Var };
        return { terms: [{ value: out, factor: one, product }], constant: lit(0) };
      }
      default:
        return null;
    }
  }

  private emit({ out, prim, args, surrogate }: Eqn): Atom {
    if (prim === 'spike') {
      const { terms, constant } = this.asSum(args[0]);
      if (terms.length > 0 && !isLit(constant, 0)) {
        const value = this.emitSum({ terms, constant: lit(0) });
        return this.builder.emit('greater', [value, this.builder.emit('neg', [constant])], { name: out.name });
      }
    }
    const operands = args.map((arg) => this.computed(arg));
    return this.builder.emit(prim, operands, { name: out.name, surrogate });
  }

  /** Adds up what depends on no state by itself, and adds it to the recurrent products first. */
  private emitSum({ terms, constant }: Sum): Atom {
    const { builder } = this;
    const { products, others } = this.emitProducts(terms);
    const given = others.filter(({ value }) => !this.isStateful(value));
    const drive = given.length > 0 ? builder.emit('add', [addUp(builder, given, null) as Atom, constant]) : constant;
    const recurrent = addUp(builder, products, null);
    const start = recurrent === null ? drive : builder.emit('add', [recurrent, drive]);
    const rest = others.filter((term) => !given.includes(term));
    return addUp(builder, rest, isLit(start, 0) ? null : start) ?? start;
  }

  /** Computes the terms that are products; what can go into their matrices is no term any more. */
  private emitProducts(terms: readonly Term[]): { products: Term[]; others: Term[] } {
    const products: Term[] = [];
    let others = terms.filter(({ product }) => !product);
    for (const { value, factor, product } of terms) {
      if (!product) continue;
      const { matrix, vector } = product;
      const isOnly = this.products.get(matrix.id) === 1;
      const same = this.diagonals && isOnly ? others.find((term) => term.value.id === vector.id) : undefined;
      others = others.filter((term) => term !== same);
      const isPlain = isLit(factor.size, 1) && !same;
      const scaled = isPlain || !isOnly ? matrix : this.scale(matrix, factor, same?.factor ?? factorOf(lit(0)));
      const computed = this.builder.emit('matvec', [scaled, vector], { name: value.name }) as Var;
      products.push({ value: computed, factor: scaled === matrix ? factor : one });
    }
    return { products, others };
  }

  private scale(matrix: Var, scale: Factor, diagonal: Factor): Var {
    const out = this.builder.fresh(`${matrix.name}_scaled`, matrix.type);
    const [by, on] = [scale, diagonal].map((factor) => signed(this.builder, factor));
    this.matrices.push({ out, matrix, scale: by, diagonal: on });
    return out;
  }

  private isStateful(variable: Var): boolean {
    for (; this.seen < this.builder.eqns.length; this.seen++) {
      const { out, args } = this.builder.eqns[this.seen];
      if (args.some((arg) => arg.kind === 'var' && this.stateful.has(arg.id))) this.stateful.add(out.id);
    }
    return this.stateful.has(variable.id);
  }
}

function count(atoms: readonly Atom[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const atom of atoms) if (atom.kind === 'var') counts.set(atom.id, 1 + (counts.get(atom.id) ?? 0));
  return counts;
}
