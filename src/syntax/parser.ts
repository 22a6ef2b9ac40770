import { EmbeddedActionsParser, type IToken, type TokenType } from 'chevrotain';
import type { Span } from '../diagnostics/source.ts';
import { cover } from '../diagnostics/source.ts';
import type {
  Argument,
  BinaryOperator,
  Call,
  Chain,
  Definition,
  Expr,
  Ident,
  Network,
  NeuronDefinition,
  NeuronItem,
  Pipeline,
  Stage,
  SurrogateDefinition,
  Value,
} from './ast.ts';
import { errorMessages } from './messages.ts';
import { splitNumber } from './quantity.ts';
import type { LocatedText } from './text.ts';
import { spanIn } from './text.ts';
import * as t from './tokens.ts';

// What a rule gives back when it had to recover from a syntax error: the tree is thrown away, later errors are not.
const nowhere: Span = { source: { name: '', text: '' }, start: 0, end: 0 };
const missing: Ident = { text: '', span: nowhere };
const zero: Expr = { kind: 'number', value: 0, span: nowhere };
const emptyCall: Call = { kind: 'call', name: missing, args: [], span: nowhere };
const noName = { recoveryValueFunc: () => missing };
const noDoc = { recoveryValueFunc: () => '' };
const noExpression = { recoveryValueFunc: () => zero };
const noInterval = { recoveryValueFunc: (): [Expr, Expr] => [zero, zero] };
const noItems = { recoveryValueFunc: () => [] };
const noParam = { recoveryValueFunc: (): NeuronItem => ({ kind: 'input', name: missing }) };
const noDefinition = { recoveryValueFunc: () => ({ kind: 'neuron', name: missing, doc: '', items: [] }) as never };
const noCall = { recoveryValueFunc: () => emptyCall };
const noArgument = { recoveryValueFunc: (): Argument => ({ name: null, value: emptyCall }) };
const noStage = { recoveryValueFunc: (): Stage => ({ repeat: { value: 1, span: nowhere }, call: emptyCall }) };
const noChain = { recoveryValueFunc: (): Chain => ({ name: null, head: emptyCall, stages: [] }) };

/**
 * The grammar of the DSL, rule by rule as in grammar/README.md. Rules return syntax trees; when a text has syntax
 * errors the tree is incomplete and `parse.ts` throws it away.
 */
export class DslParser extends EmbeddedActionsParser {
  private located!: LocatedText;

  constructor() {
    super(t.tokens, { recoveryEnabled: true, maxLookahead: 3, errorMessageProvider: errorMessages });
    this.performSelfAnalysis();
  }

  read(located: LocatedText, tokens: IToken[]): void {
    this.located = located;
    this.input = tokens;
  }

  // Entry points

  definitions = this.RULE('definitions', (): Definition[] => {
    const found: Definition[] = [];
    this.MANY(() => {
      const definition = this.OR<Definition>([
        { ALT: () => this.SUBRULE(this.neuron) },
        { ALT: () => this.SUBRULE(this.surrogate) },
      ]);
      found.push(definition);
    });
    return found;
  });

  network = this.RULE('network', (): Network => {
    const chains: Chain[] = [];
    this.AT_LEAST_ONE(() => chains.push(this.SUBRULE(this.chain)));
    return { chains };
  });

  pipeline = this.RULE('pipeline', (): Pipeline => {
    const calls: Call[] = [];
    this.AT_LEAST_ONE_SEP({ SEP: t.Pipe, DEF: () => calls.push(this.SUBRULE(this.call)) });
    return { calls };
  });

  // Neurons and surrogates

