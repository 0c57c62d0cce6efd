import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { partitionKeys } from '../../../src/store/keys.ts';
import type { BatchDeduplication } from '../../../src/store/log/logs.ts';
import { Store } from '../../../src/store/store.ts';
import { temporaryFolder } from '../../../testbed/scope.ts';
import { append, batchOf, openStore, topicId } from '../../helpers/logs.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, testConfig } from '../../helpers/server.ts';

function keyed(key: string, fingerprint: string, partitions = 1): BatchDeduplication {
  return { kind: 'key', key, fingerprint, partitions };
}

/** A batch of a request whose home is another log. */
function producerOf(producer: { id: string; epoch: number; sequence: number }): BatchDeduplication {
  return { kind: 'producer', ...producer, actsAs: undefined, home: false, joined: true, partitions: 2 };
}

const unlimited = { maxRecords: 1_000_000, maxBytes: 1_000_000_000 };

t.test('offsets are consecutive: each batch begins where the previous one ended', async (t) => {
  const { logs } = await openStore(t);
  t.match(await append(logs, batchOf(['{}'])), { baseOffset: 0, count: 1, replayed: false });
  t.match(await append(logs, batchOf(['a', 'b', 'c'])), { baseOffset: 1, count: 3 });
  const outcomes = await logs.append(topicId, 0, [batchOf(['d']), batchOf(['e', 'f'])]);
  t.match(outcomes, [{ baseOffset: 4 }, { baseOffset: 5, count: 2 }]);
  t.same(await logs.bounds([{ topicId, partition: 0 }]), [
    { logStartOffset: 0, endOffset: 7, recordsEnd: 7, bytes: 2 + 5 + 1 + 3 },
  ]);
});

t.test('a log that does not exist, or was removed, is UNKNOWN_TOPIC', async (t) => {
  const { logs } = await openStore(t);
  await append(logs, batchOf(['a']));
  await logs.remove(topicId, 0);
  await logs.remove(topicId, 0);
  const unknown = { code: 'UNKNOWN_TOPIC' };
  await t.rejects(append(logs, batchOf(['a'])), unknown);
  await t.rejects(logs.read(topicId, 0, 0, unlimited), unknown);
  await t.rejects(logs.findByTimestamp(topicId, 0, 0, 0), unknown);
  await t.rejects(logs.deleteRecords(topicId, 0, 0), unknown);
  await t.rejects(append(logs, batchOf([])), unknown);
  t.same(await logs.bounds([{ topicId, partition: 0 }]), [undefined]);
});

t.test('a log that Redis has lost is created again, and one that was removed is not', async (t) => {
  const { logs, connection } = await openStore(t);
  const lose = () =>
    connection.command(true, (client) => client.del(partitionKeys(testConfig.prefix, topicId, 0).partition));
  t.equal(await logs.recreateLost(topicId, 0), 'there');
  await lose();
  t.equal(await logs.recreateLost(topicId, 0), 'opened');
  t.match(await append(logs, batchOf(['b'])), { baseOffset: 0 });
  await lose();
  t.equal(await logs.recreateLost(topicId, 0), 'refused', 'batches are left, which must not be hidden by an empty log');
  await logs.remove(topicId, 0);
  t.equal(await logs.recreateLost(topicId, 0), 'refused');
  await t.rejects(append(logs, batchOf(['c'])), { code: 'UNKNOWN_TOPIC' });
});

t.test('opening a log again leaves it as it is', async (t) => {
  const { logs } = await openStore(t);
  await append(logs, batchOf(['a']));
  await logs.create(topicId, 0);
  t.match(await append(logs, batchOf(['b'])), { baseOffset: 1 });
});

t.test('a read begins with the batch that holds the offset, and stops at its limit', async (t) => {
  const { logs } = await openStore(t);
  for (const lines of [['a', 'b'], ['c'], ['d', 'e', 'f'], ['g']]) await append(logs, batchOf(lines));
  const read = async (offset: number | 'earliest' | 'latest', limits = unlimited) => {
    const { batches, offset: from } = await logs.read(topicId, 0, offset, limits);
    return [from, ...batches.map(({ baseOffset, count, records }) => `${baseOffset}+${count} ${records}`)];
  };
  t.same(await read(0), [0, '0+2 a\nb', '2+1 c', '3+3 d\ne\nf', '6+1 g']);
  t.same(await read(1), [1, '0+2 a\nb', '2+1 c', '3+3 d\ne\nf', '6+1 g']);
  t.same(await read(2), [2, '2+1 c', '3+3 d\ne\nf', '6+1 g']);
  t.same(await read(5), [5, '3+3 d\ne\nf', '6+1 g']);
  t.same(await read(6), [6, '6+1 g']);
  t.same(await read(7), [7]);
  t.same(await read('earliest', { maxRecords: 1, maxBytes: 1000 }), [0, '0+2 a\nb']);
  t.same(await read(1, { maxRecords: 2, maxBytes: 1000 }), [1, '0+2 a\nb', '2+1 c']);
  t.same(await read(0, { maxRecords: 100, maxBytes: 4 }), [0, '0+2 a\nb', '2+1 c']);
  t.same(await read('latest'), [7]);
});

