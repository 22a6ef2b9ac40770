import { Ajv, type ErrorObject } from 'ajv';
import type { Code, Diagnostic, Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { oneOf, suggestion } from '../diagnostics/suggest.ts';
import { layerOptions } from '../passes/model.ts';
import { splitNumber, units } from '../syntax/quantity.ts';
import { experimentSchema } from './schema.ts';
import { find, type MapTree, type Tree, textOf, toPlain } from './tree.ts';

interface QuantityBounds {
  readonly unit?: 's' | 'Hz';
  readonly min?: number;
  readonly max?: number;
  readonly exclusive?: boolean;
  /** Null where the number may be left out, or be null. */
  readonly default?: number | null;
}

/** What only takes time is off: a test checks the schema itself, and a spec is validated once. */
const ajv = new Ajv({
  allErrors: true,
  strict: false,
  verbose: true,
  meta: false,
  validateSchema: false,
  code: { optimize: false },
});
ajv.addKeyword({ keyword: 'quantity', validate: isQuantity, errors: false });
const validate = ajv.compile(experimentSchema(false));

/** Checks an expanded spec against the schema; every mistake is reported at the key or value it is about (SP2xx). */
export function validateTree(tree: MapTree, reporter: Reporter): void {
  if (validate(toPlain(tree))) return;
  // What `if` says was said by the keywords inside it.
  const errors = (validate.errors ?? []).filter((e) => e.keyword !== 'if');
  reporter.diagnostics.push(...errors.slice(0, mostErrors).map((error) => explain(error, tree)));
  if (errors.length > mostErrors) {
    reporter.error('SP200', `${errors.length - mostErrors} more mistakes are not shown; mend these first`);
  }
}

const mostErrors = 20;

/** What is wrong, in a sentence, and where. */
function explain(error: ErrorObject, tree: MapTree): Diagnostic {
  const path = error.instancePath.split('/').slice(1).map(unescapePointer);
  const at = locate(tree, path);
  const name = describe(tree, path);
  const written = typeof error.data === 'number' ? String(error.data) : JSON.stringify(error.data);
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = error.params.additionalProperty as string;
      const properties = Object.keys(error.parentSchema?.properties ?? {});
      const known = path.length === 0 ? [...properties, 'extends', 'vars'] : properties;
      const place = path.length > 0 ? ` in ${name}` : '';
      return problem('SP201', `unknown key "${key}"${place}; ${suggestion(key, known)}`, find(at.tree, key)?.keySpan);
    }
    case 'required': {
      const key = error.params.missingProperty as string;
      const meaning = error.parentSchema?.properties?.[key]?.description;
      const what = path.length > 0 ? `${name} needs` : 'a spec needs';
      return problem('SP202', `${what} "${key}"${meaning ? `: ${meaning}` : ''}`, at.keySpan ?? head(at.tree));
    }
    case 'type': {
      const types = [error.params.type].flat().filter((t) => t !== 'null');
      return problem(
        'SP203',
        `${name} must be ${types.map(article).join(' or ')}, not ${shown(at.tree, written)}`,
        head(at.tree),
      );
    }
    case 'maxLength':
      return problem('SP207', `${name} must have at most ${error.params.limit} characters`, at.tree.span);
    case 'minLength':
      return problem('SP207', `${name} must not be empty`, at.tree.span);
    case 'enum':
    case 'const': {
      if (path.at(-1) === 'size') {
        return problem('SP204', `${name} must be a whole number or "classes", not ${written}`, head(at.tree));
      }
      const allowed = (error.params.allowedValues ?? [error.params.allowedValue]) as unknown[];
      const names = allowed.filter((v) => typeof v === 'string') as string[];
      const hint =
        names.length > 0 && typeof error.data === 'string'
          ? suggestion(error.data, names)
          : `use ${allowedList(allowed)}`;
      return problem('SP204', `${name} cannot be ${shown(at.tree, written)}; ${hint}`, head(at.tree));
    }
    case 'minimum':
      return problem('SP205', `${name} must be at least ${error.params.limit}, not ${written}`, at.tree.span);
    case 'maximum':
      return problem('SP205', `${name} must be at most ${error.params.limit}, not ${written}`, at.tree.span);
    case 'exclusiveMinimum':
      return problem('SP205', `${name} must be greater than ${error.params.limit}, not ${written}`, at.tree.span);
    case 'exclusiveMaximum':
      return problem('SP205', `${name} must be less than ${error.params.limit}, not ${written}`, at.tree.span);
    case 'minItems':
      return problem('SP206', `${name} must have at least ${error.params.limit} entry`, at.tree.span);
    case 'pattern':
      return problem(
        'SP207',
        `${name} must consist of letters, digits, "_", "-" and ".", not be ${written}`,
        at.tree.span,
      );
    case 'quantity': {
      const wrong = quantityProblem(error.schema as QuantityBounds, error.data);
      // What is no option of a layer is taken for a constant of its neuron.
      const isConstant = path.at(-3) === 'layers' && error.schemaPath.includes('/additionalProperties/');
      if (!isConstant) return problem('SP208', `${name} ${wrong}`, at.tree.span);
      const message = `${name} is no option of a layer, and a constant of a neuron ${wrong}`;
      const hint = suggestion(path.at(-1)!, layerOptions);
      return problem('SP208', `${message}; ${hint}`, at.keySpan ?? at.tree.span);
    }
    default:
      return problem('SP200', `${name} ${error.message}`, head(at.tree));
  }
}

