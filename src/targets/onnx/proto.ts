import protobuf from 'protobufjs';

/**
 * The part of the ONNX format that sparchc reads and writes. Names and field numbers are those of the public onnx.proto
 * (ir_version 8); whatever else a file holds survives `decodeModel` and `encodeModel` as unknown fields.
 */
const schema = `
syntax = "proto2";
package onnx;

message ModelProto {
  optional int64 ir_version = 1;
  optional string producer_name = 2;
  optional string producer_version = 3;
  optional string doc_string = 6;
  optional GraphProto graph = 7;
  repeated OperatorSetIdProto opset_import = 8;
  repeated StringStringEntryProto metadata_props = 14;
}
message OperatorSetIdProto { optional string domain = 1; optional int64 version = 2; }
message StringStringEntryProto { optional string key = 1; optional string value = 2; }
message GraphProto {
  repeated NodeProto node = 1;
  optional string name = 2;
  repeated TensorProto initializer = 5;
  repeated ValueInfoProto input = 11;
  repeated ValueInfoProto output = 12;
}
message NodeProto {
  repeated string input = 1;
  repeated string output = 2;
  optional string name = 3;
  optional string op_type = 4;
  repeated AttributeProto attribute = 5;
}
message AttributeProto {
  optional string name = 1;
  optional float f = 2;
  optional int64 i = 3;
  optional GraphProto g = 6;
  repeated int64 ints = 8;
  optional int32 type = 20;
}
message TensorProto {
  repeated int64 dims = 1;
  optional int32 data_type = 2;
  optional string name = 8;
  optional bytes raw_data = 9;
}
message ValueInfoProto {
  optional string name = 1;
  optional TypeProto type = 2;
  optional string doc_string = 3;
}
message TypeProto {
  message Tensor { optional int32 elem_type = 1; optional TensorShapeProto shape = 2; }
  optional Tensor tensor_type = 1;
}
message TensorShapeProto {
  message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } }
  repeated Dimension dim = 1;
}
`;

const ModelProto = protobuf.parse(schema).root.lookupType('onnx.ModelProto');

/** Numbers when written; decoding gives 64-bit integers as objects. */
export type Int64 = number | { toNumber(): number };

export const dataTypes = { float32: 1, uint8: 2, int8: 3, int64: 7, bool: 9, float16: 10, float64: 11 } as const;
export type DataType = keyof typeof dataTypes;

export interface Tensor {
  name: string;
  dims: Int64[];
  dataType: number;
  /** Little-endian. */
  rawData: Uint8Array;
}

export interface Attribute {
  name: string;
  f?: number;
  i?: Int64;
  g?: Subgraph;
  ints?: Int64[];
  type: number;
}

export interface Node {
  name: string;
  opType: string;
  input: string[];
  output: string[];
  attribute: Attribute[];
}

export interface ValueInfo {
  name: string;
  docString?: string;
  type: { tensorType: { elemType: number; shape: { dim: { dimValue?: Int64; dimParam?: string }[] } } };
}

export interface Subgraph {
  name: string;
  node: Node[];
  initializer: Tensor[];
  input: ValueInfo[];
  output: ValueInfo[];
}

export interface Model {
  irVersion: Int64;
  producerName: string;
  producerVersion: string;
  docString: string;
  graph: Subgraph;
  opsetImport: { domain: string; version: Int64 }[];
  metadataProps: { key: string; value: string }[];
}

export function encodeModel(model: Model): Uint8Array {
  return ModelProto.encode(model).finish();
}

/** Throws where `bytes` are no protocol buffer. Fields that the file leaves out are absent or empty, whatever the type says. */
export function decodeModel(bytes: Uint8Array): Model {
  return ModelProto.decode(bytes) as unknown as Model;
}

export function toNumber(value: Int64): number {
  return typeof value === 'number' ? value : value.toNumber();
}

const attributeTypes = { f: 1, i: 2, g: 5, ints: 7 } as const;

/** An attribute's value; integers are the rule in ONNX, so plain numbers mean integers. */
export type AttributeValue = number | readonly number[] | { readonly float: number } | Subgraph;

export function attribute(name: string, value: AttributeValue): Attribute {
  if (typeof value === 'number') return { name, i: value, type: attributeTypes.i };
  if (isList(value)) return { name, ints: [...value], type: attributeTypes.ints };
  if ('float' in value) return { name, f: value.float, type: attributeTypes.f };
  return { name, g: value, type: attributeTypes.g };
}

function isList(value: AttributeValue): value is readonly number[] {
  return Array.isArray(value);
}

export function floatTensor(name: string, dims: readonly number[], values: Float32Array): Tensor {
  return { name, dims: [...dims], dataType: dataTypes.float32, rawData: littleEndian(values) };
}

export function doubleTensor(name: string, dims: readonly number[], values: Float64Array): Tensor {
  return { name, dims: [...dims], dataType: dataTypes.float64, rawData: littleEndian(values) };
}

export function int64Tensor(name: string, dims: readonly number[], values: readonly (number | bigint)[]): Tensor {
  return {
    name,
    dims: [...dims],
    dataType: dataTypes.int64,
    rawData: littleEndian(BigInt64Array.from(values, BigInt)),
  };
}

export function boolTensor(name: string, dims: readonly number[], values: readonly boolean[]): Tensor {
  return { name, dims: [...dims], dataType: dataTypes.bool, rawData: Uint8Array.from(values, Number) };
}

/** A copy: later changes of the caller's array do not reach the model. */
function littleEndian(values: Float32Array | Float64Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
}

/** The values of a float32, int64 or bool tensor with raw data. */
export function tensorValues(tensor: Tensor): Float32Array | BigInt64Array | Uint8Array {
  const { buffer } = Uint8Array.from(tensor.rawData);
  if (tensor.dataType === dataTypes.bool) return new Uint8Array(buffer);
  return tensor.dataType === dataTypes.int64 ? new BigInt64Array(buffer) : new Float32Array(buffer);
}

/** A graph's input or output; dimensions that vary have a name. */
export function valueInfo(
  name: string,
  dataType: DataType,
  shape: readonly (number | string)[],
  docString?: string,
): ValueInfo {
  const dim = shape.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d }));
  return { name, docString, type: { tensorType: { elemType: dataTypes[dataType], shape: { dim } } } };
}