t.test('batches of any sizes are read back as they were, in any order of small and large', async (t) => {
  const { logs } = await openStore(t);
  const sizes = [5, 10_000, 1, 2, 4_095, 4_096, 3, 200_000, 4_000, 96, 1, 70_000];
  const lines = sizes.map((size, index) => String.fromCharCode(97 + index).repeat(size));
  for (const line of lines) await append(logs, batchOf([line]));
  for (const from of lines.keys()) {
    const { batches } = await logs.read(topicId, 0, from, unlimited);
    t.ok(batches.map(({ records }) => String(records)).join() === lines.slice(from).join(), `from offset ${from}`);
    t.same(
      batches.map(({ baseOffset }) => baseOffset),
      lines.map((_, offset) => offset).slice(from),
    );
  }
});

t.test('an offset outside the log is refused with its bounds', async (t) => {
  const { logs } = await openStore(t);
  for (const lines of [
    ['a', 'b'],
    ['c', 'd'],
  ])
    await append(logs, batchOf(lines));
  await logs.deleteRecords(topicId, 0, 3);
  const bounds = { code: 'OFFSET_OUT_OF_RANGE', fields: { logStartOffset: 3, endOffset: 4 } };
  await t.rejects(logs.read(topicId, 0, 2, unlimited), bounds);
  await t.rejects(logs.read(topicId, 0, 5, unlimited), bounds);
  await t.rejects(logs.deleteRecords(topicId, 0, 5), bounds);
});

t.test('deleting records moves the log start offset and frees whole batches; offsets continue', async (t) => {
  const { logs } = await openStore(t);
  for (const lines of [['a', 'b'], ['c', 'd'], ['e']]) await append(logs, batchOf(lines));
  t.match(await logs.deleteRecords(topicId, 0, 3), { logStartOffset: 3, endOffset: 5 });
  t.same(await logs.bounds([{ topicId, partition: 0 }]), [
    { logStartOffset: 3, endOffset: 5, recordsEnd: 5, bytes: 4 },
  ]);
  t.match(await logs.deleteRecords(topicId, 0, 1), { logStartOffset: 3, endOffset: 5 }, 'it never moves back');
  t.match(await logs.deleteRecords(topicId, 0, 'latest'), { logStartOffset: 5, endOffset: 5 });
  t.same(await logs.bounds([{ topicId, partition: 0 }]), [
    { logStartOffset: 5, endOffset: 5, recordsEnd: 5, bytes: 0 },
  ]);
  t.match(await append(logs, batchOf(['f'])), { baseOffset: 5 });
});

t.test(
  'a repeat with an Idempotency-Key gets the first result, and another request with the key is refused',
  async (t) => {
    const { logs } = await openStore(t);
    const identity = keyed('k', 'one');
    const first = await append(logs, batchOf(['a', 'b'], { deduplication: identity }));
    t.same(await append(logs, batchOf(['a', 'b'], { deduplication: identity })), { ...first, replayed: true });
    const other = keyed('k', 'two');
    await t.rejects(append(logs, batchOf(['c'], { deduplication: other })), { code: 'IDEMPOTENCY_KEY_REUSED' });
    await t.rejects(append(logs, batchOf([], { deduplication: other })), { code: 'IDEMPOTENCY_KEY_REUSED' });
    t.match(await append(logs, batchOf(['d'])), { baseOffset: 2 }, 'nothing else was appended');
  },
);

t.test(
  'a request without records in its home partition is remembered there with its number of partitions',
  async (t) => {
    const { logs } = await openStore(t);
    const noted = await append(logs, batchOf([], { deduplication: keyed('k', 'one', 4) }));
    t.match(noted, { baseOffset: -1, count: 0, replayed: false, partitions: 4 });
    const again = await append(logs, batchOf(['a'], { deduplication: keyed('k', 'one', 8) }));
    t.match(again, { baseOffset: -1, count: 0, replayed: true, partitions: 4 });
    t.match(await logs.bounds([{ topicId, partition: 0 }]), [{ endOffset: 0 }]);
  },
);

