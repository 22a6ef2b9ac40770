import type { PopulationNode, ReadoutNode } from '../../ir/graph.ts';
import type { Var } from '../../ir/step.ts';
import type { Arrays, Lists, Operand } from './arrays.ts';
import type { Argument, Buffer, Call } from './call.ts';
import { gateBytes, scratchBytes } from './kernels/dots.ts';
import { uniformKernel } from './kernels/draws.ts';
import { copyKernel, gradientKernel, layerSumsKernel } from './kernels/gradients.ts';
import { maskBytes } from './kernels/masks.ts';
import { arrayBytes, matrixRows, padded, panelsOf } from './layout.ts';
import { affineInputs, backwardSequences, otherCarried } from './neuron/backward.ts';
import { ownOutput, stateName } from './neuron/forward.ts';
import type { NeuronKernels, PlannedNeuron } from './neuron/neuron.ts';
import { type OnceStage, onceStages } from './neuron/once.ts';
import { stateOf } from './neuron/residuals.ts';

/** One direction of a layer of neurons (or a pool) in training: its calls and what it keeps. */
export class Layer {
  /** The output as numbers, or where it is kept as bits, these. */
  readonly array: Buffer | null;
  readonly spikes: Buffer | null;
  readonly gates: Lists | null;
  inputCotangents: Buffer[] = [];
  /** By normalised input: per chunk, sums of its cotangent and of the cotangent times (input - mean). */
  readonly inputSums = new Map<number, Buffer>();
  private readonly network: Arrays;
  private readonly kernels: NeuronKernels;
  private readonly name: string;
  private readonly shared: Record<string, Argument>;
  private readonly operands: readonly Lists[];
  private sums: Buffer | null = null;
  private sequences: Record<string, Buffer> = {};
  private readonly once: ReadonlyMap<number, Buffer>;

  constructor(
    network: Arrays,
    node: PopulationNode | ReadoutNode,
    kernels: NeuronKernels,
    inputs: readonly Operand[],
    direction: number,
  ) {
    const { plan } = kernels;
    const { step, features } = plan;
    const { program, variant } = network;
    this.network = network;
    this.kernels = kernels;
    this.name = direction === 0 ? node.layer : `${node.layer} backwards`;
    this.once = onceBuffers(network, node, kernels, this.name);
    const sequence = (what: string) => network.array(`${what} of ${this.name}`, features, true);
    this.shared = { rows: network.rowCount(true), sampleRows: network.rowCount(false) };
    inputs.forEach(({ array, affine }, i) => {
      this.shared[`input${i}`] = array;
      if (!affine) return;
      Object.assign(this.shared, { [`mean${i}`]: affine.mean, [`scale${i}`]: affine.scale, [`bias${i}`]: affine.bias });
    });
    step.states.forEach((s, i) => {
      this.shared[stateName(plan, i)] = plan.passing.includes(i)
        ? network.array(`initial ${s.name} of ${this.name}`, features, false)
        : sequence(s.name);
    });
    for (const v of plan.kept) this.shared[`kept${v.id}`] = sequence(v.name);
    for (const v of plan.once) this.shared[`once${v.id}`] = this.once.get(v.id) as Buffer;
    if (ownOutput(plan)) this.shared.output = sequence('output');
    const output = ownOutput(plan) ? this.shared.output : this.shared[`state${stateOf(step, step.output)}`];
    this.spikes =
      plan.spikes < 0 ? null : program.buffer(`spikes of ${this.name}`, maskBytes(network.rowCount(true), features));
    this.array = this.spikes ? null : (output as Buffer);

    step.states.forEach((s, i) => {
      const isApart = plan.passing.includes(i);
      const target = this.shared[stateName(plan, i)] as Buffer;
      if (variant.drawsStates && s.initializer.kind === 'uniform') {
        program.call(uniformKernel(network.k, features, s.initializer), variant.shape.chunks, {
          keys: network.streamKeys('state', [node.layer, s.name, direction]),
          target,
          rows: network.rowCount(!isApart),
          ...network.rows(!isApart),
          first: 1,
        });
      } else {
        const given = program.input(initialName(node, s.name, direction), variant.shape.B * features * 4);
        network.unpack(given, target, features, !isApart, true);
      }
    });
    this.operands = plan.operands.map(({ vector, real }) =>
      network.newLists(`operand ${vector.name} of ${this.name}`, { features, real }, true),
    );
    const args: Record<string, Argument> = { ...this.shared, ...network.rows(true) };
    for (const v of [...plan.forwardScratch, ...plan.copies]) {
      args[`scratch${(v as Var).id}`] = network.array(`scratch of ${this.name}`, features, false);
    }
    this.operands.forEach(
      (lists, i) => void Object.assign(args, { [`events${i}`]: lists.events, [`spans${i}`]: lists.spans }),
    );
    if (this.spikes) args.spikes = this.spikes;
    for (const i of plan.passing) args[`now${i}`] = network.array(`scratch of ${this.name}`, features, false);
    const bits = kernels.gate && program.buffer(`gates of ${this.name}`, maskBytes(network.rowCount(true), features));
    program.unevenCall(kernels.forward, variant.shape.chunks, { ...args, ...(bits && { gates: bits }) });
    this.gates = bits && this.listGates(bits);
  }

