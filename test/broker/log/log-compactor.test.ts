// Compaction against a simple model: random appends, deletions, passes and reads over a real store. A concurrent reader of the
// log must never see a record twice or go back.
import fc from 'fast-check';
import t from 'tap';
import { compressRecords, decompressBatch } from '../../../src/broker/log/batch-compression.ts';
import { LogCompactor } from '../../../src/broker/log/log-compactor.ts';
import { createMetrics } from '../../../src/broker/metrics.ts';
import { BatchLines } from '../../../src/core/records/batch-lines.ts';
import { FetchedRecords } from '../../../src/core/records/fetched-records.ts';
import type { Logs } from '../../../src/store/log/logs.ts';
import { append, batchOf, openStore, topicId } from '../../helpers/logs.ts';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { eventually } from '../../helpers/server.ts';

const keeping = new AbortController().signal;
const runs = Number(process.env.WEIR_MODEL_RUNS ?? 40);

interface StoredRecord {
  offset: number;
  timestamp: number;
  key?: string;
  value?: unknown;
}

/** Fetches like the log reader. */
async function fetch(logs: Logs, partition: number, from: number | 'earliest', maxRecords: number, maxBytes: number) {
  const limits = { maxRecords, maxBytes };
  const read = await logs.read(topicId, partition, from, limits);
  const batches = (await Promise.all(read.batches.map(decompressBatch))).map((batch) => new BatchLines(batch));
  const records = new FetchedRecords(batches, read.offset, limits);
  const nextOffset = read.isComplete && !records.isCut ? read.endOffset : records.nextOffset;
  return { records: JSON.parse(records.array()) as StoredRecord[], nextOffset, endOffset: read.endOffset };
}

async function readAll(
  logs: Logs,
  partition: number,
  maxRecords = 1000,
  maxBytes = 1_000_000,
): Promise<StoredRecord[]> {
  const all: StoredRecord[] = [];
  let next: number | 'earliest' = 'earliest';
  for (;;) {
    const { records, nextOffset, endOffset } = await fetch(logs, partition, next, maxRecords, maxBytes);
    all.push(...records);
    if (nextOffset === endOffset) return all;
    if (nextOffset === next) throw new Error(`No way on from ${next} to ${endOffset}`);
    next = nextOffset;
  }
}

const record = fc.record(
  {
    key: fc.constantFrom('a', 'b', 'c', 'd', 'é"\\', 'f'),
    value: fc.oneof(fc.nat(), fc.string({ maxLength: 30 }), fc.constant('x'.repeat(9000))),
    timestamp: fc.integer({ min: 1, max: 4_000_000_000_000 }),
  },
  { requiredKeys: ['key'] },
);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.array(record, { minLength: 1, maxLength: 8 }) },
  {
    weight: 2,
    arbitrary: fc.record({
      compact: fc.constantFrom(0, 1_000_000_000),
      keyBytesMax: fc.constantFrom(1, 1e6),
      isCompressed: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ deleteBefore: fc.nat({ max: 100 }) }) },
  { weight: 2, arbitrary: fc.record({ maxRecords: fc.integer({ min: 1, max: 5 }) }) },
);

t.test('compaction keeps the newest record of each key with its offset and text during other operations', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  let partition = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
      partition += 1;
      await logs.create(topicId, partition);
      const model: StoredRecord[] = [];
      const reader = { next: 0, records: [] as StoredRecord[] };
      let start = 0;
      const compact = async (deleteRetentionMs: number, keyBytesMax: number, isCompressed = false) => {
        const compactor = new LogCompactor(logKeeping, createMetrics(), { keyBytesMax, stepBytes: 2000 });
        const task = { topicId, partition, leaderEpoch: 0, deleteRetentionMs, isCompressed };
        while ((await compactor.compact(task, keeping)).more);
      };
      // Compaction passes run at the same time.
      let passes = Promise.resolve();
      for (const one of steps) {
        if (Array.isArray(one)) {
          const lines = one.map(({ timestamp, ...rest }) =>
            JSON.stringify(timestamp === undefined ? rest : { timestamp, ...rest }),
          );
          const batch = batchOf(lines);
          // Some batches are compressed, as in a topic with compression.
          if (lines.length % 2 === 0) batch.records = await compressRecords(batch.records);
          const { baseOffset, timestamp } = await append(logs, batch, partition);
          model.push(...one.map((given, index) => ({ offset: baseOffset + index, timestamp, ...given })));
        } else if ('compact' in one) {
          passes = passes.then(() => compact(one.compact, one.keyBytesMax, one.isCompressed));
        } else if ('deleteBefore' in one) {
          const before = Math.min(one.deleteBefore, model.length);
          start = Math.max(start, before);
          t.match(await logs.deleteRecords(topicId, partition, before), { logStartOffset: start });
        } else {
          reader.next = Math.max(reader.next, start);
          const { records, nextOffset } = await fetch(logs, partition, reader.next, one.maxRecords, 500);
          for (const { offset } of records) t.ok(offset >= reader.next && offset < nextOffset);
          reader.records.push(...records);
          reader.next = nextOffset;
        }
      }
      await passes;
      await compact(1_000_000_000, 1e6);

      const newest = new Map(model.map((record) => [record.key, record.offset]));
      const kept = model.filter(({ key, offset }) => offset >= start && newest.get(key) === offset);
      const found = await readAll(logs, partition);
      const isTombstone = (record: StoredRecord) => !('value' in record);
      // A pass that keeps tombstones for no time may have removed some.
      t.same(
        found.filter((record) => !isTombstone(record)),
        kept.filter((record) => !isTombstone(record)),
      );
      for (const record of found) t.same(record, model[record.offset], 'a remaining record is unchanged');
      t.same(await readAll(logs, partition, 1, 1), found, 'small reads return the same records');
      for (const record of reader.records) t.same(record, model[record.offset]);
      const [bounds] = await logs.bounds([{ topicId, partition }]);
      t.match(bounds, { logStartOffset: start, endOffset: model.length });
      const { batches } = await logKeeping.scan(topicId, partition, 0, model.length, 1e9);
      t.equal(
        bounds?.bytes,
        batches.reduce((sum, { records }) => sum + records.length, 0),
        'the size of the log is the sum of its batches',
      );

      await compact(0, 1e6);
      await compact(0, 1e6);
      const values = await readAll(logs, partition);
      t.same(
        values,
        kept.filter((record) => !isTombstone(record)),
        'tombstones are removed after their retention time',
      );
    }),
    { numRuns: runs },
  );
});

