import type { Batch } from '../../data/batch.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Graph } from '../../ir/graph.ts';
import { drawDropoutMask, drawInitialStates } from '../draws.ts';
import type { TrainRequest } from '../target.ts';
import { initialName } from './layer.ts';
import type { Machine } from './machine.ts';
import type { FedProgram } from './modelCode.ts';

/** Writes what a pass starts from into memory: the batch, and the draws that kernels do not make. */
export class InputWriter {
  private readonly graph: Graph;
  private readonly seed: number;
  private readonly machine: Machine;

  constructor(graph: Graph, seed: number, machine: Machine) {
    this.graph = graph;
    this.seed = seed;
    this.machine = machine;
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
    const { input, lengths, labels, samples } = batch;
    if (input.kind === 'dense') this.write(pass, 'input', input.values);
    else {
      this.write(pass, 'offsets', input.offsets);
      this.write(pass, 'units', input.units);
      if (input.counts.BYTES_PER_ELEMENT !== Uint16Array.BYTES_PER_ELEMENT) {
        throw new UserError('SP607', 'the counts of events are no Uint16Array; convert them with Uint16Array.from');
      }
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
    this.writeStates(pass, batch, (key) => (request.initialStates?.get(key) ?? drawn.get(key)) as Float32Array);
  }

  /** Initial states that no kernel draws, [rows, size] by their keys. */
  private writeStates(pass: FedProgram, batch: Batch, states: (key: string) => Float32Array): void {
    for (const node of this.graph.nodes) {
      if (node.kind !== 'population') continue;
      const count = batch.size * node.size;
      for (const { name } of node.step.states) {
        for (let direction = 0; direction < (node.bidirectional ? 2 : 1); direction++) {
          const input = initialName(node, name, direction);
          if (!pass.inputs.has(input)) continue;
          const rows = states(node.initialStates[name]);
          this.write(pass, input, rows.subarray(direction * count, (direction + 1) * count));
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
}
