import type { TokenType } from 'chevrotain';
import type { Definition, Expr, Ident, NeuronDefinition, NeuronItem, SurrogateDefinition } from './ast.ts';
import { ChainRules } from './chainRules.ts';
import { missing, zero } from './expressionRules.ts';
import { unquote } from './text.ts';
import * as t from './tokens.ts';

// What a rule gives back when it had to recover from a syntax error: the tree is thrown away, later errors are not.
const noDoc = { recoveryValueFunc: () => '' };
const noInterval = { recoveryValueFunc: (): [Expr, Expr] => [zero, zero] };
const noItems = { recoveryValueFunc: () => [] };
const noParam = { recoveryValueFunc: (): NeuronItem => ({ kind: 'input', name: missing }) };
const noDefinition = { recoveryValueFunc: () => ({ kind: 'neuron', name: missing, doc: '', items: [] }) as never };

/**
 * The grammar of the DSL, rule by rule as in grammar/README.md. Rules return syntax trees; when a text has syntax
 * errors the tree is incomplete and `parse.ts` throws it away.
 */
export class DslParser extends ChainRules {
  constructor() {
    super();
    this.performSelfAnalysis();
  }

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
}
