import { add, type Expr, eqz, type I32, i32, type Local, lt, type Type } from './expr.ts';
import { concat, unsigned } from './leb.ts';

export interface Parameter {
  readonly name: string;
  readonly type: Exclude<Type, 'void'>;
}

/** A function under construction: statements are appended in order, as machine code and as text. */
export class Func {
  readonly name: string;
  readonly parameters: readonly Local[];
  readonly result: Type;
  private readonly locals: Local[] = [];
  private readonly code: number[] = [];
  private readonly lines: string[] = [];
  private depth = 1;
  /** Position in the module; set when the module is assembled. */
  index = -1;

  constructor(name: string, parameters: readonly Parameter[], result: Type = 'void') {
    this.name = name;
    this.result = result;
    this.parameters = parameters.map((p, index) => localOf(index, p.name, p.type));
  }

  /** A new variable, zero to begin with. */
  local(type: Exclude<Type, 'void'>, name: string): Local {
    const index = this.parameters.length + this.locals.length;
    const local = localOf(index, `${name}${this.locals.some((l) => l.name === name) ? `_${index}` : ''}`, type);
    this.locals.push(local);
    return local;
  }

  /** A new variable that holds the value of an expression. */
  let(name: string, value: I32): Local {
    const expr = i32(value);
    const local = this.local(expr.type as Exclude<Type, 'void'>, name);
    this.set(local, expr);
    return local;
  }

  set(local: Local, value: I32): void {
    const expr = i32(value);
    if (expr.type !== local.type) throw new Error(`${this.name}: ${local.name} is ${local.type}, not ${expr.type}`);
    this.code.push(...expr.code, 0x21, ...unsigned(local.index));
    this.say(`${local.name} = ${expr.text}`);
  }

  /** Appends an expression as a statement; what it leaves is dropped. */
  do(expr: Expr): void {
    for (const byte of expr.code) this.code.push(byte);
    if (expr.type !== 'void') this.code.push(0x1a);
    this.say(expr.text);
  }

  return(value: I32): void {
    const expr = i32(value);
    this.code.push(...expr.code, 0x0f);
    this.say(`return ${expr.text}`);
  }

  /** Returns from a function without a result. */
  return0(): void {
    this.code.push(0x0f);
    this.say('return');
  }

  if(condition: Expr, then: () => void, otherwise?: () => void): void {
    this.code.push(...condition.code, 0x04, 0x40);
    this.block(`if ${condition.text}`, then);
    if (otherwise) {
      this.code.push(0x05);
      this.block('else', otherwise);
    }
    this.code.push(0x0b);
  }

  while(condition: Expr, body: () => void): void {
    this.code.push(...condition.code, 0x04, 0x40, 0x03, 0x40);
    this.block(`while ${condition.text}`, body);
    this.code.push(...condition.code, 0x0d, 0, 0x0b, 0x0b);
  }

  /** Counts a variable from `from` up to, not including, `limit`. */
  for(counter: Local, from: I32, limit: Expr, step: I32, body: () => void): void {
    this.set(counter, from);
    this.while(lt(counter, limit), () => {
      body();
      this.set(counter, add(counter, step));
    });
  }

  unless(condition: Expr, then: () => void): void {
    this.if(eqz(condition), then);
  }

  /** The body as the code section of a module wants it. */
  assemble(): Uint8Array {
    const locals = [...unsigned(this.locals.length), ...this.locals.flatMap((l) => [1, typeCodes[l.type]])];
    const length = locals.length + this.code.length + 1;
    return concat([unsigned(length), locals, this.code, [0x0b]]);
  }

  print(): string {
    const parameters = this.parameters.map((p) => `${p.name}: ${p.type}`).join(', ');
    const result = this.result === 'void' ? '' : `: ${this.result}`;
    return [`kernel ${this.name}(${parameters})${result} {`, ...this.lines, '}', ''].join('\n');
  }

  private block(head: string, body: () => void): void {
    this.say(`${head} {`);
    this.depth++;
    body();
    this.depth--;
    this.say('}');
  }

  private say(line: string): void {
    this.lines.push(`${'  '.repeat(this.depth)}${line}`);
  }
}

/** A call; the module gives functions their indices when it is assembled, so calls are patched late. */
export function call(func: Func, args: readonly I32[]): Expr {
  const exprs = args.map(i32);
  if (func.index < 0) throw new Error(`${func.name} is called before it is added to a module`);
  if (exprs.length !== func.parameters.length) throw new Error(`${func.name} called with ${exprs.length} arguments`);
  return {
    type: func.result,
    code: [...exprs.flatMap((e) => e.code), 0x10, ...unsigned(func.index)],
    text: `${func.name}(${exprs.map((e) => e.text).join(', ')})`,
  };
}

export const typeCodes: Readonly<Record<Type, number>> = { i32: 0x7f, f32: 0x7d, v128: 0x7b, void: 0x40 };

function localOf(index: number, name: string, type: Type): Local {
  return { index, name, type, code: [0x20, ...unsigned(index)], text: name };
}
