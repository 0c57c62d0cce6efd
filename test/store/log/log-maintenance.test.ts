// Retention and compaction by the scripts of the store, and their refusals. test/broker/log/log-compactor tests whole passes.
import t from 'tap';
import { LogMaintenance } from '../../../src/store/log/log-maintenance.ts';
import { append, batchOf, openStore, topicId } from '../../helpers/logs.ts';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { eventually, testConfig } from '../../helpers/server.ts';

t.test('retention deletes the batches beyond a limit, and none within both limits', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  const timed = (line: string, at: number) => batchOf([line], { maxTimestamp: at, hasAllTimestamps: true });
  const far = 4_000_000_000_000;
  for (const at of [1, 2, far, 3]) await append(logs, timed('x'.repeat(10), at));
  const start = async (limits: { retentionMs: number; retentionBytes: number }) =>
    (await logKeeping.retain(topicId, 0, 0, limits)).logStartOffset;
  t.equal(await start({ retentionMs: -1, retentionBytes: -1 }), 0);
  t.equal(
    await start({ retentionMs: -1, retentionBytes: 31 }),
    0,
    'without the first batch, less than the limit would be left',
  );
  t.equal(await start({ retentionMs: -1, retentionBytes: 30 }), 1);
  t.equal(await start({ retentionMs: 1000, retentionBytes: -1 }), 2, 'an old batch after a young one stays');
  t.equal(await start({ retentionMs: -1, retentionBytes: 0 }), 4);
  t.same(await logs.bounds([{ topicId, partition: 0 }]), [
    { logStartOffset: 4, endOffset: 4, recordsEnd: 4, bytes: 0 },
  ]);
});

t.test('retention works in bounded steps, and reports whether there is more', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  const old = batchOf(['x'], { maxTimestamp: 1, hasAllTimestamps: true });
  await logs.append(
    topicId,
    0,
    Array.from({ length: 150 }, () => old),
  );
  const limits = { retentionMs: 1000, retentionBytes: -1 };
  t.match(await logKeeping.retain(topicId, 0, 0, limits), { logStartOffset: 100, more: true });
  t.match(await logKeeping.retain(topicId, 0, 0, limits), { logStartOffset: 150, more: false });
});

t.test('a batch of which some records have old timestamps and others none is as young as its append', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  await append(logs, batchOf(['{"timestamp":1}', '{"value":1}'], { maxTimestamp: 1 }));
  const limits = { retentionMs: 60_000, retentionBytes: -1 };
  t.match(await logKeeping.retain(topicId, 0, 0, limits), { logStartOffset: 0, endOffset: 2 });
  t.match(
    await logs.findByTimestamp(topicId, 0, 0, 2),
    { batch: { baseOffset: 0 } },
    'and a search by a later time finds it',
  );
});

t.test('retention reports when the oldest batch will be too old', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  const limits = { retentionMs: 60_000, retentionBytes: -1 };
  t.equal((await logKeeping.retain(topicId, 0, 0, limits)).dueInMs, undefined);
  await append(logs, batchOf(['{}']));
  const { dueInMs } = await logKeeping.retain(topicId, 0, 0, limits);
  t.ok(dueInMs !== undefined && dueInMs > 0 && dueInMs <= 60_001);
  t.equal((await logKeeping.retain(topicId, 0, 0, { ...limits, retentionMs: -1 })).dueInMs, undefined);
});

t.test('a script that reads large batches stops after a few of them, so that other commands can run', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  const batches = 12;
  for (let i = 0; i < batches; i += 1) await append(logs, batchOf(['x'.repeat(1024 * 1024)]));
  const limits = { retentionMs: -1, retentionBytes: 1 };
  t.match(await logKeeping.retain(topicId, 0, 0, limits), { logStartOffset: 4, endOffset: batches, more: true });
});

t.test('the work of a leader with a superseded epoch is refused, and changes nothing', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  for (const line of ['{"key":"a"}', '{"key":"b"}']) await append(logs, batchOf([line]));
  const nothing = { retentionMs: -1, retentionBytes: -1 };
  const everything = { retentionMs: -1, retentionBytes: 0 };
  const scan = await logKeeping.scan(topicId, 0, 0, 2, 1000);
  const step = {
    runId: scan.runId,
    generation: scan.generation,
    cleaned: 2,
    tombstonesSince: 0,
    removed: [],
    added: [],
  };
  await logKeeping.retain(topicId, 0, 3, nothing);
  const refused = { code: 'STALE_LEADER_EPOCH', fields: { leaderEpoch: 3 } };
  await t.rejects(logKeeping.retain(topicId, 0, 2, everything), refused);
  await t.rejects(logKeeping.compact(topicId, 0, 2, step), refused);
  t.match(await logs.bounds([{ topicId, partition: 0 }]), [{ logStartOffset: 0, endOffset: 2, bytes: 22 }]);
  const { now: _, ...unchanged } = scan;
  t.match(await logKeeping.scan(topicId, 0, 0, 2, 1000), unchanged);
  t.ok(await logKeeping.compact(topicId, 0, 3, step), 'the newest leader may compact');
  await t.rejects(logKeeping.retain(topicId, 0, 2, everything), refused);
});

