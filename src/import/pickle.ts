import { UserError } from '../diagnostics/diagnostic.ts';
import { PickleBytes } from './pickleBytes.ts';
import { isKind, type PickleGlobal, type PickleValue } from './pickleValue.ts';

/** What a pickle may name and call; anything else ends the reading. */
export interface PickleRules {
  global(name: string): boolean;
  call(name: string, args: readonly PickleValue[]): boolean;
}

const mark = Symbol('mark');
type StackItem = PickleValue | typeof mark;

/**
 * Reads a Python pickle as data. A pickle is a program for a stack machine whose instructions may call anything; here a
 * call gives an inert record of what was to be called, and only names on a whitelist may occur at all. Nothing runs.
 *
 * @throws UserError SP841 for a name or call that the rules do not allow, SP842 for a damaged or unsupported pickle.
 */
export function readPickle(bytes: Uint8Array, rules: PickleRules, path: string): PickleValue {
  return new PickleReader(bytes, rules, path).run();
}

class PickleReader {
  private readonly bytes: PickleBytes;
  private readonly stack: StackItem[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly rules: PickleRules;
  private readonly path: string;

  constructor(bytes: Uint8Array, rules: PickleRules, path: string) {
    this.bytes = new PickleBytes(bytes, () => this.broken('it is cut off'));
    this.rules = rules;
    this.path = path;
  }

  run(): PickleValue {
    for (;;) {
      const code = this.bytes.byte();
      const name = (opcodes as Readonly<Record<number, Opcode>>)[code];
      if (name === 'STOP') return this.pop();
      const instruction = name && this.instructions[name];
      if (!instruction) throw this.broken(`the instruction 0x${code.toString(16)} is not supported`);
      instruction();
    }
  }

  // The machine

  private broken(why: string): UserError {
    return new UserError('SP842', `"${this.path}" holds a pickle that cannot be read: ${why}`);
  }

  private pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined || value === mark) throw this.broken('its stack runs empty');
    return value;
  }

  private popToMark(): PickleValue[] {
    const start = this.stack.lastIndexOf(mark);
    if (start < 0) throw this.broken('its stack runs empty');
    const values = this.stack.splice(start).slice(1);
    return values as PickleValue[];
  }

  private top(): PickleValue {
    const value = this.pop();
    this.stack.push(value);
    return value;
  }

  private refuse(name: string): UserError {
    const message = `"${this.path}" asks for "${name}", which no model of sparch needs; it is refused and nothing of it was run`;
    return new UserError('SP841', message);
  }

  private global(module: PickleValue, name: PickleValue): PickleGlobal {
    // Not turned into text before it is known to be text: lists that hold lists twice would grow exponentially.
    if (typeof module !== 'string' || typeof name !== 'string') throw this.broken('it asks for something by no name');
    const full = `${module}.${name}`;
    if (!this.rules.global(full)) throw this.refuse(full);
    return { kind: 'global', name: full };
  }

  private call(callee: PickleValue, args: PickleValue): PickleValue {
    if (!isKind(callee, 'global') || !Array.isArray(args)) throw this.broken('it calls something that is no function');
    if (!this.rules.call(callee.name, args)) throw this.refuse(callee.name);
    if (callee.name === 'collections.OrderedDict') return { kind: 'dict', entries: new Map() };
    return { kind: 'call', callee: callee.name, args, state: null };
  }

  private setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!isKind(dict, 'dict')) throw this.broken('it fills something that is no dictionary');
    for (let i = 0; i + 1 < items.length; i += 2) {
      const key = items[i];
      if (typeof key !== 'string' && typeof key !== 'number') throw this.broken('a key is neither text nor a number');
      dict.entries.set(key, items[i + 1]);
    }
  }

  private append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.broken('it fills something that is no list');
    for (const item of items) list.push(item);
  }

  private remembered(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) throw this.broken('it refers to something that it did not make');
    return value;
  }

  private popTuple(size: number): PickleValue[] {
    return Array.from({ length: size }, () => this.pop()).reverse();
  }

  private build(): void {
    const state = this.pop();
    const object = this.top();
    if (isKind(object, 'call')) object.state = state;
  }

  private readonly instructions: Readonly<Record<Opcode, () => unknown>> = {
    PROTO: () => this.bytes.byte(),
    FRAME: () => this.bytes.take(8),
    STOP: () => undefined,
    MARK: () => this.stack.push(mark),
    POP: () => this.pop(),
    NONE: () => this.stack.push(null),
    NEWTRUE: () => this.stack.push(true),
    NEWFALSE: () => this.stack.push(false),
    BININT: () => this.stack.push(this.bytes.int32()),
    BININT1: () => this.stack.push(this.bytes.byte()),
    BININT2: () => this.stack.push(this.bytes.uint16()),
    LONG1: () => this.stack.push(this.bytes.long(this.bytes.byte())),
    BINFLOAT: () => this.stack.push(this.bytes.float()),
    BINUNICODE: () => this.stack.push(this.bytes.text(this.bytes.int32())),
    SHORT_BINUNICODE: () => this.stack.push(this.bytes.text(this.bytes.byte())),
    SHORT_BINBYTES: () => this.stack.push(this.bytes.take(this.bytes.byte())),
    EMPTY_LIST: () => this.stack.push([]),
    EMPTY_TUPLE: () => this.stack.push([]),
    EMPTY_SET: () => this.stack.push([]),
    EMPTY_DICT: () => this.stack.push({ kind: 'dict', entries: new Map() }),
    APPEND: () => this.append([this.pop()]),
    APPENDS: () => this.append(this.popToMark()),
    ADDITEMS: () => this.append(this.popToMark()),
    SETITEM: () => this.setItems(this.popTuple(2)),
    SETITEMS: () => this.setItems(this.popToMark()),
    TUPLE: () => this.stack.push(this.popToMark()),
    TUPLE1: () => this.stack.push(this.popTuple(1)),
    TUPLE2: () => this.stack.push(this.popTuple(2)),
    TUPLE3: () => this.stack.push(this.popTuple(3)),
    BINPUT: () => this.memo.set(this.bytes.byte(), this.top()),
    LONG_BINPUT: () => this.memo.set(this.bytes.int32(), this.top()),
    MEMOIZE: () => this.memo.set(this.memo.size, this.top()),
    BINGET: () => this.stack.push(this.remembered(this.bytes.byte())),
    LONG_BINGET: () => this.stack.push(this.remembered(this.bytes.int32())),
    GLOBAL: () => this.stack.push(this.global(this.bytes.line(), this.bytes.line())),
    STACK_GLOBAL: () => this.stack.push(this.global(...(this.popTuple(2) as [PickleValue, PickleValue]))),
    REDUCE: () => this.stack.push(this.call(...(this.popTuple(2) as [PickleValue, PickleValue]))),
    NEWOBJ: () => this.stack.push(this.call(...(this.popTuple(2) as [PickleValue, PickleValue]))),
    BUILD: () => this.build(),
    BINPERSID: () => this.stack.push({ kind: 'persistent', id: this.pop() }),
  };
}