t.test('a late repeat of a producer is never appended twice, also outside its home partition', async (t) => {
  const { logs } = await openStore(t);
  const send = (sequence: number) =>
    append(logs, batchOf([String(sequence)], { deduplication: producerOf({ id: 'p', epoch: 0, sequence }) }));
  // Concurrent requests arrive in any order.
  for (const sequence of [4, 0, 1, 2, 3]) t.match(await send(sequence), { replayed: false });
  t.match(await send(4), { baseOffset: 0, replayed: true });
  for (const sequence of [5, 7, 6]) t.match(await send(sequence), { replayed: false });
  // A broker was delayed for so long that its client continued through others, and the log no longer remembers the result.
  for (const sequence of [0, 1, 2]) await t.rejects(send(sequence), { code: 'OUT_OF_ORDER_SEQUENCE' });
  for (const sequence of [3, 4, 5, 6, 7]) t.match(await send(sequence), { replayed: true });
  t.match(await logs.bounds([{ topicId, partition: 0 }]), [{ endOffset: 8 }]);
});

t.test('a fence refuses every token below the highest seen under its name', async (t) => {
  const { logs } = await openStore(t);
  const fenced = (name: string, token: number) => append(logs, batchOf(['a'], { fence: { name, token } }));
  await fenced('lock', 5);
  await fenced('lock', 5);
  await fenced('other', 1);
  await t.rejects(fenced('lock', 4), { code: 'FENCED', fields: { fence: 'lock', token: 5 } });
  await fenced('lock', 9_000_000_000_000_001);
  await t.rejects(fenced('lock', 9_000_000_000_000_000), { code: 'FENCED', fields: { token: 9_000_000_000_000_001 } });
  const [bounds] = await logs.bounds([{ topicId, partition: 0 }]);
  t.equal(bounds?.endOffset, 4);
});

t.test('each batch of an append batch is validated by itself', async (t) => {
  const { logs } = await openStore(t);
  const outcomes = await logs.append(topicId, 0, [
    batchOf(['a'], { fence: { name: 'f', token: 2 } }),
    batchOf(['b'], { fence: { name: 'f', token: 1 } }),
    batchOf(['c', 'd'], { deduplication: keyed('k', 'x') }),
    batchOf(['c', 'd'], { deduplication: keyed('k', 'x') }),
    batchOf(['e']),
  ]);
  t.match(outcomes, [
    { baseOffset: 0, replayed: false },
    { code: 'FENCED' },
    { baseOffset: 1, replayed: false },
    { baseOffset: 1, replayed: true },
    { baseOffset: 3 },
  ]);
});

t.test('a search by time finds the first record that is not older, in any order of timestamps', async (t) => {
  const { logs } = await openStore(t);
  const own = (max: number) => ({ maxTimestamp: max, hasAllTimestamps: true });
  for (const max of [100, 300, 200, 400]) await append(logs, batchOf([`{"timestamp":${max}}`], own(max)));
  const found = async (moment: number, from = 0) => {
    const result = await logs.findByTimestamp(topicId, 0, from, moment);
    return 'batch' in result ? result.batch.baseOffset : `end ${result.endOffset}`;
  };
  t.equal(await found(0), 0);
  t.equal(await found(101), 1);
  t.equal(await found(301), 3);
  t.equal(await found(150, 2), 2);
  t.equal(await found(401), 'end 4');
  await logs.deleteRecords(topicId, 0, 2);
  t.equal(await found(0), 2);
});

t.test('a search by time reads any number of batches', async (t) => {
  const { logs } = await openStore(t);
  const old = batchOf(['{"timestamp":1}'], { maxTimestamp: 1, hasAllTimestamps: true });
  for (let i = 0; i < 5; i++)
    await logs.append(
      topicId,
      0,
      Array.from({ length: 100 }, () => old),
    );
  await append(logs, batchOf(['{"timestamp":2}'], { maxTimestamp: 2, hasAllTimestamps: true }));
  t.match(await logs.findByTimestamp(topicId, 0, 0, 2), { batch: { baseOffset: 500 } });
});

