import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml';
import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Source, Span } from '../diagnostics/source.ts';
import { alignScalar } from '../syntax/text.ts';
import { entry, list, map, scalar, type Tree } from './tree.ts';

/** More values than any honest spec has: stops an alias bomb long before memory runs out. */
const maxNodes = 20_000;
/** After a few of them, mistakes in YAML follow from each other. */
const mostErrors = 5;
/** Longer texts than any honest spec: YAML libraries take long to say so. */
const maxLength = 256 * 1024;

/** Reads YAML into a tree with spans; null after reporting SP1xx. */
export function readYaml(source: Source, reporter: Reporter): Tree | null {
  if (source.text.length > maxLength) {
    const message = `a spec has at most ${maxLength / 1024} KiB of text, and this has more; is it the right file?`;
    reporter.error('SP108', message, { source, start: 0, end: 0 });
    return null;
  }
  const document = parseDocument(source.text, { version: '1.2', uniqueKeys: true, prettyErrors: false, merge: false });
  for (const error of document.errors.slice(0, mostErrors)) {
    const [start] = error.pos;
    const word = /^[\w.-]+/.exec(source.text.slice(start))?.[0].length ?? 1;
    reporter.error('SP101', explain(error), { source, start, end: start + word });
  }
  if (document.errors.length > 0) return null;
  if (!document.contents) {
    reporter.error('SP102', 'the spec is empty; start with "sparchc: 1"', { source, start: 0, end: 0 });
    return null;
  }
  return new Reader(source, document, reporter).read();
}

/** What a mistake in YAML is and what to do about it, in a sentence. */
function explain(error: YAMLError): string {
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'YAML does not allow tabs for indentation; use spaces';
    case 'DUPLICATE_KEY':
      return 'this key occurs twice in the same section; remove one of them';
    case 'BAD_ALIAS':
      return 'this alias has no anchor; define it with & before it is used';
    case 'MULTIPLE_DOCS':
      return 'a spec is one YAML document; remove everything from the second "---" on';
    default:
      if (error.message.includes('call stack')) return 'this is nested too deeply; flatten it';
      return `this is not valid YAML: ${error.message.split('\n')[0].replace(/[.:]?$/, '')}`;
  }
}

class Reader {
  private nodes = 0;
  /** The alias that is being expanded, as written outside of any other. */
  private outermost: Span | null = null;
  private readonly source: Source;
  private readonly document: Document;
  private readonly reporter: Reporter;

  constructor(source: Source, document: Document, reporter: Reporter) {
    this.source = source;
    this.document = document;
    this.reporter = reporter;
  }

  read(): Tree | null {
    return this.convert(this.document.contents as Node, []);
  }

  private convert(node: Node | null, aliases: readonly string[]): Tree | null {
    if (node && isAlias(node)) return this.alias(node, aliases);
    const span = this.spanOf(node);
    if (++this.nodes > maxNodes) {
      const message = `the aliases expand to more than ${maxNodes} values; write them out or use vars`;
      return this.fail('SP103', message, this.outermost ?? span);
    }
    if (isMap(node)) {
      const entries = node.items.map((pair) => this.pair(pair as Pair<Node, Node | null>, span, aliases));
      return entries.includes(null) ? null : map(entries as Exclude<(typeof entries)[number], null>[], span);
    }
    if (isSeq(node)) {
      const items: Tree[] = [];
      for (const item of node.items) {
        const tree = this.convert(item as Node | null, aliases);
        if (!tree) return null;
        items.push(tree);
      }
      return list(items, span);
    }
    return this.scalar(node, span);
  }

  private pair(pair: Pair<Node, Node | null>, parent: Span, aliases: readonly string[]) {
    const keySpan = this.spanOf(pair.key);
    if (!isScalar(pair.key)) {
      this.reporter.error('SP104', 'a key must be a plain word', keySpan);
      return null;
    }
    const value = pair.value ? this.convert(pair.value, aliases) : scalar(null, keySpan.end > 0 ? keySpan : parent);
    return value && entry(String(pair.key.value), keySpan, value);
  }

  private scalar(node: Node | null, span: Span): Tree | null {
    const value = isScalar(node) ? node.value : null;
    if (typeof value === 'string') {
      const text = alignScalar(value, this.source, this.contentStart(node as Node, span), span.end);
      return { kind: 'scalar', value, span, text };
    }
    if (value === null || typeof value === 'number' || typeof value === 'boolean') return scalar(value, span);
    return this.fail('SP105', 'expected a text, a number, true or false here', span);
  }

  /** Past the header of a block scalar (`|`, `>-`), which holds no content. */
  private contentStart(node: Node, span: Span): number {
    const isBlock = isScalar(node) && (node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED');
    const lineBreak = this.source.text.indexOf('\n', span.start);
    return isBlock && lineBreak >= 0 ? lineBreak + 1 : span.start;
  }

  private alias(node: Node, aliases: readonly string[]): Tree | null {
    if (!isAlias(node)) return null;
    const target = node.resolve(this.document);
    if (!target || aliases.includes(node.source)) {
      return this.fail('SP106', 'this alias refers to itself; write the value out', this.spanOf(node));
    }
    if (aliases.length === 0) this.outermost = this.spanOf(node);
    return this.convert(target as Node, [...aliases, node.source]);
  }

  private spanOf(node: Node | null): Span {
    const [start, end] = node?.range ?? [0, 0];
    return { source: this.source, start, end };
  }

  /** Once is enough: an alias bomb would be reported at every node. */
  private fail(code: 'SP103' | 'SP105' | 'SP106', message: string, span: Span): null {
    if (!this.reporter.diagnostics.some((d) => d.code === code)) this.reporter.error(code, message, span);
    return null;
  }
}