  private neuron = this.RULE(
    'neuron',
    (): NeuronDefinition => {
      const word = this.OR([{ ALT: () => this.CONSUME(t.Neuron) }, { ALT: () => this.CONSUME(t.Pool) }]);
      const name = this.SUBRULE(this.name);
      const doc = this.SUBRULE(this.doc);
      const items: NeuronItem[] = [];
      this.CONSUME(t.LeftBrace);
      this.MANY(() => {
        const more = this.SUBRULE(this.item);
        this.ACTION(() => items.push(...more));
      });
      this.CONSUME(t.RightBrace);
      return { kind: word.tokenType === t.Pool ? 'pool' : 'neuron', name, doc, items };
    },
    noDefinition,
  );

  private item = this.RULE(
    'item',
    (): NeuronItem[] => {
      const items: NeuronItem[] = [];
      this.OR([
        { ALT: () => this.listOf(1, t.Input, () => items.push({ kind: 'input', name: this.SUBRULE1(this.name) })) },
        { ALT: () => this.listOf(2, t.Param, () => items.push(this.SUBRULE(this.param))) },
        {
          ALT: () =>
            this.listOf(3, t.Const, () => {
              const name = this.SUBRULE2(this.name);
              this.CONSUME1(t.Assign);
              items.push({ kind: 'const', name, value: this.SUBRULE2(this.expression) });
            }),
        },
        {
          ALT: () =>
            this.listOf(4, t.Recurrent, () => {
              const name = this.SUBRULE3(this.name);
              this.CONSUME2(t.Assign);
              items.push({ kind: 'recurrent', name, initial: this.SUBRULE3(this.call) });
            }),
        },
        {
          ALT: () =>
            this.listOf(5, t.State, () => {
              const name = this.SUBRULE4(this.name);
              this.CONSUME3(t.Assign);
              items.push({ kind: 'state', name, initial: this.SUBRULE4(this.expression) });
            }),
        },
        {
          ALT: () => {
            this.CONSUME(t.Let);
            const name = this.SUBRULE5(this.name);
            this.CONSUME5(t.Assign);
            items.push({ kind: 'let', name, value: this.SUBRULE5(this.expression) });
          },
        },
        {
          ALT: () => {
            const token = this.CONSUME(t.PrimedName);
            this.CONSUME6(t.Assign);
            const value = this.SUBRULE6(this.expression);
            this.ACTION(() => {
              const span = this.span(token);
              const name = { text: token.image.slice(0, -1), span };
              items.push({ kind: 'update', name, value });
            });
          },
        },
        {
          ALT: () => {
            const token = this.CONSUME(t.Output);
            const value = this.SUBRULE7(this.expression);
            this.ACTION(() => items.push({ kind: 'output', value, span: this.span(token) }));
          },
        },
      ]);
      return items;
    },
    noItems,
  );

  /** A declaration word followed by one or more things separated by commas. */
  private listOf(index: 1 | 2 | 3 | 4 | 5, word: TokenType, one: () => void): void {
    this.consume(index, word);
    switch (index) {
      case 1:
        return void this.AT_LEAST_ONE_SEP1({ SEP: t.Comma, DEF: one });
      case 2:
        return void this.AT_LEAST_ONE_SEP2({ SEP: t.Comma, DEF: one });
      case 3:
        return void this.AT_LEAST_ONE_SEP3({ SEP: t.Comma, DEF: one });
      case 4:
        return void this.AT_LEAST_ONE_SEP4({ SEP: t.Comma, DEF: one });
      case 5:
        return void this.AT_LEAST_ONE_SEP5({ SEP: t.Comma, DEF: one });
    }
  }

  private param = this.RULE(
    'param',
    (): NeuronItem => {
      const scalar = this.OPTION1(() => this.CONSUME(t.Scalar)) !== undefined;
      const frozen = this.OPTION2(() => this.CONSUME(t.Frozen)) !== undefined;
      const name = this.SUBRULE(this.name);
      const range = this.OPTION3(() => {
        this.CONSUME(t.In);
        return this.SUBRULE(this.interval);
      });
      const initial = this.OPTION4(() => {
        this.CONSUME(t.Assign);
        return this.SUBRULE(this.expression);
      });
      return { kind: 'param', name, scalar, frozen, range: range ?? null, initial: initial ?? null };
    },
    noParam,
  );

