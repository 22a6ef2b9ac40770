import type { Span } from '../diagnostics/source.ts';
import { primRules, typeOf } from './primitives.ts';
import type { Atom, Eqn, Fn, Lit, Prim, Surrogate, Var, VarType } from './step.ts';

export const lit = (value: number): Lit => ({ kind: 'lit', value });

export const isLit = (atom: Atom, value: number): boolean => atom.kind === 'lit' && atom.value === value;

/**
 * Emits equations in A-normal form. Operations on literals are folded, neutral ones disappear, equal ones are shared,
 * so passes can be written plainly.
 */
export class EqnBuilder {
  readonly eqns: Eqn[] = [];
  private readonly shared = new Map<string, Var>();
  private nextId: number;

  constructor(firstId = 0) {
    this.nextId = firstId;
  }

  /** One more than the largest id handed out. */
  get endId(): number {
    return this.nextId;
  }

  fresh(name: string, type: VarType): Var {
    return { kind: 'var', id: this.nextId++, name, type };
  }

  /** The result of `prim` on `args`; throws TypeMismatch where the operands do not fit. */
  emit(prim: Prim, args: readonly Atom[], options: { name?: string; surrogate?: Surrogate; origin?: Span } = {}): Atom {
    const simpler = simplify(prim, args);
    if (simpler) return simpler;
    const rule = primRules[prim];
    const type = rule.type(args.map(typeOf));
    if (typeof type === 'string') throw new TypeMismatch(type);
    const key = options.surrogate ? null : `${prim}(${args.map(keyOf).join()})`;
    const known = key && this.shared.get(key);
    if (known) return known;
    const out = this.fresh(options.name ?? prim, type);
    if (key) this.shared.set(key, out);
    this.eqns.push({ out, prim, args, surrogate: options.surrogate, origin: options.origin });
    return out;
  }

  /** Emits the body of a function with its parameter replaced. */
  inline(fn: Fn, argument: Atom): Atom {
    const values = new Map<number, Atom>([[fn.parameter.id, argument]]);
    const atomOf = (atom: Atom): Atom => (atom.kind === 'var' ? (values.get(atom.id) as Atom) : atom);
    for (const eqn of fn.eqns) values.set(eqn.out.id, this.emit(eqn.prim, eqn.args.map(atomOf)));
    return atomOf(fn.result);
  }
}

/** The operands of a primitive do not fit; the message is one sentence. */
export class TypeMismatch extends Error {}

function keyOf(atom: Atom): string {
  return atom.kind === 'var' ? `v${atom.id}` : `${atom.value}`;
}

/** What an operation is known to give without computing it, or null. */
function simplify(prim: Prim, args: readonly Atom[]): Atom | null {
  const [a, b] = args;
  const { elementwise } = primRules[prim];
  if (elementwise && args.every((x) => x.kind === 'lit')) return lit(elementwise(...args.map((x) => (x as Lit).value)));
  switch (prim) {
    case 'add':
      return isLit(a, 0) ? b : isLit(b, 0) ? a : null;
    case 'sub':
      return isLit(b, 0) ? a : null;
    case 'mul':
      if (isLit(a, 0) || isLit(b, 0)) return lit(0);
      return isLit(a, 1) ? b : isLit(b, 1) ? a : null;
    case 'div':
      return isLit(b, 1) ? a : isLit(a, 0) ? a : null;
    case 'select':
      if (a.kind === 'lit') return a.value !== 0 ? b : args[2];
      return typeOf(a).set === 'spike' && isLit(b, 1) && isLit(args[2], 0) ? a : null;
    default:
      return null;
  }
}

/** Equations that `roots` depend on, in order. */
export function liveEqns(eqns: readonly Eqn[], roots: readonly Atom[]): Eqn[] {
  const live = new Set(roots.filter((r) => r.kind === 'var').map((r) => r.id));
  const kept: Eqn[] = [];
  for (const eqn of eqns.toReversed()) {
    if (!live.has(eqn.out.id)) continue;
    kept.push(eqn);
    for (const arg of eqn.args) if (arg.kind === 'var') live.add(arg.id);
  }
  return kept.toReversed();
}
