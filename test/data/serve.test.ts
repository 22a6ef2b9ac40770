import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { expect, test } from 'vitest';
import type { LoadedBatch } from '../../src/data/loader.ts';
import type { StreamReply } from '../../src/data/protocol.ts';
import { serve } from '../../src/data/serve.ts';

const request = { split: 'train', epoch: 0, shuffle: false, from: 0 } as const;

const credit = (batches: number) => ({ batches, returned: [new ArrayBuffer(1)] });

/** Ten batches, of which one knows how many were made and how far the reader went. */
function tenBatches() {
  const state = { made: 0, left: false, returned: 0 };
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
  const recycle = (buffers: readonly ArrayBuffer[]) => {
    state.returned += buffers.length;
  };
  return { state, loader: { batches, recycle } };
}

test('no more batches are made than there is credit for', async () => {
  const { state, loader } = tenBatches();
  const { port1, port2 } = new MessageChannel();
  const replies: StreamReply[] = [];
  port1.on('message', (reply: StreamReply) => replies.push(reply));
  const served = serve(loader, { request, credit: credit(3), port: port2 });
  await setTimeout(50);
  expect([state.made, replies.length, state.returned]).toEqual([3, 3, 1]);
  port1.postMessage(credit(2));
  await setTimeout(50);
  expect([state.made, replies.length, state.returned]).toEqual([5, 5, 2]);
  for (let i = 0; i < 6; i++) port1.postMessage(credit(1));
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
  const served = serve(loader, { request, credit: credit(2), port: port2 });
  await once(port1, 'message');
  port1.close();
  await served;
  expect(state.made).toBeLessThanOrEqual(3);
  expect(state.left).toBe(true);
});
