import type { Batch } from '../../data/batch.ts';
import type { Graph, PopulationNode, ReadoutNode } from '../../ir/graph.ts';
import { drawDropoutMask, drawInitialStates } from '../draws.ts';
import type { Tensors, TrainRequest } from '../target.ts';
import { initialName } from './layer.ts';
import type { Machine } from './machine.ts';
import type { FedProgram } from './modelCode.ts';

/** Writes what a pass starts from into memory: the batch, and the draws that kernels do not make. */
export class InputWriter {
  private readonly graph: Graph;
  private readonly seed: number;
  private readonly machine: Machine;
  /** The model's own initial states, which evaluation starts from. */
  private readonly ownInitialStates: Tensors;

  constructor(graph: Graph, seed: number, machine: Machine, ownInitialStates: Tensors) {
    this.graph = graph;
    this.seed = seed;
    this.machine = machine;
    this.ownInitialStates = ownInitialStates;
  }

  private address(pass: FedProgram, name: string): number | null {
    const buffer = pass.inputs.get(name);
    return buffer ? pass.program.addressOf(buffer) : null;
  }

  private write(pass: FedProgram, name: string, values: Float32Array | Int32Array | Uint16Array | Uint32Array): void {
    const address = this.address(pass, name);
    if (address === null) return;
    this.machine.bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), address);
  }

  writeBatch(pass: FedProgram, batch: Batch): void {
    const { input, lengths, labels, samples } = batch;
    if (input.kind === 'dense') this.write(pass, 'input', input.values);
    else {
      this.write(pass, 'offsets', input.offsets);
      this.write(pass, 'units', input.units);
      this.write(pass, 'counts', input.counts);
    }
    this.write(pass, 'labels', labels);
    this.write(pass, 'samples', samples);
    if (lengths) this.write(pass, 'lengths', lengths);
    const { group, chunks } = pass.shape;
    const perChunk = (count: (b: number) => number) =>
      Float32Array.from({ length: chunks }, (_, c) => {
        let total = 0;
        for (let b = c * group; b < Math.min(batch.size, (c + 1) * group); b++) total += count(b);
        return total;
      });
    this.write(
      pass,
      'stepCounts',
      perChunk((b) => lengths?.[b] ?? batch.steps),
    );
    this.write(
      pass,
      'sampleCounts',
      perChunk(() => 1),
    );
  }

  writeTrainingDraws(pass: FedProgram, batch: Batch, request: TrainRequest): void {
    const { seed } = this;
    const drawn = new Map<string, Float32Array>();
    for (const node of this.graph.nodes) {
      if (node.kind === 'population') {
        if (!node.step.states.some(({ name }) => pass.inputs.has(initialName(node, name, 0)))) continue;
        for (const [key, values] of drawInitialStates(node, batch, seed, request.epoch)) drawn.set(key, values);
      } else if (node.kind === 'dropout' && pass.inputs.has(`mask ${node.id}`)) {
        const mask = request.dropoutMasks?.get(node.layer) ?? drawDropoutMask(node, batch, seed, request.epoch);
        this.write(pass, `mask ${node.id}`, mask);
      }
    }
    if (request.outputWeights) this.write(pass, 'outputWeights', request.outputWeights);
    this.writeStates(pass, batch, (key) => request.initialStates?.get(key) ?? drawn.get(key) ?? null);
  }

  /** Initial states: what is given for a key, [rows, size], otherwise the model's own for every sample. */
  writeStates(pass: FedProgram, batch: Batch, given: (key: string) => Float32Array | null): void {
    for (const node of this.graph.nodes) {
      if (node.kind !== 'population' && node.kind !== 'readout') continue;
      const size = node.kind === 'population' ? node.size : node.type.features;
      const directions = node.kind === 'population' && node.bidirectional ? 2 : 1;
      for (const state of node.step.states) {
        const all = node.kind === 'population' ? given(node.initialStates[state.name]) : null;
        for (let direction = 0; direction < directions; direction++) {
          if (!pass.inputs.has(initialName(node, state.name, direction))) continue;
          const start = direction * batch.size * size;
          const values = all
            ? all.subarray(start, start + batch.size * size)
            : this.ownStates(node, state, batch.size, direction);
          this.write(pass, initialName(node, state.name, direction), values);
        }
      }
    }
  }

  private ownStates(
    node: PopulationNode | ReadoutNode,
    state: PopulationNode['step']['states'][number],
    rows: number,
    direction: number,
  ): Float32Array {
    if (node.kind === 'readout') {
      if (state.initializer.kind !== 'constant') throw new Error('the states of a pool start at constants');
      return new Float32Array(rows * node.type.features).fill(state.initializer.value);
    }
    const { size } = node;
    const fixed = this.ownInitialStates.get(node.initialStates[state.name])!;
    const values = new Float32Array(rows * size);
    for (let row = 0; row < rows; row++)
      values.set(fixed.subarray(direction * size, (direction + 1) * size), row * size);
    return values;
  }
}
