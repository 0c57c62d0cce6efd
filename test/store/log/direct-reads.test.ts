// Reads by plain commands against reads by the script, which a new Logs uses first: it knows no sizes of batches.
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { hasCode } from '../../../src/core/service-error.ts';
import { partitionKeys } from '../../../src/store/keys.ts';
import type { Logs } from '../../../src/store/log/logs.ts';
import type { StoreConnection } from '../../../src/store/redis/connection.ts';
import type { Store } from '../../../src/store/store.ts';
import { append, batchOf, expectedOf, newLogs, openStore, topicId } from '../../helpers/logs.ts';
import { chooseSeed, type Random, randomOf } from '../../helpers/random.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { testConfig } from '../../helpers/server.ts';

type Read = Awaited<ReturnType<Logs['read']>>;

const partitionKey = partitionKeys(testConfig.prefix, topicId, 0).partition;
const unlimited = { maxRecords: 1_000_000, maxBytes: 1_000_000_000 };

/** Counts the reads of both kinds from now on. */
function countCalls({ connection }: Store) {
  const counts = { 'logs/read': 0, 'direct-read': 0 };
  connection.onCall((name) => {
    if (name === 'logs/read' || name === 'direct-read') counts[name] += 1;
  });
  return counts;
}

/** A batch whose records differ from those of all others, of about so many bytes. */
let batches = 0;
function batchOfBytes(count: number, bytes: number) {
  const lines = Array.from({ length: count }, (_, i) =>
    `{"value":"${batches}.${i}.`.padEnd(bytes / count - 3, 'x').concat('"}'),
  );
  batches += 1;
  return batchOf(lines);
}

const shown = ({ batches: read, ...bounds }: Read) => ({
  ...bounds,
  batches: read.map(
    ({ baseOffset, count, timestamp, records }) =>
      `${baseOffset}+${count} at ${timestamp}: ${createHash('sha1').update(records).digest('hex')}`,
  ),
});

/** Compacts the log up to the end of some batch behind its compacted part, by joining batches of one record each. */
async function compactSome({ logMaintenance }: Store, random: Random): Promise<void> {
  const scan = await logMaintenance.scan(topicId, 0, 0, 1_000_000, 200_000);
  const fresh = scan.batches.filter(({ isCompacted, baseOffset }) => !isCompacted && baseOffset >= scan.cleaned);
  const removed = fresh.slice(0, random.below(fresh.length + 1));
  const last = removed.at(-1);
  if (!last) return;
  const added = removed
    .filter(() => random.chance(0.7))
    .map(({ baseOffset, count, timestamp, records }) => ({
      baseOffset,
      count,
      timestamp,
      records,
      maxTimestamp: timestamp,
      tombstonesSince: 0,
    }));
  const { runId, generation } = scan;
  const cleaned = last.baseOffset + last.count;
  await logMaintenance.compact(topicId, 0, 0, { runId, generation, cleaned, tombstonesSince: 0, removed: [], added });
}

async function failureOf(reading: Promise<Read>): Promise<Read | { code: unknown; fields: unknown }> {
  return reading.catch((error: { code: unknown; fields: unknown }) => ({ code: error.code, fields: error.fields }));
}

/** Compares a read with one by the script, at the same moment. */
async function compare(t: Test, { logs, connection }: Store, random: Random): Promise<void> {
  const [bounds] = await logs.bounds([{ topicId, partition: 0 }]);
  const { logStartOffset = 0, endOffset = 0 } = bounds ?? {};
  const offset = Math.max(
    0,
    random.chance(0.05) ? endOffset + 1 : Math.floor(random.between(logStartOffset - 2, endOffset + 1)),
  );
  const limits = { maxRecords: random.pick([1, 10, 100, 100_000]), maxBytes: random.pick([1, 5000, 40_000, 200_000]) };
  const withinLimits = random.chance(0.5);
  const direct = await failureOf(logs.read(topicId, 0, offset, limits, withinLimits));
  const script = await failureOf(newLogs({ connection }).read(topicId, 0, offset, limits, withinLimits));
  const about = `offset ${offset} of ${logStartOffset} to ${endOffset}, ${JSON.stringify(limits)}, within limits: ${withinLimits}`;
  if (!('batches' in direct) || !('batches' in script)) {
    t.same(direct, script, about);
    return;
  }
  t.same(shown(direct), expectedOf(shown(direct), shown(script), withinLimits), about);
}

