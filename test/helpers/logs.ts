// Logs of a separate store, for tests below the broker.
import { pino } from 'pino';
import type { Test } from 'tap';
import { ServiceError } from '../../src/core/service-error.ts';
import type { AppendResult } from '../../src/store/log/log-replies.ts';
import type { BatchToAppend, Logs } from '../../src/store/log/logs.ts';
import { Store } from '../../src/store/store.ts';
import { startTestRedis } from './redis.ts';
import { testConfig } from './server.ts';

export const topicId = 'AAAAAAAAAAAAAAAAAAAAAA';

/** A store with the empty log of partition 0, on a new Redis unless one is given. */
export async function openStore(t: Test, redis?: { socketPath: string }): Promise<Store> {
  const { socketPath } = redis ?? (await startTestRedis(t));
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  await store.logs.create(topicId, 0);
  return store;
}

export function batchOf(lines: string[], more: Partial<BatchToAppend> = {}): BatchToAppend {
  return {
    count: lines.length,
    records: Buffer.from(lines.join('\n')),
    maxTimestamp: undefined,
    hasAllTimestamps: false,
    ...more,
  };
}

export async function append(logs: Logs, batch: BatchToAppend, partition = 0): Promise<AppendResult> {
  const [outcome] = await logs.append(topicId, partition, [batch]);
  if (outcome instanceof ServiceError) throw outcome;
  return outcome!;
}