/** Instructions by their byte (Python's pickletools); what is missing is refused. */
const opcodes = {
  46: 'STOP',
  40: 'MARK',
  48: 'POP',
  78: 'NONE',
  136: 'NEWTRUE',
  137: 'NEWFALSE',
  74: 'BININT',
  75: 'BININT1',
  77: 'BININT2',
  138: 'LONG1',
  71: 'BINFLOAT',
  88: 'BINUNICODE',
  140: 'SHORT_BINUNICODE',
  67: 'SHORT_BINBYTES',
  93: 'EMPTY_LIST',
  41: 'EMPTY_TUPLE',
  143: 'EMPTY_SET',
  125: 'EMPTY_DICT',
  97: 'APPEND',
  101: 'APPENDS',
  144: 'ADDITEMS',
  115: 'SETITEM',
  117: 'SETITEMS',
  116: 'TUPLE',
  133: 'TUPLE1',
  134: 'TUPLE2',
  135: 'TUPLE3',
  113: 'BINPUT',
  114: 'LONG_BINPUT',
  148: 'MEMOIZE',
  104: 'BINGET',
  106: 'LONG_BINGET',
  99: 'GLOBAL',
  147: 'STACK_GLOBAL',
  82: 'REDUCE',
  129: 'NEWOBJ',
  98: 'BUILD',
  81: 'BINPERSID',
  128: 'PROTO',
  149: 'FRAME',
} as const;

type Opcode = (typeof opcodes)[keyof typeof opcodes];
