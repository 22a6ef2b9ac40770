import type { Call, Definition, Expr, NeuronItem, Value } from './ast.ts';

/** A definition as DSL text that parses to the same tree. */
export function printDefinition(definition: Definition): string {
  const doc = definition.doc ? ` "${definition.doc.replace(/["\\]/g, '\\$&')}"` : '';
  if (definition.kind === 'surrogate') {
    const { parameters, derivative, antiderivative, support } = definition;
    const list = parameters.map(({ name, value }) => (value ? `${name.text} = ${printExpr(value)}` : name.text));
    const parts = [
      derivative && `  derivative = ${printExpr(derivative)}`,
      antiderivative && `  antiderivative = ${printExpr(antiderivative)}`,
      support && `  support = ${printInterval(support)}`,
    ].filter((part) => part !== null);
    const signature = list.length > 0 ? `(${list.join(', ')})` : '';
    return [`surrogate ${definition.name.text}${signature}${doc} {`, ...parts, '}', ''].join('\n');
  }
  const items = definition.items.map((item) => `  ${printItem(item)}`);
  return [`${definition.kind} ${definition.name.text}${doc} {`, ...items, '}', ''].join('\n');
}

function printItem(item: NeuronItem): string {
  switch (item.kind) {
    case 'input':
      return `input ${item.name.text}`;
    case 'param': {
      const modifiers = `${item.scalar ? 'scalar ' : ''}${item.frozen ? 'frozen ' : ''}`;
      const range = item.range ? ` in ${printInterval(item.range)}` : '';
      const initial = item.initial ? ` = ${printExpr(item.initial)}` : '';
      return `param ${modifiers}${item.name.text}${range}${initial}`;
    }
    case 'const':
    case 'let':
      return `${item.kind} ${item.name.text} = ${printExpr(item.value)}`;
    case 'state':
      return `state ${item.name.text} = ${printExpr(item.initial)}`;
    case 'recurrent':
      return `recurrent ${item.name.text} = ${printCall(item.initial)}`;
    case 'update':
      return `${item.name.text}' = ${printExpr(item.value)}`;
    case 'output':
      return `output ${printExpr(item.value)}`;
  }
}

function printInterval([low, high]: readonly [Expr, Expr]): string {
  return `[${printExpr(low)}, ${printExpr(high)}]`;
}

/** How tightly an operator binds. */
const ranks: Readonly<Record<string, number>> = {
  or: 1,
  and: 2,
  '<': 3,
  '<=': 3,
  '>': 3,
  '>=': 3,
  '==': 3,
  '+': 4,
  '-': 4,
  '*': 5,
  '/': 5,
  '@': 5,
};
const unaryRank = 6;

export function printExpr(expr: Expr, weakest = 0): string {
  switch (expr.kind) {
    case 'number':
      return String(expr.value);
    case 'name':
      return expr.primed ? `${expr.name}'` : expr.name;
    case 'call':
      return `${expr.name.text}(${expr.args.map((a, i) => named(expr.argNames[i]?.text, printExpr(a))).join(', ')})`;
    case 'unary': {
      const operator = expr.operator === '-' ? '-' : 'not ';
      return parenthesised(`${operator}${printExpr(expr.operand, unaryRank)}`, unaryRank < weakest);
    }
    case 'binary': {
      const rank = ranks[expr.operator];
      // Operators of one rank associate to the left; comparisons do not chain.
      const left = printExpr(expr.left, rank === 3 ? 4 : rank);
      const right = printExpr(expr.right, rank + 1);
      return parenthesised(`${left} ${expr.operator} ${right}`, rank < weakest);
    }
  }
}

function parenthesised(text: string, needed: boolean): string {
  return needed ? `(${text})` : text;
}

function printCall(call: Call): string {
  if (call.args.length === 0) return call.name.text;
  const args = call.args.map(({ name, value }) => named(name?.text, printValue(value)));
  return `${call.name.text}(${args.join(', ')})`;
}

function named(name: string | undefined, value: string): string {
  return name === undefined ? value : `${name}=${value}`;
}

function printValue(value: Value): string {
  switch (value.kind) {
    case 'number':
      return value.text;
    case 'string':
      return `"${value.value.replace(/["\\]/g, '\\$&')}"`;
    case 'word':
      return value.value;
    case 'variable':
      return `$${value.value}`;
    case 'call':
      return printCall(value);
  }
}
