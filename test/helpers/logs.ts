// Logs of a separate store, for tests below the broker.
import { pino } from 'pino';
import type { Test } from 'tap';
import { ServiceError } from '../../src/core/service-error.ts';
import type { AppendResult } from '../../src/store/log/log-replies.ts';
import { type BatchToAppend, Logs } from '../../src/store/log/logs.ts';
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

/** Logs that know no sizes of batches yet, so that their first read of each log is by the script. */
export function newLogs({ connection }: Pick<Store, 'connection'>): Logs {
  return new Logs(connection, testConfig.prefix, pino({ level: 'silent' }));
}

/**
 * What a read should have returned, given what one by the script has. Where the last batch may not exceed the limits, a direct read does
 * not look whether a batch smaller than those before would still fit.
 */
export function expectedOf(found: object, script: object, withinLimits: boolean): object {
  if (!withinLimits || !isRead(found) || !isRead(script)) return script;
  const { length } = found.batches;
  if (length === 0 || length >= script.batches.length) return script;
  return { ...script, batches: script.batches.slice(0, length), isComplete: false };
}

function isRead(reading: object): reading is { batches: unknown[] } {
  return 'batches' in reading;
}