t.test('if two brokers have the same leader epoch, the log accepts the one that used it first', async (t) => {
  const store = await openStore(t);
  const { logs, logMaintenance: first } = store;
  const second = new LogMaintenance(store.connection, testConfig.prefix);
  await append(logs, batchOf(['{"key":"a"}']));
  const nothing = { retentionMs: -1, retentionBytes: -1 };
  const everything = { retentionMs: -1, retentionBytes: 0 };
  const step = { runId: '', generation: 0, cleaned: 1, tombstonesSince: 0, removed: [], added: [] };
  await first.retain(topicId, 0, 3, nothing);
  const refused = { code: 'STALE_LEADER_EPOCH', fields: { leaderEpoch: 3 } };
  await t.rejects(second.retain(topicId, 0, 3, everything), refused);
  await t.rejects(second.compact(topicId, 0, 3, step), refused);
  t.match(
    await logs.bounds([{ topicId, partition: 0 }]),
    [{ logStartOffset: 0, endOffset: 1 }],
    'the log is unchanged',
  );
  await first.retain(topicId, 0, 3, nothing);
  await second.retain(topicId, 0, 4, nothing);
  await t.rejects(first.retain(topicId, 0, 4, everything), { code: 'STALE_LEADER_EPOCH', fields: { leaderEpoch: 4 } });
});

t.test('a step of compaction that is based on an old scan does nothing', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  for (const line of ['{"key":"a"}', '{"key":"b"}', '{"key":"c"}']) await append(logs, batchOf([line]));
  const scan = await logKeeping.scan(topicId, 0, 0, 3, 1000);
  await logs.deleteRecords(topicId, 0, 1);
  const step = {
    runId: scan.runId,
    generation: scan.generation,
    cleaned: 3,
    tombstonesSince: 0,
    removed: [],
    added: [],
  };
  t.equal(await logKeeping.compact(topicId, 0, 0, step), undefined);
  t.match(await logs.bounds([{ topicId, partition: 0 }]), [{ logStartOffset: 1, endOffset: 3, bytes: 22 }]);
});

t.test('a step of compaction that is based on a scan of another run of Redis does nothing', async (t) => {
  const redis = await startLossyRedis(t);
  const store = await openStore(t, redis);
  const { logs, logMaintenance: logKeeping } = store;
  await append(logs, batchOf(['{"key":"a","value":1}']));
  redis.backUp();
  await append(logs, batchOf(['{"key":"a","value":2}']));
  const scan = await logKeeping.scan(topicId, 0, 0, 2, 1000);
  await redis.killAndRestore();
  await eventually(() => store.isOpen, 'Redis serves again');
  await append(logs, batchOf(['{"key":"b"}']));
  // The generation is the same, as appends do not change it.
  const after = await logKeeping.scan(topicId, 0, 0, 2, 1000);
  t.equal(after.generation, scan.generation);
  const step = { cleaned: 2, tombstonesSince: 0, removed: [], added: [] };
  t.equal(
    await logKeeping.compact(topicId, 0, 0, { ...step, runId: scan.runId, generation: scan.generation }),
    undefined,
  );
  t.ok(await logKeeping.compact(topicId, 0, 0, { ...step, runId: after.runId, generation: after.generation }));
});

t.test('a log that does not exist, or was removed, is UNKNOWN_TOPIC', async (t) => {
  const { logs, logMaintenance: logKeeping } = await openStore(t);
  await logs.remove(topicId, 0);
  const unknown = { code: 'UNKNOWN_TOPIC' };
  await t.rejects(logKeeping.retain(topicId, 0, 0, { retentionMs: 1, retentionBytes: 1 }), unknown);
  await t.rejects(logKeeping.scan(topicId, 0, 0, 1, 1), unknown);
  const step = { runId: '', generation: 0, cleaned: 1, tombstonesSince: 0, removed: [], added: [] };
  await t.rejects(logKeeping.compact(topicId, 0, 0, step), unknown);
});