  private interval = this.RULE(
    'interval',
    (): [Expr, Expr] => {
      this.CONSUME(t.LeftBracket);
      const low = this.SUBRULE1(this.expression);
      this.CONSUME(t.Comma);
      const high = this.SUBRULE2(this.expression);
      this.CONSUME(t.RightBracket);
      return [low, high];
    },
    noInterval,
  );

  private surrogate = this.RULE(
    'surrogate',
    (): SurrogateDefinition => {
      this.CONSUME(t.SurrogateWord);
      const name = this.SUBRULE(this.name);
      const parameters: { name: Ident; value: Expr | null }[] = [];
      this.OPTION1(() => {
        this.CONSUME(t.LeftParen);
        this.MANY_SEP({
          SEP: t.Comma,
          DEF: () => {
            const parameter = this.SUBRULE1(this.name);
            const value = this.OPTION2(() => {
              this.CONSUME1(t.Assign);
              return this.SUBRULE1(this.expression);
            });
            parameters.push({ name: parameter, value: value ?? null });
          },
        });
        this.CONSUME(t.RightParen);
      });
      const doc = this.SUBRULE(this.doc);
      const parts = new Map<string, Expr | [Expr, Expr]>();
      this.CONSUME(t.LeftBrace);
      this.MANY(() => {
        const part = this.SUBRULE2(this.name);
        this.CONSUME2(t.Assign);
        const value = this.OR<Expr | [Expr, Expr]>([
          { ALT: () => this.SUBRULE(this.interval) },
          { ALT: () => this.SUBRULE2(this.expression) },
        ]);
        parts.set(part.text, value);
      });
      this.CONSUME(t.RightBrace);
      const expressionOf = (part: string) => {
        const value = parts.get(part);
        return value && !Array.isArray(value) ? value : null;
      };
      const support = parts.get('support');
      return {
        kind: 'surrogate',
        name,
        doc,
        parameters,
        derivative: expressionOf('derivative'),
        antiderivative: expressionOf('antiderivative'),
        support: Array.isArray(support) ? support : null,
      };
    },
    noDefinition,
  );

  private doc = this.RULE(
    'doc',
    (): string => {
      const token = this.OPTION(() => this.CONSUME(t.StringToken));
      return this.ACTION(() => (token ? unquote(token.image) : ''));
    },
    noDoc,
  );

  // Expressions, loosest binding first

  private expression = this.RULE('expression', (): Expr => this.SUBRULE(this.disjunction), noExpression);

  private disjunction = this.RULE(
    'disjunction',
    (): Expr => {
      let left = this.SUBRULE1(this.conjunction);
      this.MANY(() => {
        this.CONSUME(t.Or);
        const right = this.SUBRULE2(this.conjunction);
        left = this.binary('or', left, right);
      });
      return left;
    },
    noExpression,
  );

  private conjunction = this.RULE(
    'conjunction',
    (): Expr => {
      let left = this.SUBRULE1(this.comparison);
      this.MANY(() => {
        this.CONSUME(t.And);
        const right = this.SUBRULE2(this.comparison);
        left = this.binary('and', left, right);
      });
      return left;
    },
    noExpression,
  );

  private comparison = this.RULE(
    'comparison',
    (): Expr => {
      let left = this.SUBRULE1(this.sum);
      this.OPTION(() => {
        const operator = this.OR([
          { ALT: () => this.CONSUME(t.LessEqual) },
          { ALT: () => this.CONSUME(t.GreaterEqual) },
          { ALT: () => this.CONSUME(t.EqualEqual) },
          { ALT: () => this.CONSUME(t.Less) },
          { ALT: () => this.CONSUME(t.Greater) },
        ]);
        const right = this.SUBRULE2(this.sum);
        left = this.binary(operator.image as BinaryOperator, left, right);
      });
      return left;
    },
    noExpression,
  );

