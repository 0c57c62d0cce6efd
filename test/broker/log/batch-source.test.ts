// Reads from the memory of a broker, compared with reads of the store at the same moment, whatever happened to the log before.

import { pino } from 'pino';
import t, { type Test } from 'tap';
import { BatchSource } from '../../../src/broker/log/batch-source.ts';
import { createMetrics } from '../../../src/broker/metrics.ts';
import { BatchLines } from '../../../src/core/records/batch-lines.ts';
import { compactBatches, NewestOffsets } from '../../../src/core/records/compaction.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { Store } from '../../../src/store/store.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { append, batchOf, expectedOf, newLogs, openStore, topicId } from '../../helpers/logs.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, testConfig } from '../../helpers/server.ts';

const partition = 0;
const unlimited = { maxRecords: 1_000_000, maxBytes: 1_000_000_000 };

/** A source over a store, and what it has counted. */
function sourceOf(store: Store, bytesMax = 1024 * 1024) {
  const metrics = createMetrics();
  const appended: number[] = [];
  const source = new BatchSource(store.logs, bytesMax, metrics, (_id, _partition, end) => appended.push(end));
  const count = async (name: string) => {
    const text = await metrics.registry.metrics();
    return Number(new RegExp(`^weir_batch_cache_${name} (\\d+)`, 'm').exec(text)?.[1]);
  };
  const read = (offset: number, { limits = unlimited, withinLimits = false, askedAt = performance.now() } = {}) =>
    source.read({ topicId, partition, offset, limits, withinLimits, askedAt });
  return {
    read,
    appended,
    hits: () => count('hits_total'),
    misses: () => count('misses_total'),
    bytes: () => count('bytes'),
  };
}

const codeOf = (error: unknown) => {
  if (error instanceof ServiceError) return { code: error.code, ...error.fields };
  throw error;
};

/** Removes superseded records from the whole log. */
async function compact({ logMaintenance }: Store, leaderEpoch: number) {
  const scan = await logMaintenance.scan(topicId, partition, 0, Number.MAX_SAFE_INTEGER, 1_000_000);
  const newest = new NewestOffsets(1_000_000);
  for (const batch of scan.batches) newest.add(new BatchLines(batch));
  const { logStartOffset: startOffset, now, runId, generation, endOffset: cleaned } = scan;
  const options = { startOffset, now, deleteRetentionMs: 1000, mergedBytesMax: 500 };
  const { removed, added } = compactBatches(scan.batches, newest, options);
  const step = { runId, generation, cleaned, tombstonesSince: undefined, removed, added };
  await logMaintenance.compact(topicId, partition, leaderEpoch, step);
}

