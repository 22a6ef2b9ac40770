import type { PopulationNode, ReadoutNode } from '../../ir/graph.ts';
import type { Arrays, Operand } from './arrays.ts';
import { clearKernel, meetingBytes } from './kernels/meet.ts';
import { initialName, onceBuffers } from './layer.ts';
import { inferenceArrays, listBytes, outputState, partsFor } from './neuron/inference.ts';
import type { NeuronKernels } from './neuron/neuron.ts';
import type { Argument, Buffer } from './program.ts';

/** One direction of a layer of neurons (or a pool) in inference: adds its calls and gives its output. */
export function inferenceLayer(
  network: Arrays,
  node: PopulationNode | ReadoutNode,
  kernels: NeuronKernels,
  inputs: readonly Operand[],
  direction: number,
): Buffer {
  const { program, k, variant } = network;
  const { plan } = kernels;
  const { step, features } = plan;
  const name = direction === 0 ? node.layer : `${node.layer} backwards`;
  const output = network.array(`output of ${name}`, features, true);
  const ofOutput = outputState(plan);
  const parts = partsFor(plan, variant.parts);
  const items = variant.shape.chunks * parts;
  const meetings = program.buffer(`meetings of ${name}`, items * meetingBytes);
  const args: Record<string, Argument> = {
    rows: network.rowCount(true),
    sampleRows: network.rowCount(false),
    parts,
    meetings,
    lists: program.buffer(`lists of ${name}`, items * listBytes(features)),
    [ofOutput < 0 ? 'output' : `state${ofOutput}`]: output,
    ...network.rows(true),
  };
  inputs.forEach(({ array, affine }, i) => {
    args[`input${i}`] = array;
    if (affine)
      Object.assign(args, { [`mean${i}`]: affine.mean, [`scale${i}`]: affine.scale, [`bias${i}`]: affine.bias });
  });
  for (const array of inferenceArrays(plan)) args[array] = network.array(`${array} of ${name}`, features, false);
  const once = onceBuffers(network, node, kernels, name);
  for (const v of plan.once) {
    const value = once.get(v.id) as Buffer;
    args[`once${v.id}`] = v.type.extent === 'matrix' ? network.inRows(value, features, features) : value;
  }
  step.states.forEach((s, i) => {
    const initial = program.input(initialName(node, s.name, direction), variant.shape.B * features * 4);
    network.unpack(initial, args[`state${i}`] as Buffer, features, i === ofOutput, true);
  });
  program.call(clearKernel(k), 1, { target: meetings, bytes: meetings.bytes });
  program.call(kernels.inference, items, args);
  return output;
}