t.test('a direct read returns what the script does, whatever has happened to the log', async (t) => {
  const store = await openStore(t);
  const seed = chooseSeed();
  t.comment(`WEIR_TEST_SEED=${seed}`);
  const random = randomOf(seed);
  const calls = countCalls(store);
  const changes: Record<string, () => Promise<unknown>> = {
    append: () =>
      append(store.logs, batchOfBytes(1 + random.below(60), random.pick([200, 6000, 6000, 20_000, 60_000]))),
    trim: async () => {
      const [bounds] = await store.logs.bounds([{ topicId, partition: 0 }]);
      const { logStartOffset, endOffset } = bounds!;
      await store.logs.deleteRecords(topicId, 0, Math.floor(random.between(logStartOffset, endOffset)));
    },
    compact: () => compactSome(store, random),
    lose: async () => {
      await store.logs.remove(topicId, 0);
      await compare(t, store, random);
      // Redis has lost it with everything else, and it begins anew under its id.
      await store.connection.command(
        true,
        (client) => client.del(partitionKey.replace(/partition$/, 'removed')),
        partitionKey,
      );
      await store.logs.recreateLost(topicId, 0);
    },
  };
  for (let step = 0; step < 150; step += 1) {
    const change = random.chance(0.7) ? 'append' : random.pick(['trim', 'trim', 'compact', 'compact', 'lose']);
    await changes[change]!();
    for (let i = 0; i < 4; i += 1) await compare(t, store, random);
  }
  t.ok(calls['direct-read'] > 100, `${calls['direct-read']} reads were direct`);
});

t.test('the second read of a log is direct, from any offset, and a reader finds all records in order', async (t) => {
  const store = await openStore(t);
  for (let i = 0; i < 30; i += 1) await append(store.logs, batchOfBytes(10, 6000));
  const calls = countCalls(store);
  const whole = await store.logs.read(topicId, 0, 'earliest', unlimited);
  t.same(calls, { 'logs/read': 1, 'direct-read': 0 });
  const found: string[] = [];
  for (let offset = 0; offset < 300; ) {
    const read = await store.logs.read(topicId, 0, offset, { maxRecords: 1000, maxBytes: 50_000 }, true);
    t.ok(read.batches.length > 5 && read.batches.length <= 8, `${read.batches.length} batches fill the limit`);
    found.push(...shown(read).batches);
    const { baseOffset, count } = read.batches.at(-1)!;
    offset = baseOffset + count;
    t.equal(read.isComplete, offset === 300);
  }
  t.same(found, shown(whole).batches);
  const middle = await store.logs.read(topicId, 0, 95, { maxRecords: 25, maxBytes: 1_000_000 });
  t.same(
    middle.batches.map(({ baseOffset }) => baseOffset),
    [90, 100, 110],
    'of 25 records from an offset within a batch on',
  );
  t.equal(calls['logs/read'], 1, 'none of them needed the script');
});

t.test('batches of which one may be far too large, or that are small, are read by the script', async (t) => {
  const store = await openStore(t);
  const calls = countCalls(store);
  await append(store.logs, batchOfBytes(1, 2_000_000));
  for (let i = 0; i < 20; i += 1) await append(store.logs, batchOfBytes(10, 6000));
  const limits = { maxRecords: 1000, maxBytes: 60_000 };
  await store.logs.read(topicId, 0, 1, limits);
  await store.logs.read(topicId, 0, 1, limits);
  t.same(
    calls,
    { 'logs/read': 2, 'direct-read': 0 },
    'ten batches might have 20 MB: more than 16 MiB beyond the limit',
  );
  await store.logs.read(topicId, 0, 1, { maxRecords: 10, maxBytes: 60_000 });
  t.same(calls, { 'logs/read': 2, 'direct-read': 1 }, 'one batch may have any size');
  for (let i = 0; i < 20; i += 1) await append(store.logs, batchOfBytes(10, 3000));
  for (let i = 0; i < 2; i += 1) await store.logs.read(topicId, 0, 210, limits);
  t.same(calls, { 'logs/read': 4, 'direct-read': 1 }, 'batches of 3000 bytes');
});

t.test(
  'batches whose sizes were not noted, as an older version has appended them, are read by the script',
  async (t) => {
    const store = await openStore(t);
    for (let i = 0; i < 3; i += 1) await append(store.logs, batchOfBytes(10, 6000));
    const calls = countCalls(store);
    const change = (name: string, value: number) =>
      store.connection.command(true, (client) => client.hset(partitionKey, name, value), partitionKey);
    const read = (offset: number) => store.logs.read(topicId, 0, offset, { maxRecords: 10, maxBytes: 60_000 });
    await change('sized', 5);
    for (const offset of [0, 0, 20, 20]) await read(offset);
    t.same(calls, { 'logs/read': 4, 'direct-read': 0 });
    for (let i = 0; i < 2; i += 1) await append(store.logs, batchOfBytes(10, 6000));
    await read(0);
    await read(20);
    t.same(calls, { 'logs/read': 6, 'direct-read': 0 }, 'from 30 on they are known');
    await read(30);
    await read(45);
    t.same(calls, { 'logs/read': 6, 'direct-read': 2 });
  },
);