t.test('if Redis loses records during a pass, nothing is removed because of them', async (t) => {
  const redis = await startLossyRedis(t);
  const store = await openStore(t, redis);
  const { logs, logMaintenance: logKeeping } = store;
  await append(logs, batchOf(['{"key":"a","value":"kept"}']));
  redis.backUp();
  await append(logs, batchOf(['{"key":"a","value":"lost"}']));
  let isLost = false;
  const losing = {
    // The pass collects the keys of the whole log. Then it reads from the start again, from a Redis that has lost records.
    scan: async (...args: Parameters<typeof logKeeping.scan>) => {
      const [, , from, to] = args;
      if (from === 0 && to > 0 && isLost) {
        await redis.killAndRestore();
        await eventually(() => store.isOpen, 'Redis serves again');
        await append(logs, batchOf(['{"key":"b","value":"new"}']));
      }
      isLost = from === 0 && to > 0;
      return logKeeping.scan(...args);
    },
    compact: (...args: Parameters<typeof logKeeping.compact>) => logKeeping.compact(...args),
  };
  const task = { topicId, partition: 0, leaderEpoch: 0, deleteRetentionMs: 1e9, isCompressed: false };
  t.match(
    await new LogCompactor(losing, createMetrics()).compact(task, keeping),
    { more: true },
    'the pass is aborted',
  );
  const values = async () => (await readAll(logs, 0)).map(({ value }) => value);
  t.same(await values(), ['kept', 'new']);
  t.match(await new LogCompactor(logKeeping, createMetrics()).compact(task, keeping), { more: false });
  t.same(await values(), ['kept', 'new']);
});

t.test('small batches are merged, and a pass with nothing to do writes nothing', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  for (let i = 0; i < 300; i += 1) await append(logs, batchOf([JSON.stringify({ key: `k${i}`, value: i })]));
  const compactor = new LogCompactor(logKeeping, createMetrics());
  const task = { topicId, partition: 0, leaderEpoch: 0, deleteRetentionMs: 1000, isCompressed: false };
  t.same(await compactor.compact(task, keeping), { more: false, tombstonesDueInMs: undefined });
  const scan = await logKeeping.scan(topicId, 0, 0, 300, 1e9);
  t.equal(scan.batches.length, 1);
  t.same(
    (await readAll(logs, 0)).map(({ value }) => value),
    Array.from({ length: 300 }, (_, i) => i),
  );
  t.same(await compactor.compact(task, keeping), { more: false, tombstonesDueInMs: undefined });
  t.equal((await logKeeping.scan(topicId, 0, 0, 300, 1e9)).generation, scan.generation);
});

t.test('a search by time and retention cover both compacted and uncompacted batches', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  const own = (key: string, timestamp: number) =>
    append(logs, batchOf([JSON.stringify({ timestamp, key })], { maxTimestamp: timestamp, hasAllTimestamps: true }));
  for (const [key, timestamp] of [
    ['a', 100],
    ['b', 300],
    ['a', 200],
    ['c', 400],
  ] as const)
    await own(key, timestamp);
  const compactor = new LogCompactor(logKeeping, createMetrics());
  await compactor.compact(
    { topicId, partition: 0, leaderEpoch: 0, deleteRetentionMs: 1e9, isCompressed: false },
    keeping,
  );
  await own('d', 500);
  t.match(await logs.findByTimestamp(topicId, 0, 0, 450), { batch: { baseOffset: 4 } });
  t.match(await logs.findByTimestamp(topicId, 0, 0, 350), { batch: { baseOffset: 1, count: 3 } });
  t.same(
    (await readAll(logs, 0)).map(({ offset }) => offset),
    [1, 2, 3, 4],
  );
  t.match(await fetch(logs, 0, 0, 1, 1), { records: [{ offset: 1 }], nextOffset: 2 });
  const [bounds] = await logs.bounds([{ topicId, partition: 0 }]);
  const last = '{"timestamp":500,"key":"d"}'.length;
  t.equal(bounds?.bytes, last * 4 + 2);
  const left = await logKeeping.retain(topicId, 0, 0, { retentionMs: -1, retentionBytes: last });
  t.match(left, { logStartOffset: 4, endOffset: 5 });
  t.match(await logs.bounds([{ topicId, partition: 0 }]), [{ bytes: last }]);
});
