import type { Batch } from '../../data/batch.ts';
import type { Graph, PopulationNode } from '../../ir/graph.ts';
import { streamKeys } from '../../random/stream.ts';
import { drawDropoutMask, drawInitialStates } from '../draws.ts';
import type { Tensors, TrainRequest } from '../target.ts';
import { initialName } from './layer.ts';
import type { Machine } from './machine.ts';
import type { FedProgram } from './modelCode.ts';

/** Writes what a pass starts from into memory: the batch, and the draws or the keys that kernels draw from. */
export class InputWriter {
  private readonly graph: Graph;
  private readonly seed: number;
  private readonly machine: Machine;
  /** The model's own initial states. */
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

  write(pass: FedProgram, name: string, values: Float32Array | Int32Array | Uint16Array | Uint32Array): void {
    const address = this.address(pass, name);
    if (address === null) return;
    this.machine.bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), address);
  }

  writeBatch(pass: FedProgram, batch: Batch): void {
    const { input, lengths, labels } = batch;
    if (input.kind === 'dense') this.write(pass, 'input', input.values);
    else {
      this.write(pass, 'offsets', input.offsets);
      this.write(pass, 'units', input.units);
      this.write(pass, 'counts', input.counts);
    }
    this.write(pass, 'labels', labels);
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
        if (this.writeStateKeys(pass, batch, node, request.epoch)) continue;
        for (const [key, values] of drawInitialStates(node, batch, seed, request.epoch)) drawn.set(key, values);
      } else if (node.kind === 'dropout') {
        const keys = () => streamKeys([seed, 'dropout', request.epoch], batch.samples, [node.layer]);
        if (this.writeKeys(pass, `mask ${node.id}`, keys)) continue;
        const mask = request.dropoutMasks?.get(node.layer) ?? drawDropoutMask(node, batch, seed, request.epoch);
        this.write(pass, `mask ${node.id}`, mask);
      }
    }
    if (request.outputWeights) this.write(pass, 'outputWeights', request.outputWeights);
    this.writeStates(pass, batch, (key) => request.initialStates?.get(key) ?? drawn.get(key) ?? null);
  }

  /** The keys of the streams that the pass draws a layer's states from; false where the host must draw some of them. */
  private writeStateKeys(pass: FedProgram, batch: Batch, node: PopulationNode, epoch: number): boolean {
    const { seed } = this;
    let all = true;
    for (const { name } of node.step.states) {
      for (let direction = 0; direction < (node.bidirectional ? 2 : 1); direction++) {
        const keys = () => streamKeys([seed, 'state', epoch], batch.samples, [node.layer, name, direction]);
        const drawn = this.writeKeys(pass, initialName(node, name, direction), keys);
        all &&= drawn;
      }
    }
    return all;
  }

  private writeKeys(pass: FedProgram, name: string, keys: () => Uint32Array): boolean {
    if (this.address(pass, `keys of ${name}`) === null) return false;
    this.write(pass, `keys of ${name}`, keys());
    return true;
  }

  /** Initial states: what is given for a key, [rows, size], otherwise the model's own for every sample. */
  private writeStates(pass: FedProgram, batch: Batch, given: (key: string) => Float32Array | null): void {
    for (const node of this.graph.nodes) {
      if (node.kind !== 'population') continue;
      const { size } = node;
      for (const { name } of node.step.states) {
        const all = given(node.initialStates[name]);
        for (let direction = 0; direction < (node.bidirectional ? 2 : 1); direction++) {
          if (!pass.inputs.has(initialName(node, name, direction))) continue;
          const start = direction * batch.size * size;
          const values = all
            ? all.subarray(start, start + batch.size * size)
            : this.ownStates(node, name, batch.size, direction);
          this.write(pass, initialName(node, name, direction), values);
        }
      }
    }
    this.writePools(pass, batch);
  }

  /** The states of pools, which start at constants. */
  writePools(pass: FedProgram, batch: Batch): void {
    for (const node of this.graph.nodes) {
      if (node.kind !== 'readout') continue;
      for (const { name, initializer } of node.step.states) {
        if (initializer.kind !== 'constant') throw new Error('the states of a pool start at constants');
        const values = new Float32Array(batch.size * node.type.features).fill(initializer.value);
        this.write(pass, initialName(node, name, 0), values);
      }
    }
  }

  private ownStates(node: PopulationNode, state: string, rows: number, direction: number): Float32Array {
    const { size } = node;
    const fixed = this.ownInitialStates.get(node.initialStates[state])!;
    const values = new Float32Array(rows * size);
    for (let row = 0; row < rows; row++)
      values.set(fixed.subarray(direction * size, (direction + 1) * size), row * size);
    return values;
  }
}
