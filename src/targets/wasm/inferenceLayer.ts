import type { PopulationNode, ReadoutNode } from '../../ir/graph.ts';
import type { DeployedPopulation } from '../../passes/deployPopulation.ts';
import type { Arrays, Lists, Operand, Product } from './arrays.ts';
import type { Argument, Buffer } from './call.ts';
import { eventBytes, spanBytes } from './kernels/events.ts';
import { clearKernel, meetingBytes } from './kernels/meet.ts';
import { initialName, onceBuffers } from './layer.ts';
import { arrayBytes, padded } from './layout.ts';
import { inferenceKernel, listBytes, partsFor, rowArrays } from './neuron/inference.ts';
import { bitsBytes, type InferenceForm } from './neuron/inferenceParts.ts';
import type { PlannedNeuron } from './neuron/neuron.ts';

/** Bytes between what different threads write: the processor fetches so far ahead. */
const gap = 2048;

/** Rows of products that are computed before they are read, of all samples of a chunk: they leave most of a core's cache. */
const rowsPerTile = 32;

/** What a layer gives in inference: its output as an array, or its lists. */
export type InferenceOutput =
  | { readonly array: Buffer; readonly lists: null }
  | { readonly array: null; readonly lists: Lists };

/** A neuron of a deployed graph. */
export interface DeployedNeuron extends PlannedNeuron, Pick<DeployedPopulation, 'firstProducts'> {}

/** One direction of a layer of neurons (or a pool) in inference: adds its calls and gives its output. */
export function inferenceLayer(
  network: Arrays,
  node: PopulationNode | ReadoutNode,
  { plan, name: kernelName, firstProducts }: DeployedNeuron,
  inputs: readonly (Operand | Product)[],
  { direction, asLists }: { readonly direction: number; readonly asLists: boolean },
): InferenceOutput {
  const { program, k, variant } = network;
  const { step, features } = plan;
  const name = direction === 0 ? node.layer : `${node.layer} backwards`;
  const form: InferenceForm = {
    products: inputs.map((i) => 'weights' in i),
    lists: asLists,
    firstGiven: new Set(firstProducts.keys()),
  };
  const parts = partsFor(plan, variant.parts);
  const items = variant.shape.chunks * parts;
  const rowBytes = arrayBytes(network.rowCount(false), features);
  const ownBytes = rowBytes + gap;
  const tile = Math.max(1, Math.floor(rowsPerTile / variant.shape.group));
  const meetings = program.buffer(`meetings of ${name}`, items * meetingBytes);
  const args: Record<string, Argument> = {
    rows: network.rowCount(true),
    sampleRows: network.rowCount(false),
    parts,
    meetings,
    ownBytes,
    tile,
    rowBytes,
    ownList: program.buffer(`list of ${name}`, items * listBytes(features)),
    ...network.rows(true),
  };
  const arrays = rowArrays(plan, form);
  const array = (what: string) => network.array(`${what} of ${name}`, features, false);
  for (const what of [...arrays.initial, ...arrays.shared]) args[what] = array(what);
  for (const what of arrays.tiles) args[what] = program.buffer(`${what} of ${name}`, parts * tile * ownBytes);
  for (const what of arrays.own) args[what] = program.buffer(`${what} of ${name}`, parts * ownBytes);
  inputs.forEach((input, i) => {
    if ('weights' in input)
      Object.assign(args, {
        [`weights${i}`]: input.weights,
        [`spans${i}`]: input.lists.spans,
        [`events${i}`]: input.lists.events,
      });
    else args[`input${i}`] = input.array;
    const { affine } = input;
    if (affine)
      Object.assign(args, { [`mean${i}`]: affine.mean, [`scale${i}`]: affine.scale, [`bias${i}`]: affine.bias });
  });
  const once = onceBuffers(network, node, { plan, name: kernelName }, name);
  for (const v of plan.once) {
    const value = once.get(v.id) as Buffer;
    args[`once${v.id}`] = v.type.extent === 'matrix' ? network.inRows(value, features, features) : value;
  }
  step.states.forEach((s, i) => {
    const initial = program.input(initialName(node, s.name, direction), variant.shape.B * features * 4);
    network.unpack(initial, args[`state${i}`] as Buffer, features, false);
  });
  for (const [id, { key }] of firstProducts) {
    const given = program.input(firstName(key, direction), variant.shape.B * features * 4);
    network.unpack(given, args[`first${id}`] as Buffer, features, false);
  }
  const output = asLists
    ? { array: null, lists: outputLists(network, name, features, parts) }
    : { array: network.array(`output of ${name}`, features, true), lists: null };
  if (output.array) args.sequence = output.array;
  else {
    const bytes = 2 * variant.shape.chunks * variant.shape.group * bitsBytes(features);
    const { events, spans } = output.lists;
    Object.assign(args, { events, spans, bits: program.buffer(`bits of ${name}`, bytes) });
  }
  program.call(clearKernel(k), 1, { target: meetings, bytes: meetings.bytes });
  program.call(inferenceKernel(k, kernelName, plan, form), items, args);
  return output;
}

/** What the host writes before the first step, of the product with a key in `FirstProduct`. */
export const firstName = (key: string, direction: number): string => `first ${key} ${direction}`;

/** Room for the lists of all steps and of the initial state, for each part; the first part's are those to be read. */
function outputLists(network: Arrays, name: string, features: number, parts: number): Lists {
  const { program, variant } = network;
  const { chunks, group, T } = variant.shape;
  const bytes = parts * chunks * group * (T + 1) * padded(features) * eventBytes;
  return {
    events: program.listBuffer(`events of ${name}`, bytes),
    spans: program.buffer(`spans of ${name}`, parts * network.rowCount(true) * spanBytes),
    features,
    real: false,
  };
}
