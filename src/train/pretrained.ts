import { stat } from 'node:fs/promises';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { Graph, Parameter } from '../ir/graph.ts';
import type { Tensors } from '../targets/target.ts';
import { readAnyCheckpoint } from './checkpoint.ts';
import { RunFolder } from './runFolder.ts';
import type { Tensor } from './safetensors.ts';

/** Weights of another run to start from. A layer is taken as a whole or starts fresh: half of one means nothing. */
export interface Pretrained {
  /** The checkpoint they are from. */
  readonly path: string;
  readonly weights: Tensors;
  /** Names of the layers that were taken. */
  readonly loaded: readonly string[];
  readonly fresh: readonly { readonly layer: string; readonly why: string }[];
}

/**
 * Reads what fits `graph` of a run folder's best checkpoint (`sparchc import` makes such folders), or of a checkpoint
 * file. Parameters are matched by key, that is by the position of their layer, as in PyTorch.
 *
 * Throws UserError SP812 where there is none, SP810 where it is damaged, SP826 where no layer fits, SP827 where a frozen
 * layer does not.
 */
export async function readPretrained(from: string, graph: Graph): Promise<Pretrained> {
  const path = (await isFolder(from)) ? new RunFolder(from).best : from;
  const { tensors } = await readAnyCheckpoint(path);
  const weights = new Map<string, Float32Array>();
  const loaded: string[] = [];
  const fresh: { layer: string; why: string }[] = [];
  for (const [layer, parameters] of byLayer(graph)) {
    const why = parameters.map((p) => mismatch(p, tensors.get(p.key))).find((m) => m !== null);
    if (why) {
      if (isFrozen(parameters)) throw frozenButFresh(layer, path, why);
      fresh.push({ layer, why });
    } else {
      loaded.push(layer);
      for (const { key } of parameters) weights.set(key, tensors.get(key)?.data as Float32Array);
    }
  }
  if (loaded.length === 0) {
    const message = `no layer of the network fits the weights in "${path}" (train.init): ${fresh[0].layer}: ${fresh[0].why}`;
    throw new UserError('SP826', `${message}; start from a run with a layer in common`, { exitCode: 2 });
  }
  return { path, weights, loaded, fresh };
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => null);
  return stats?.isDirectory() ?? false;
}

function byLayer(graph: Graph): Map<string, Parameter[]> {
  const layers = new Map<string, Parameter[]>();
  for (const p of graph.parameters) layers.set(p.layer, [...(layers.get(p.layer) ?? []), p]);
  return layers;
}

function mismatch({ key, shape }: Parameter, tensor: Tensor | undefined): string | null {
  if (!tensor) return `there is no "${key}"`;
  if (tensor.data instanceof Float32Array && tensor.shape.join() === shape.join()) return null;
  return `"${key}" is [${tensor.shape.join(', ')}] there and [${shape.join(', ')}] here`;
}

function isFrozen(parameters: readonly Parameter[]): boolean {
  return parameters.every((p) => !p.trainable);
}

function frozenButFresh(layer: string, path: string, why: string): UserError {
  const message = `the layer "${layer}" is frozen but has no weights in "${path}" (train.init): ${why}`;
  return new UserError('SP827', `${message}; unfreeze it, or start from a run that has it`, { exitCode: 2 });
}
