import { UserError } from '../diagnostics/diagnostic.ts';

/**
 * The safetensors format (https://github.com/huggingface/safetensors): eight bytes with the header's length (little
 * endian), a JSON header that gives every tensor's type, shape and byte range, then the tensors' bytes. All platforms
 * that Node 20 runs sparchc on are little endian, as the format is.
 */
export interface Tensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array | Float64Array | BigInt64Array;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const ARRAYS = { F32: Float32Array, F64: Float64Array, I64: BigInt64Array } as const;
type Dtype = keyof typeof ARRAYS;

const LENGTH_BYTES = 8;
/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA_KEY = '__metadata__';

/** The file in pieces, to be written one after the other: of the tensors' bytes no copy is made. */
export function encodeSafetensors(file: SafetensorsFile): Uint8Array[] {
  const header: Record<string, unknown> = { [METADATA_KEY]: file.metadata };
  let end = 0;
  for (const [name, { shape, data }] of file.tensors) {
    const begin = end;
    end += data.byteLength;
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [begin, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  // Padded with blanks so that the tensors start at a multiple of eight.
  const headerBytes = Math.ceil(text.length / 8) * 8;
  const start = new Uint8Array(LENGTH_BYTES + headerBytes).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(headerBytes), true);
  start.set(text, LENGTH_BYTES);
  const bytesOf = ({ data }: Tensor) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return [start, ...Array.from(file.tensors.values(), bytesOf)];
}

function dtypeOf(data: Tensor['data']): Dtype {
  if (data instanceof Float32Array) return 'F32';
  return data instanceof Float64Array ? 'F64' : 'I64';
}

/** Decodes an untrusted file; `path` is what messages call it. Throws UserError SP810 where it is not well-formed. */
export function decodeSafetensors(bytes: Uint8Array, path: string): SafetensorsFile {
  const fail = (what: string): never => {
    throw new UserError('SP810', `"${path}" is not a usable safetensors file: ${what}`);
  };
  if (bytes.length < LENGTH_BYTES) fail(`it has ${bytes.length} bytes, fewer than the format's first field`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES || headerBytes > bytes.length - LENGTH_BYTES) {
    fail(`its header claims ${headerBytes} bytes and the file has ${bytes.length}; it may be cut short`);
  }
  const header = parseHeader(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + headerBytes), fail);
  const body = bytes.subarray(LENGTH_BYTES + headerBytes);
  const tensors = new Map<string, Tensor>();
  const ranges: [number, number][] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === METADATA_KEY) continue;
    const { tensor, range } = decodeTensor(name, entry, body, fail);
    tensors.set(name, tensor);
    ranges.push(range);
  }
  requireGapless(ranges, body.length, fail);
  return { tensors, metadata: metadataOf(header[METADATA_KEY], fail) };
}

type Fail = (what: string) => never;

function parseHeader(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (isObject(header)) return header;
  } catch {
    // Falls through: neither UTF-8 nor JSON.
  }
  return fail('its header is not a JSON object');
}

function metadataOf(value: unknown, fail: Fail): Record<string, string> {
  if (value === undefined) return {};
  if (!isObject(value) || !Object.values(value).every((v) => typeof v === 'string')) {
    return fail('its metadata is not an object of strings');
  }
  return value as Record<string, string>;
}

function decodeTensor(name: string, entry: unknown, body: Uint8Array, fail: Fail) {
  if (!isObject(entry)) return fail(`tensor "${name}" is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(ARRAYS, dtype)) {
    return fail(`tensor "${name}" has type ${JSON.stringify(dtype)}, and sparchc reads F32, F64 and I64`);
  }
  if (!isNaturals(shape)) return fail(`tensor "${name}" has no valid shape`);
  if (!isNaturals(offsets) || offsets.length !== 2) return fail(`tensor "${name}" has no valid byte range`);
  const [begin, end] = offsets;
  if (begin > end || end > body.length) {
    return fail(`tensor "${name}" lies at bytes ${begin} to ${end} of ${body.length}; the file may be cut short`);
  }
  const TypedArray = ARRAYS[dtype as Dtype];
  const elements = shape.reduce((product, n) => product * n, 1);
  if (elements * TypedArray.BYTES_PER_ELEMENT !== end - begin) {
    return fail(`tensor "${name}" has shape [${shape}] and ${end - begin} bytes, which do not fit each other`);
  }
  // Copied: typed arrays need aligned bytes, and a view would keep the whole file in memory.
  const data = new TypedArray(Uint8Array.from(body.subarray(begin, end)).buffer);
  return { tensor: { shape, data }, range: [begin, end] as [number, number] };
}

/** Every byte belongs to exactly one tensor, as the format demands. */
function requireGapless(ranges: [number, number][], length: number, fail: Fail): void {
  let expected = 0;
  for (const [begin, end] of ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (begin !== expected) fail(`its tensors overlap or leave a gap at byte ${expected}`);
    expected = end;
  }
  if (expected !== length) fail(`${length - expected} bytes at its end belong to no tensor`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNaturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
