import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { expect, test } from 'vitest';
import type { LoadedBatch } from '../../src/data/loader.ts';
import type { StreamReply } from '../../src/data/protocol.ts';
import { serve } from '../../src/data/serve.ts';

const request = { split: 'train', epoch: 0, shuffle: false, from: 0 } as const;

/** Ten batches, of which one knows how many were made and how far the reader went. */
function tenBatches() {
  const state = { made: 0, left: false };
  async function* batches(): AsyncGenerator<LoadedBatch> {
    try {
      while (state.made < 10) {
        state.made++;
        const input = { kind: 'dense', values: new Float32Array(1) } as const;
        const batch = {
          size: 1,
          steps: 1,
          features: 1,
          input,
          labels: new Int32Array(1),
          samples: Int32Array.of(state.made),
        };
        yield { batch, events: 0, dropped: 0, skipped: [] };
      }
    } finally {
      state.left = true;
    }
  }
  return { state, loader: { batches } };
}

test('no more batches are made than there is credit for', async () => {
  const { state, loader } = tenBatches();
  const { port1, port2 } = new MessageChannel();
  const replies: StreamReply[] = [];
  port1.on('message', (reply: StreamReply) => replies.push(reply));
  const served = serve(loader, { request, credit: 3, port: port2 });
  await setTimeout(50);
  expect([state.made, replies.length]).toEqual([3, 3]);
  port1.postMessage(2);
  await setTimeout(50);
  expect([state.made, replies.length]).toEqual([5, 5]);
  for (let i = 0; i < 6; i++) port1.postMessage(1);
  await served;
  await setTimeout(20);
  expect(replies.map((reply) => (reply.kind === 'batch' ? reply.loaded.batch.samples[0] : reply.kind))).toEqual([
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    'end',
  ]);
  port1.close();
});

test('a receiver that goes away ends the work', async () => {
  const { state, loader } = tenBatches();
  const { port1, port2 } = new MessageChannel();
  const served = serve(loader, { request, credit: 2, port: port2 });
  await once(port1, 'message');
  port1.close();
  await served;
  expect(state.made).toBeLessThanOrEqual(3);
  expect(state.left).toBe(true);
});