  private sum = this.RULE(
    'sum',
    (): Expr => {
      let left = this.SUBRULE1(this.product);
      this.MANY(() => {
        const operator = this.OR([{ ALT: () => this.CONSUME(t.Plus) }, { ALT: () => this.CONSUME(t.Minus) }]);
        const right = this.SUBRULE2(this.product);
        left = this.binary(operator.image as BinaryOperator, left, right);
      });
      return left;
    },
    noExpression,
  );

  private product = this.RULE(
    'product',
    (): Expr => {
      let left = this.SUBRULE1(this.unary);
      this.MANY(() => {
        const operator = this.OR([
          { ALT: () => this.CONSUME(t.Times) },
          { ALT: () => this.CONSUME(t.Divide) },
          { ALT: () => this.CONSUME(t.At) },
        ]);
        const right = this.SUBRULE2(this.unary);
        left = this.binary(operator.image as BinaryOperator, left, right);
      });
      return left;
    },
    noExpression,
  );

  private unary = this.RULE(
    'unary',
    (): Expr =>
      this.OR<Expr>([
        {
          ALT: () => {
            const token = this.OR1([{ ALT: () => this.CONSUME(t.Minus) }, { ALT: () => this.CONSUME(t.Not) }]);
            const operand = this.SUBRULE(this.unary);
            return this.ACTION((): Expr => {
              const operator = token.tokenType === t.Minus ? '-' : 'not';
              return { kind: 'unary', operator, operand, span: cover(this.span(token), operand.span) };
            });
          },
        },
        { ALT: () => this.SUBRULE(this.primary) },
      ]),
    noExpression,
  );

  private primary = this.RULE(
    'primary',
    (): Expr =>
      this.OR<Expr>({
        DEF: [
          {
            ALT: () => {
              const token = this.CONSUME(t.NumberToken);
              return this.ACTION(
                (): Expr => ({ kind: 'number', value: splitNumber(token.image).si, span: this.span(token) }),
              );
            },
          },
          {
            ALT: () => {
              const token = this.CONSUME(t.PrimedName);
              return this.ACTION(
                (): Expr => ({ kind: 'name', name: token.image.slice(0, -1), primed: true, span: this.span(token) }),
              );
            },
          },
          { ALT: () => this.SUBRULE(this.nameOrFunction) },
          {
            ALT: () => {
              this.CONSUME(t.LeftParen);
              const inner = this.SUBRULE(this.expression);
              this.CONSUME(t.RightParen);
              return inner;
            },
          },
        ],
        ERR_MSG: 'a number, a name or "("',
      }),
    noExpression,
  );

  private nameOrFunction = this.RULE(
    'nameOrFunction',
    (): Expr => {
      const name = this.SUBRULE(this.name);
      const args: Expr[] = [];
      const argNames: (Ident | null)[] = [];
      const close = this.OPTION1(() => {
        this.CONSUME(t.LeftParen);
        this.MANY_SEP({
          SEP: t.Comma,
          DEF: () => {
            const argName = this.OPTION2(() => {
              const word = this.SUBRULE2(this.name);
              this.CONSUME(t.Assign);
              return word;
            });
            argNames.push(argName ?? null);
            args.push(this.SUBRULE(this.expression));
          },
        });
        return this.CONSUME(t.RightParen);
      });
      return this.ACTION(
        (): Expr =>
          close
            ? { kind: 'call', name, args, argNames, span: cover(name.span, this.span(close)) }
            : { kind: 'name', name: name.text, primed: false, span: name.span },
      );
    },
    noExpression,
  );

  private binary(operator: BinaryOperator, left: Expr, right: Expr): Expr {
    return this.ACTION((): Expr => ({ kind: 'binary', operator, left, right, span: cover(left.span, right.span) }));
  }

  // Networks and pipelines

