/** What a pickle holds. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickleValue[]
  | PickleDict
  | PickleCall
  | PickleGlobal
  | PicklePersistent;

/** A dictionary (or an OrderedDict); its keys are text or numbers. */
export interface PickleDict {
  readonly kind: 'dict';
  readonly entries: Map<string | number, PickleValue>;
}

/** `module.name`, not looked up anywhere. */
export interface PickleGlobal {
  readonly kind: 'global';
  readonly name: string;
}

/** What a call or the creation of an object would have made, with the state it was to be given. */
export interface PickleCall {
  readonly kind: 'call';
  readonly callee: string;
  readonly args: readonly PickleValue[];
  state: PickleValue;
}

/** A reference to something outside of the pickle: PyTorch's storages. */
export interface PicklePersistent {
  readonly kind: 'persistent';
  readonly id: PickleValue;
}

export function isKind<K extends 'dict' | 'call' | 'global' | 'persistent'>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleValue, { kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}