  private listGates(bits: Buffer): Lists {
    const { network, kernels } = this;
    const lists = network.newLists(
      `gates of ${this.name}`,
      { features: kernels.plan.features, real: false },
      true,
      gateBytes,
    );
    network.program.call(kernels.gate!, network.variant.shape.chunks, {
      bits,
      events: lists.events,
      spans: lists.spans,
      rows: network.rowCount(true),
      ...network.rows(true),
    });
    return lists;
  }

  /** From the cotangent of the output to those of the inputs, and the chunks' sums. */
  backward(dOutput: Buffer): void {
    const { network, kernels } = this;
    const { program } = network;
    const { adjoint, features } = kernels.plan;
    const { chunks } = network.variant.shape;
    const perSample = (what: string) => network.array(`${what} of ${this.name}`, features, false);
    for (const name of backwardSequences(kernels.plan)) {
      const inPlace = name === 'dInput0' && kernels.plan.inPlace;
      this.sequences[name] = inPlace ? dOutput : network.array(`${name} of ${this.name}`, features, true);
    }
    const args: Record<string, Argument> = { ...this.shared, ...this.sequences, dOutput, ...network.rows(true) };
    for (const name of [...adjoint.states.map((_, i) => `carried${i}`), ...otherCarried(kernels.plan)]) {
      args[name] = perSample('carried');
    }
    for (const v of kernels.plan.backwardScratch) args[`scratch${v.id}`] = perSample('scratch');
    if (adjoint.sums.length > 0) {
      this.sums = network.program.buffer(`sums of ${this.name}`, adjoint.sums.length * arrayBytes(chunks, features));
      args.sums = this.sums;
    }
    for (const i of affineInputs(kernels.plan)) {
      const sums = program.buffer(`sums of d input ${i} of ${this.name}`, 2 * arrayBytes(chunks, features));
      this.inputSums.set(i, sums);
      args[`inputSums${i}`] = sums;
    }
    if (kernels.plan.gates.products.size > 0) {
      args.gates = this.gates!.spans;
      args.gateEvents = this.gates!.events;
      args.dotScratch = program.buffer(`scratch of ${this.name}`, chunks * scratchBytes(features));
    }
    program.unevenCall(kernels.backward, chunks, args);
    this.inputCotangents = adjoint.inputs.map((_, i) => this.sequences[`dInput${i}`]);
  }