t.test('a read from memory never differs from one of the store', async (t) => {
  const redis = await startTestRedis(t);
  const [own, other] = [await openStore(t, redis), await openStore(t, redis)];
  const seed = Number(process.env.WEIR_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.comment(`WEIR_TEST_SEED=${seed}`);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
  // A small memory, so that batches are evicted, and a large one.
  const sources = [sourceOf(own, 70_000)];
  const key = () => `{"key":"k${random(4)}","value":"${'x'.repeat(random(6) === 0 ? 20_000 : random(60))}"}`;
  const newBatch = () => batchOf(Array.from({ length: 1 + random(5) }, key));
  const end = async () => (await other.logs.bounds([{ topicId, partition }]))[0]?.endOffset ?? 0;
  const changes: (() => Promise<unknown>)[] = [
    ...Array(6).fill(() => own.logs.append(topicId, partition, [newBatch(), newBatch()])),
    ...Array(3).fill(() => append(other.logs, newBatch())),
    async () => other.logs.deleteRecords(topicId, partition, random((await end()) + 1)),
    async () => own.logs.deleteRecords(topicId, partition, 'latest'),
    async () =>
      other.logMaintenance.retain(topicId, partition, 1, { retentionMs: -1, retentionBytes: 300 }).catch(codeOf),
    async () => compact(own, 2).catch(codeOf),
    async () => {
      // The log is lost, and created again.
      if (random(6) > 0) return;
      await other.connection.command(true, (client) => client.flushall());
      await other.logs.create(topicId, partition);
    },
  ];
  for (let i = 0; i < 1500; i++) {
    await changes[random(changes.length)]!();
    const last = await end();
    const offset = random(3) === 0 ? random(last + 2) : Math.max(0, last - random(12));
    const limits = { maxRecords: 1 + random(30), maxBytes: 1 + random(random(2) === 0 ? 500 : 60_000) };
    const withinLimits = random(2) === 0;
    for (const { read } of sources) {
      const [found, expected] = await Promise.all([
        read(offset, { limits, withinLimits }).catch(codeOf),
        newLogs(other).read(topicId, partition, offset, limits, withinLimits).catch(codeOf),
      ]);
      t.same(found, expectedOf(found, expected, withinLimits), `step ${i}, offset ${offset}`);
      if (!t.passing()) return;
    }
  }
  for (const { hits, misses, bytes } of sources) {
    t.comment(`${await hits()} hits, ${await misses()} misses`);
    t.ok((await hits()) > 100);
    t.ok((await misses()) > 100);
    t.ok((await bytes()) <= 70_000);
  }
});

/** A log of three batches, and a source that has them. */
async function filled(t: Test) {
  const redis = await startTestRedis(t);
  const [own, other] = [await openStore(t, redis), await openStore(t, redis)];
  const source = sourceOf(own);
  for (const line of ['a', 'b', 'c']) await append(own.logs, batchOf([line, line]));
  const calls = async () =>
    Number(
      /cmdstat_evalsha:calls=(\d+)/.exec(await own.connection.command(false, (c) => c.info('commandstats')))?.[1] ?? 0,
    );
  return { own, other, ...source, calls };
}

const lines = ({ batches }: { batches: { records: Buffer }[] }) => batches.map(({ records }) => records.toString());

t.test('what this broker appends is read from memory, and what another appends is not missed', async (t) => {
  const { other, read, hits, appended } = await filled(t);
  t.same(appended, [2, 4, 6], 'readers that wait are told');
  t.same(lines(await read(1)), ['a\na', 'b\nb', 'c\nc']);
  t.equal(await hits(), 1);
  await append(other.logs, batchOf(['d']));
  t.match(await read(1), { endOffset: 7, isComplete: true });
  t.same(lines(await read(2)), ['b\nb', 'c\nc', 'd'], 'a read that reaches the end fills the memory, too');
  t.equal(await hits(), 2);
  t.match(await read(6), { isComplete: true, nextOffset: undefined });
});

t.test('a reader that asked before an append gets it without any call of the store', async (t) => {
  const { own, read, hits } = await filled(t);
  const askedAt = performance.now();
  await append(own.logs, batchOf(['d']));
  const commands = async () =>
    Number(/total_commands_processed:(\d+)/.exec(await own.connection.command(false, (c) => c.info('stats')))![1]);
  const before = await commands();
  t.same(lines(await read(6, { askedAt })), ['d']);
  t.equal((await commands()) - before, 1, 'only that of counting them');
  t.equal(await hits(), 1);
});

t.test('nothing is read from memory that was deleted, compacted, removed or lost', async (t) => {
  const deletions: Record<string, (other: Store) => Promise<unknown>> = {
    deleted: ({ logs }) => logs.deleteRecords(topicId, partition, 3),
    retained: ({ logMaintenance }) =>
      logMaintenance.retain(topicId, partition, 1, { retentionMs: -1, retentionBytes: 1 }),
    removed: ({ logs }) => logs.remove(topicId, partition),
    lost: async ({ connection, logs }) => {
      await connection.command(true, (client) => client.flushall());
      await logs.create(topicId, partition);
      for (const line of ['x', 'y', 'z']) await append(logs, batchOf([line, line]));
    },
  };
  for (const [what, remove] of Object.entries(deletions)) {
    const { other, read } = await filled(t);
    await read(0);
    await remove(other);
    for (const offset of [0, 2, 4]) {
      const expected = await other.logs.read(topicId, partition, offset, unlimited).catch(codeOf);
      t.same(await read(offset).catch(codeOf), expected, `${what}, offset ${offset}`);
    }
  }
});

t.test('a memory of 0 bytes holds nothing', async (t) => {
  const store = await openStore(t);
  const { read, hits, misses, bytes } = sourceOf(store, 0);
  await append(store.logs, batchOf(['a']));
  t.same(lines(await read(0)), ['a']);
  t.same([await hits(), await misses(), await bytes()], [0, 1, 0]);
});

t.test('the memory stays within its limit, with batches of any size', async (t) => {
  const store = await openStore(t);
  const bytesMax = 300_000;
  const { read, bytes } = sourceOf(store, bytesMax);
  for (let i = 0; i < 400; i++) {
    const size = i % 50 === 0 ? 40_000 : i % 7 === 0 ? 17_000 : 30;
    await append(store.logs, batchOf([JSON.stringify({ value: 'x'.repeat(size), i })]));
    t.ok((await bytes()) <= bytesMax);
  }
  for (let offset = 300; offset <= 400; offset++) {
    const expected = await store.logs.read(topicId, partition, offset, unlimited);
    t.same(await read(offset), expected);
  }
});

t.test('after a failover that has lost records, memory does not have them', async (t) => {
  const node = await startRedisNode(t, ['appendonly yes', 'appendfsync always']);
  const target = { url: `redis://${node.host}:${node.port}` };
  const store = new Store({ ...testConfig, target }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  await store.logs.create(topicId, partition);
  const { read, hits } = sourceOf(store);
  await append(store.logs, batchOf(['kept', 'kept']));
  node.backUp();
  await append(store.logs, batchOf(['lost', 'lost']));
  const askedAt = performance.now();
  t.same(lines(await read(0)), ['kept\nkept', 'lost\nlost']);
  await node.killAndRestore();
  const isServed = () =>
    read(0).then(
      () => true,
      () => false,
    );
  await eventually(isServed, 'the store is open again');
  t.same(lines(await read(0)), ['kept\nkept']);
  await append(store.logs, batchOf(['new', 'new', 'new']));
  const before = await hits();
  t.same(lines(await read(2)), ['new\nnew\nnew']);
  t.same(lines(await read(2, { askedAt })), ['new\nnew\nnew'], 'nor for a reader that asked before');
  t.ok((await hits()) > before, 'and it serves again');
});
