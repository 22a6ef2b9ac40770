import type { IToken } from 'chevrotain';
import { cover, type Span } from '../diagnostics/source.ts';
import type { BinaryOperator, Expr, Ident } from './ast.ts';
import { EmbeddedActionsParser } from './chevrotain.ts';
import { errorMessages } from './messages.ts';
import { splitNumber } from './quantity.ts';
import type { LocatedText } from './text.ts';
import { spanIn } from './text.ts';
import * as t from './tokens.ts';

// What a rule gives back when it had to recover from a syntax error: the tree is thrown away, later errors are not.
export const nowhere: Span = { source: { name: '', text: '' }, start: 0, end: 0 };
export const missing: Ident = { text: '', span: nowhere };
export const zero: Expr = { kind: 'number', value: 0, span: nowhere };
const noName = { recoveryValueFunc: () => missing };
export const noExpression = { recoveryValueFunc: () => zero };

/** Names and expressions, and how a token's place in the text is found: what all other rules build on. */
export class ExpressionRules extends EmbeddedActionsParser {
  private located!: LocatedText;

  constructor() {
    super(t.tokens, { recoveryEnabled: true, maxLookahead: 3, errorMessageProvider: errorMessages });
  }

  read(located: LocatedText, tokens: IToken[]): void {
    this.located = located;
    this.input = tokens;
  }

  protected name = this.RULE(
    'name',
    (): Ident => {
      const token = this.CONSUME(t.Name);
      return this.ACTION(() => ({ text: token.image, span: this.span(token) }));
    },
    noName,
  );

  protected span(token: IToken): Span {
    // A token that recovery inserted stands nowhere.
    if (Number.isNaN(token.startOffset)) return nowhere;
    return spanIn(this.located, token.startOffset, token.startOffset + token.image.length);
  }

  // Expressions, loosest binding first

  protected expression = this.RULE('expression', (): Expr => this.SUBRULE(this.disjunction), noExpression);

  protected disjunction = this.RULE(
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

  protected conjunction = this.RULE(
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

  protected comparison = this.RULE(
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

  protected sum = this.RULE(
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

  protected product = this.RULE(
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

  protected unary = this.RULE(
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

  protected primary = this.RULE(
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

  protected nameOrFunction = this.RULE(
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

  protected binary(operator: BinaryOperator, left: Expr, right: Expr): Expr {
    return this.ACTION((): Expr => ({ kind: 'binary', operator, left, right, span: cover(left.span, right.span) }));
  }
}