/** A connection that runs `between` when the batches of a direct read were read, and its bounds were not. */
function interrupted(connection: StoreConnection, between: () => Promise<unknown>): StoreConnection {
  const slowed = (client: Redis) => {
    let last: Promise<unknown> = Promise.resolve();
    const note = <T>(reply: Promise<T>) => {
      last = reply;
      return reply;
    };
    return {
      xrevrangeBuffer: (...args: Parameters<Redis['xrevrangeBuffer']>) => note(client.xrevrangeBuffer(...args)),
      xrangeBuffer: (...args: Parameters<Redis['xrangeBuffer']>) => note(client.xrangeBuffer(...args)),
      hmget: (...args: [string, ...string[]]) => last.then(between).then(() => client.hmget(...args)),
    } as unknown as Redis;
  };
  return new Proxy(connection, {
    get(target, property) {
      if (property === 'command') {
        return <T>(writes: boolean, command: (client: Redis) => Promise<T>, key?: string, name?: string) =>
          target.command(writes, (client) => command(name === 'direct-read' ? slowed(client) : client), key, name);
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

t.test('nothing is returned that the log has lost while it was read', async (t) => {
  const redis = await startTestRedis(t);
  const store = await openStore(t, redis);
  const { logs, logMaintenance, connection } = store;
  const empty = async () => {
    await logs.remove(topicId, 0);
    await connection.command(true, (client) => client.del(partitionKey.replace(/partition$/, 'removed')), partitionKey);
  };
  const fill = async () => {
    for (let i = 0; i < 4; i += 1) await append(logs, batchOfBytes(10, 6000));
  };
  const recreate = async () => {
    await empty();
    await logs.recreateLost(topicId, 0);
    await fill();
  };
  const losses: Record<string, () => Promise<unknown>> = {
    'the log was deleted': () => logs.remove(topicId, 0),
    'the log was deleted and created again, with as many records': recreate,
    'the records were deleted': () => logs.deleteRecords(topicId, 0, 15),
    'the records were compacted': async () => {
      const { runId, generation } = await logMaintenance.scan(topicId, 0, 0, 20, 1_000_000);
      await logMaintenance.compact(topicId, 0, 0, {
        runId,
        generation,
        cleaned: 20,
        tombstonesSince: 0,
        removed: [],
        added: [],
      });
    },
    'Redis was emptied': () =>
      connection.command(
        true,
        (client) => client.del(partitionKey, partitionKey.replace(/partition$/, 'log')),
        partitionKey,
      ),
    'nothing was lost, and records were appended': fill,
  };
  const calls = countCalls(store);
  for (const [what, lose] of Object.entries(losses)) {
    await empty();
    await logs.recreateLost(topicId, 0);
    await fill();
    const reader = newLogs({ connection: interrupted(connection, lose) });
    await reader.read(topicId, 0, 0, unlimited);
    const before = calls['direct-read'];
    const limits = { maxRecords: 20, maxBytes: 1_000_000 };
    const read = await failureOf(reader.read(topicId, 0, 10, limits));
    const wanted = await failureOf(newLogs({ connection }).read(topicId, 0, 10, limits));
    t.equal(calls['direct-read'], before + 1, `${what}: it was tried`);
    t.same('batches' in read ? shown(read) : read, 'batches' in wanted ? shown(wanted) : wanted, what);
  }
});

t.test(
  'readers of a log that is trimmed and appended to meanwhile get what is there, or that it is gone',
  async (t) => {
    const store = await openStore(t);
    const { logs } = store;
    const random = randomOf(chooseSeed());
    const contents = new Map<number, string>();
    const grow = async () => {
      const batch = batchOfBytes(10, 6000);
      const { baseOffset } = await append(logs, batch);
      contents.set(baseOffset, batch.records.toString());
    };
    for (let i = 0; i < 20; i += 1) await grow();
    let [start, isOver, reads] = [0, false, 0];
    const calls = countCalls(store);
    const reader = async () => {
      while (!isOver) {
        const offset = start + random.below(100);
        const known = start;
        try {
          const read = await logs.read(topicId, 0, offset, { maxRecords: 1000, maxBytes: 40_000 });
          reads += 1;
          const isRight = read.batches.every(
            ({ baseOffset, records }) => contents.get(baseOffset) === records.toString(),
          );
          if (!isRight || read.logStartOffset < known || offset < read.logStartOffset)
            t.fail(`from ${offset}: ${read.batches.length} batches`);
        } catch (error) {
          if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
        }
      }
    };
    const readers = [reader(), reader(), reader()];
    for (let i = 0; i < 100; i += 1) {
      await grow();
      const to = start + random.below(20);
      await logs.deleteRecords(topicId, 0, to);
      start = to;
    }
    isOver = true;
    await Promise.all(readers);
    t.ok(reads > 0 && calls['direct-read'] > 0, `${reads} reads, ${calls['direct-read']} of them direct`);
  },
);