t.test('numbers stay exact beyond the size that Lua prints in full', async (t) => {
  const { logs, connection } = await openStore(t);
  const far = 4_000_000_000_000_000;
  const key = partitionKeys(testConfig.prefix, topicId, 0).partition;
  await connection.command(true, (client) => client.hset(key, { start: far, next: far, total: far, trimmed: far }));
  t.match(await append(logs, batchOf(['a', 'b'])), { baseOffset: far });
  const { batches, ...bounds } = await logs.read(topicId, 0, far + 1, unlimited);
  t.same(bounds, { offset: far + 1, logStartOffset: far, endOffset: far + 2, isComplete: true });
  t.match(batches, [{ baseOffset: far, count: 2 }]);
  t.match(await logs.deleteRecords(topicId, 0, far + 1), { logStartOffset: far + 1, endOffset: far + 2 });
  t.same(await logs.bounds([{ topicId, partition: 0 }]), [
    { logStartOffset: far + 1, endOffset: far + 2, recordsEnd: far + 2, bytes: 3 },
  ]);
});

t.test('every append is announced with the size of the log, and so is a removal of records', async (t) => {
  const { logs } = await openStore(t);
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const received: unknown[] = [];
  let listening = false;
  logs.subscribe(
    {
      onAppend: (notice) => received.push(['append', notice]),
      onRemoval: (notice) => received.push(['removal', notice]),
      onGap: () => {
        listening = true;
      },
    },
    abort.signal,
  );
  const noticeOf = async (what: string) => {
    const [summary] = await logs.bounds([{ topicId, partition: 0 }]);
    return [what, { topicId, partition: 0, endOffset: summary!.endOffset, summary }];
  };
  await eventually(() => listening, 'the channel is subscribed');
  const expected: unknown[] = [];
  for (const values of [['a', 'b'], ['c']]) {
    await append(logs, batchOf(values));
    expected.push(await noticeOf('append'));
  }
  await logs.deleteRecords(topicId, 0, 2);
  expected.push(await noticeOf('removal'));
  await logs.deleteRecords(topicId, 0, 2);
  await append(logs, batchOf(['d']));
  expected.push(await noticeOf('append'));
  await eventually(() => received.length >= 4, 'the messages arrive');
  t.same(received, expected, 'a removal of nothing is not announced');
});

t.test('a connection that breaks while subscribing again reconnects, and no error is unhandled', async (t) => {
  const { socketPath } = await startTestRedis(t);
  const inbetween = join(temporaryFolder(t), 'inbetween.sock');
  const subscribers: Socket[] = [];
  const relay = createServer((client) => {
    const store = connect(socketPath);
    for (const [from, to] of [
      [client, store],
      [store, client],
    ] as const) {
      from.on('error', () => undefined);
      from.on('close', () => to.destroy());
    }
    store.on('data', (data) => client.write(data));
    client.on('data', (data) => {
      // The second subscription never reaches Redis.
      if (/\r\nsubscribe\r\n/i.test(String(data)) && subscribers.push(client) === 2) client.destroy();
      else store.write(data);
    });
  });
  await new Promise<void>((resolve) => relay.listen(inbetween, resolve));
  t.teardown(() => relay.close());
  const store = new Store({ ...testConfig, target: { socketPath: inbetween } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  let subscriptions = 0;
  store.logs.subscribe(
    {
      onAppend: () => undefined,
      onRemoval: () => undefined,
      onGap: () => {
        subscriptions += 1;
      },
    },
    abort.signal,
  );
  await eventually(() => subscriptions === 1, 'the channel is subscribed');
  subscribers[0]!.destroy();
  // An unhandled rejection of a promise inside the client would fail this test, and would end a server.
  await eventually(() => subscriptions === 2, 'a subscription after two losses');
  t.equal(subscribers.length, 3);
});

t.test('all keys of a partition have its hash tag, and no other', async (t) => {
  const { logs, connection } = await openStore(t);
  await append(logs, batchOf(['a'], { fence: { name: 'f', token: 1 }, deduplication: keyed('k}{', 'x') }));
  const keys = await connection.command(false, (client) => client.keys(`*${topicId}*`));
  t.equal(keys.length, 6);
  for (const key of keys) t.ok(key.startsWith(`{${testConfig.prefix}:${topicId}:0}:`), key);
});

t.test('a script that reads large batches stops after a few of them, so that other commands can run', async (t) => {
  const { logs, connection } = await openStore(t);
  const batches = 12;
  for (let i = 0; i < batches; i += 1) await append(logs, batchOf(['x'.repeat(1024 * 1024)]));
  const { partition: key } = partitionKeys(testConfig.prefix, topicId, 0);
  const moment = Date.now() + 86_400_000;
  const [outcome, next] = await connection.call('logs/seek', key, [0, moment, 200]);
  t.equal(String(outcome), 'more');
  t.equal(Number(next), 4);
  t.same(
    await logs.findByTimestamp(topicId, 0, 0, moment),
    { endOffset: batches },
    'and the search continues from there',
  );
});
