import { cover } from '../diagnostics/source.ts';
import type { Argument, Call, Chain, Network, Pipeline, Stage, Value } from './ast.ts';
import { ExpressionRules, missing, nowhere } from './expressionRules.ts';
import { splitNumber } from './quantity.ts';
import { unquote } from './text.ts';
import * as t from './tokens.ts';

// What a rule gives back when it had to recover from a syntax error: the tree is thrown away, later errors are not.
const emptyCall: Call = { kind: 'call', name: missing, args: [], span: nowhere };
const noCall = { recoveryValueFunc: () => emptyCall };
const noArgument = { recoveryValueFunc: (): Argument => ({ name: null, value: emptyCall }) };
const noStage = { recoveryValueFunc: (): Stage => ({ repeat: { value: 1, span: nowhere }, call: emptyCall }) };
const noChain = { recoveryValueFunc: (): Chain => ({ name: null, head: emptyCall, stages: [] }) };

/** Networks and pipelines: chains of calls with values as arguments. */
export class ChainRules extends ExpressionRules {
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

  protected chain = this.RULE(
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

  protected stage = this.RULE(
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

  protected call = this.RULE(
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

  protected argument = this.RULE(
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

  protected value = this.RULE(
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
}
