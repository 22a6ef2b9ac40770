import type { MessagePort } from 'node:worker_threads';
import type { DataConfig } from './config.ts';
import type { Preparation } from './definition.ts';
import type { Failure } from './failure.ts';
import type { EpochRequest, LoadedBatch, LoaderInfo, LoaderOptions } from './loader.ts';

/** What the pipeline and its worker thread say to each other. */
export interface WorkerInput {
  readonly config: DataConfig;
  readonly options: LoaderOptions;
}

/** The worker's answers to being started: how far it has come, at last whether it succeeded. */
export type OpenReply =
  | { readonly kind: 'preparing'; readonly preparation: Preparation }
  | { readonly kind: 'opened'; readonly info: LoaderInfo }
  | Failure;

/** Asks for the batches of an epoch, which are sent to `port` as far as there is credit for them. */
export interface StreamRequest {
  readonly request: EpochRequest;
  /** For the batches that may be under way before the first is taken; every message on `port` is more of it. */
  readonly credit: Credit;
  readonly port: MessagePort;
}

export interface Credit {
  readonly batches: number;
  /** Memory for them, of batches that are done with. */
  readonly returned: readonly ArrayBuffer[];
}

export type StreamReply = { readonly kind: 'batch'; readonly loaded: LoadedBatch } | { readonly kind: 'end' } | Failure;