function problem(code: Code, message: string, span: Span | undefined): Diagnostic {
  return { code, severity: 'error', message, span };
}

function locate(tree: Tree, path: readonly string[]): { tree: Tree; keySpan?: Span } {
  let at: { tree: Tree; keySpan?: Span } = { tree };
  for (const key of path) {
    if (at.tree.kind === 'list') at = { tree: at.tree.items[Number(key)] };
    else {
      const found = find(at.tree, key);
      if (!found) return at;
      at = { tree: found.value, keySpan: found.keySpan };
    }
  }
  return at;
}

/** Whole sections would fill a code frame: point at where they begin. */
function head(tree: Tree): Span {
  if (tree.kind === 'scalar') return tree.span;
  const first = tree.kind === 'map' ? tree.entries[0]?.keySpan : tree.items[0]?.span;
  return first ?? tree.span;
}

/** Items of lists are called by their name or type, as `--set` addresses them. */
function describe(tree: Tree, path: readonly string[]): string {
  if (path.length === 0) return 'the spec';
  const words = path.map((key, i) => {
    const { tree: parent } = locate(tree, path.slice(0, i));
    if (parent.kind !== 'list') return key;
    const item = parent.items[Number(key)];
    return textOf(find(item, 'name')?.value) ?? textOf(find(item, 'type')?.value) ?? key;
  });
  return `"${words.join('.')}"`;
}

function shown(tree: Tree, written: string): string {
  return { scalar: written, list: 'a list', map: 'a section' }[tree.kind];
}

function article(type: string): string {
  const names: Record<string, string> = {
    integer: 'a whole number',
    number: 'a number',
    string: 'a text',
    boolean: 'true or false',
    object: 'a section with keys',
    array: 'a list',
  };
  return names[type] ?? type;
}

function allowedList(values: readonly unknown[]): string {
  return values.every((v) => typeof v === 'string') ? oneOf(values as string[]) : values.map(String).join(', ');
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

// Quantities

function isQuantity(schema: QuantityBounds, data: unknown): boolean {
  return quantityProblem(schema, data) === null;
}

/** What is wrong with a number that may carry a unit, or null. */
function quantityProblem(bounds: QuantityBounds, data: unknown): string | null {
  const { unit, min, max, exclusive } = bounds;
  if (data === null && bounds.default === null) return null;
  const example = unit === 'Hz' ? '16kHz' : unit === 's' ? '1.4s' : '0.5';
  const { si, unit: written } = typeof data === 'string' ? splitNumber(data) : { si: data as number, unit: '' };
  if ((typeof data !== 'number' && typeof data !== 'string') || !Number.isFinite(si)) {
    return `must be a number such as ${example}, not ${JSON.stringify(data)}`;
  }
  const allowed = Object.keys(units).filter((u) => !unit || units[u].dimension === unit);
  if (unit && written === '') return `needs a unit: write ${data}${unit} or ${data}${unit === 's' ? 'ms' : 'kHz'}`;
  if (written !== '' && !allowed.includes(written)) {
    return `cannot be in "${written}"; ${suggestion(written, allowed)}`;
  }
  const unitText = unit ? ` ${unit}` : '';
  if (min !== undefined && (si < min || (exclusive && si === min))) {
    return `must be ${exclusive ? 'greater than' : 'at least'} ${min}${unitText}, not ${data}`;
  }
  if (max !== undefined && (si > max || (exclusive && si === max))) {
    return `must be ${exclusive ? 'less than' : 'at most'} ${max}${unitText}, not ${data}`;
  }
  return null;
}