  /** The parameters' gradients, from the sums and outer products of all directions. */
  static gradients(network: Arrays, node: PopulationNode, layers: readonly Layer[]): void {
    const [first] = layers;
    const { adjoint, features, step, outers } = first.kernels.plan;
    const { program, store } = network;
    const into = new Map<number, Buffer>(first.once);
    const vector = (v: Var) => program.buffer(`${v.name} of ${first.name}`, bytesOf(v, features));
    adjoint.sums.forEach((s, i) => void into.set(s.into.id, first.total(layers, i, vector(s.into))));
    adjoint.outers.forEach((o, n) => {
      const gradient = vector(o.into);
      into.set(o.into.id, gradient);
      layers.forEach((layer, direction) => {
        const lists = layer.operands[outers[n].operand];
        network.weightGradient(lists, layer.sequences[outers[n].left], features, true, gradient, direction > 0);
      });
    });
    const stages = onceStages(network.k, `adjoint_${first.kernels.name}`, adjoint.prelude, features);
    for (const { kernel, items, args } of onceCalls(stages, into, vector)) program.call(kernel, items, args);
    for (const { parameter, value } of adjoint.gradients) {
      const { variable } = step.parameters.find((p) => p.name === parameter)!;
      const gradient = store.gradient(node.parameters[parameter]);
      // What the loss does not depend on keeps the gradient 0 that it was given once.
      if (value.kind === 'lit') continue;
      const x = into.get(value.id) as Buffer;
      const isScalar = value.type.extent === 'scalar';
      if (variable.type.extent === 'matrix')
        program.call(copyKernel(network.k), panelsOf(features).count, {
          x,
          y: gradient,
          bytes: gradient.bytes,
          part: matrixRows(features) * 128,
        });
      else {
        const kernel = gradientKernel(network.k, features, variable.type.extent === 'scalar');
        program.call(kernel, 1, { x, y: gradient, fromScalar: isScalar ? 1 : 0 });
      }
    }
  }

  /** A sum over the chunks of all directions. */
  private total(layers: readonly Layer[], index: number, total: Buffer): Buffer {
    const { network, kernels } = this;
    const { adjoint, features } = kernels.plan;
    const { target } = adjoint.sums[index];
    const size = padded(features) * 4;
    network.program.call(layerSumsKernel(network.k, features, target.type.extent === 'scalar'), 1, {
      parts: this.sums!,
      partsToo: layers[1]?.sums ?? 0,
      start: index * size,
      stride: adjoint.sums.length * size,
      chunks: network.variant.shape.chunks,
      total,
    });
    return total;
  }
}

const bytesOf = (v: Var, features: number): number =>
  ({ scalar: 16, features: padded(features) * 4, rows: 0, matrix: arrayBytes(matrixRows(features), features) })[
    v.type.extent
  ];

export const initialName = (node: PopulationNode | ReadoutNode, state: string, direction: number): string =>
  `initial ${state} of ${node.layer} ${direction}`;

/** Parameters, and what the prelude computes of them. */
export function onceBuffers(
  network: Arrays,
  node: PopulationNode | ReadoutNode,
  kernels: PlannedNeuron,
  name: string,
): Map<number, Buffer> {
  const { step, features } = kernels.plan;
  const buffers = new Map<number, Buffer>();
  if (node.kind === 'population') {
    for (const p of step.parameters) buffers.set(p.variable.id, network.store.parameter(node.parameters[p.name]));
  }
  const stages = onceStages(network.k, kernels.name, step.prelude, features);
  const fresh = (v: Var) => network.program.buffer(`${v.name} of ${name}`, bytesOf(v, features));
  for (const { kernel, items, args } of onceCalls(stages, buffers, fresh))
    network.program.constant(kernel, items, args);
  return buffers;
}

/** The calls of the stages in order; variables that have no buffer yet are given a fresh one. */
function onceCalls(
  stages: readonly OnceStage[],
  buffers: Map<number, Buffer>,
  fresh: (v: Var) => Buffer,
): Omit<Call, 'uneven'>[] {
  return stages.map(({ kernel, items, variables }) => {
    for (const v of variables) if (!buffers.has(v.id)) buffers.set(v.id, fresh(v));
    const args = Object.fromEntries(variables.map((v) => [`v${v.id}`, buffers.get(v.id) as Buffer]));
    return { kernel, items, args };
  });
}