  private chain = this.RULE(
    'chain',
    (): Chain => {
      const name = this.OPTION(() => {
        const chainName = this.SUBRULE(this.name);
        this.CONSUME(t.Assign);
        return chainName;
      });
      const head = this.SUBRULE(this.call);
      const stages: Stage[] = [];
      this.MANY(() => {
        this.CONSUME(t.Pipe);
        stages.push(this.SUBRULE(this.stage));
      });
      return { name: name ?? null, head, stages };
    },
    noChain,
  );

  private stage = this.RULE(
    'stage',
    (): Stage => {
      const repeat = this.OPTION(() => {
        const token = this.CONSUME(t.NumberToken);
        this.CONSUME(t.Times);
        return token;
      });
      const call = this.SUBRULE(this.call);
      return this.ACTION(() => ({
        repeat: repeat ? { value: Number(repeat.image), span: this.span(repeat) } : { value: 1, span: call.span },
        call,
      }));
    },
    noStage,
  );

  private call = this.RULE(
    'call',
    (): Call => {
      const name = this.SUBRULE(this.name);
      const args: Argument[] = [];
      const close = this.OPTION(() => {
        this.CONSUME(t.LeftParen);
        this.MANY_SEP({ SEP: t.Comma, DEF: () => args.push(this.SUBRULE(this.argument)) });
        return this.CONSUME(t.RightParen);
      });
      return this.ACTION((): Call => {
        const span = close ? cover(name.span, this.span(close)) : name.span;
        return { kind: 'call', name, args, span };
      });
    },
    noCall,
  );

  private argument = this.RULE(
    'argument',
    (): Argument => {
      const name = this.OPTION(() => {
        const argumentName = this.SUBRULE(this.name);
        this.CONSUME(t.Assign);
        return argumentName;
      });
      return { name: name ?? null, value: this.SUBRULE(this.value) };
    },
    noArgument,
  );

  private value = this.RULE(
    'value',
    (): Value =>
      this.OR<Value>({
        DEF: [
          {
            ALT: () => {
              const minus = this.OPTION(() => this.CONSUME(t.Minus));
              const token = this.CONSUME(t.NumberToken);
              return this.ACTION((): Value => {
                const { value, unit } = splitNumber(token.image);
                const span = minus ? cover(this.span(minus), this.span(token)) : this.span(token);
                return {
                  kind: 'number',
                  value: minus ? -value : value,
                  unit,
                  text: (minus ? '-' : '') + token.image,
                  span,
                };
              });
            },
          },
          {
            ALT: () => {
              const token = this.CONSUME(t.StringToken);
              return this.ACTION(
                (): Value => ({ kind: 'string', value: unquote(token.image), span: this.span(token) }),
              );
            },
          },
          {
            ALT: () => {
              const token = this.CONSUME(t.Variable);
              return this.ACTION(
                (): Value => ({ kind: 'variable', value: token.image.slice(1), span: this.span(token) }),
              );
            },
          },
          {
            ALT: () => {
              const call = this.SUBRULE(this.call);
              return this.ACTION((): Value => {
                const isWord = call.span.end === call.name.span.end;
                return isWord ? { kind: 'word', value: call.name.text, span: call.span } : call;
              });
            },
          },
        ],
        ERR_MSG: 'a value such as 0.1, 64, batchnorm or true',
      }),
    noCall,
  );

  private name = this.RULE(
    'name',
    (): Ident => {
      const token = this.CONSUME(t.Name);
      return this.ACTION(() => ({ text: token.image, span: this.span(token) }));
    },
    noName,
  );

  private span(token: IToken): Span {
    // A token that recovery inserted stands nowhere.
    if (Number.isNaN(token.startOffset)) return nowhere;
    return spanIn(this.located, token.startOffset, token.startOffset + token.image.length);
  }
}

function unquote(image: string): string {
  return image.slice(1, -1).replace(/\\(.)/g, '$1');
}
