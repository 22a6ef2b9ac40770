import type { Batch } from '../data/batch.ts';
import type { DropoutNode, Graph, Parameter, PopulationNode } from '../ir/graph.ts';
import type { Initializer } from '../ir/initializer.ts';
import { Stream } from '../random/stream.ts';
import { orthogonal } from './orthogonal.ts';

/**
 * The random draws that every target shares. They are keyed by (seed, purpose, epoch, sample, layer), so they do not
 * depend on the batch a sample is in, on threads, or on where a run was resumed.
 */

/** All parameters and buffers of a fresh model, by key. */
export function initialParameters(graph: Graph, seed: number): Map<string, Float32Array> {
  return new Map(graph.parameters.map((p) => [p.key, initialParameter(p, seed)]));
}

function initialParameter(parameter: Parameter, seed: number): Float32Array {
  const stream = new Stream(seed, 'parameter', parameter.key);
  const size = parameter.shape.reduce((a, b) => a * b, 1);
  if (parameter.initializer.kind === 'orthogonal') {
    return orthogonal(stream, parameter.shape[0], parameter.initializer.gain);
  }
  const values = new Float32Array(size);
  fill(values, parameter.initializer, stream);
  return values;
}

/**
 * Initial states of a training step for one layer: by buffer key, [rows, size]; the rows of the reversed direction
 * follow those of the forward one.
 */
export function drawInitialStates(
  node: PopulationNode,
  batch: Batch,
  seed: number,
  epoch: number,
): Map<string, Float32Array> {
  const directions = node.bidirectional ? 2 : 1;
  const drawn = new Map<string, Float32Array>();
  for (const state of node.step.states) {
    const values = new Float32Array(directions * batch.size * node.size);
    for (let direction = 0; direction < directions; direction++) {
      for (let i = 0; i < batch.size; i++) {
        const stream = new Stream(seed, 'state', epoch, batch.samples[i], node.layer, state.name, direction);
        const row = direction * batch.size + i;
        fill(values.subarray(row * node.size, (row + 1) * node.size), state.initializer, stream);
      }
    }
    drawn.set(node.initialStates[state.name], values);
  }
  return drawn;
}

/** A layer's dropout mask, 0 or 1 / (1 - p), [batch, time, features]; p is rounded to a multiple of 2^-16. */
export function drawDropoutMask(node: DropoutNode, batch: Batch, seed: number, epoch: number): Float32Array {
  const perSample = (node.type.time ? batch.steps : 1) * node.type.features;
  const mask = new Float32Array(batch.size * perSample);
  const dropped = Math.round(node.p * 65536);
  const kept = 1 / (1 - node.p);
  for (let i = 0; i < batch.size; i++) {
    const stream = new Stream(seed, 'dropout', epoch, batch.samples[i], node.layer);
    const end = (i + 1) * perSample;
    for (let k = i * perSample; k < end; k += 2) {
      const word = stream.word();
      if ((word & 0xffff) >= dropped) mask[k] = kept;
      if (word >>> 16 >= dropped && k + 1 < end) mask[k + 1] = kept;
    }
  }
  return mask;
}

function fill(values: Float32Array, initializer: Initializer, stream: Stream): void {
  switch (initializer.kind) {
    case 'constant':
      values.fill(initializer.value);
      return;
    case 'uniform':
      for (let i = 0; i < values.length; i++) values[i] = stream.uniform(initializer.low, initializer.high);
      return;
    case 'normal':
      for (let i = 0; i < values.length; i++) values[i] = initializer.mean + initializer.std * stream.normal();
      return;
    case 'orthogonal':
      throw new Error('only a matrix can be orthogonal');
  }
}
