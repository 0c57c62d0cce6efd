// The event stream: what one call of the store writes is one entry, and readers see each of its transactions.
import t, { type Test } from 'tap';
import { redisCommand } from '../../../src/embedded-redis/redis-command.ts';
import { coordinationKeys } from '../../../src/store/keys.ts';
import type { Transaction } from '../../../src/store/tree/node-codec.ts';
import { eventually } from '../../helpers/server.ts';
import { startBroker, type WatchBroker } from '../../helpers/watch-hub.ts';

const { events, offsetEvents } = coordinationKeys('weir');
const create = (path: string) => ({ op: 'create' as const, path });
const set = (path: string, data = '') => ({ op: 'set' as const, path, data });
const zxidsOf = (transactions: readonly Transaction[]) => transactions.map(({ zxid }) => zxid);
const from = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

async function lengthOf(broker: WatchBroker, key: string): Promise<number> {
  return Number(await redisCommand((broker.target as { socketPath: string }).socketPath, ['XLEN', key]));
}

/** A broker with a node whose data was set `count` times by one call. */
async function brokerWithBatch(t: Test, count: number): Promise<WatchBroker & { before: number }> {
  const broker = await startBroker(t);
  const before = await broker.write(create('/n'));
  const length = await lengthOf(broker, events);
  await Promise.all(from(0, count).map((i) => broker.write(set('/n', `${i}`))));
  t.equal(await lengthOf(broker, events), length + 1, 'one entry');
  return { ...broker, before };
}

t.test('transactions of one call are one entry; each has its zxid and its events, in order', async (t) => {
  const { store, before } = await brokerWithBatch(t, 30);
  const { transactions, complete } = await store.events.range('main', before, before + 30, 1000);
  t.equal(complete, true);
  t.same(zxidsOf(transactions), from(before + 1, 30));
  for (const [i, transaction] of transactions.entries()) {
    t.match(transaction.events, [{ kind: 'changed', path: '/n' }]);
    t.equal(transaction.events[0]!.data!.toString(), `${i}`);
    t.match(transaction.events[0]!.stat, { mzxid: before + 1 + i, version: i + 1 });
  }
});

t.test('history is read from any zxid, to any zxid and in pages of any size, also inside of an entry', async (t) => {
  const { store, before, write } = await brokerWithBatch(t, 30);
  const last = await write(set('/n', 'x'.repeat(1000)));
  for (const after of [before, before + 1, before + 17, before + 29, before + 30]) {
    for (const [count, bytes] of [
      [1, 1e6],
      [7, 1e6],
      [1000, 1],
      [1000, 250],
      [1000, 1e6],
    ] as const) {
      const read: number[] = [];
      for (let [at, complete] = [after, false]; !complete; at = read.at(-1) ?? at) {
        const page = await store.events.range('main', at, last, count, bytes);
        t.ok(page.transactions.length <= count);
        t.ok(page.transactions.slice(0, -1).reduce((sum, each) => sum + each.bytes, 0) < bytes);
        read.push(...zxidsOf(page.transactions));
        complete = page.complete;
      }
      t.same(read, from(after + 1, last - after), `after ${after} in pages of ${count}, ${bytes} bytes`);
    }
  }
  const inside = await store.events.range('main', before + 3, before + 8, 1000);
  t.same([zxidsOf(inside.transactions), inside.complete], [from(before + 4, 5), true]);
});

t.test('a call that writes to both streams passes a tail nothing over, in whatever order', async (t) => {
  const broker = await startBroker(t);
  const { tail, write } = broker;
  const path = '/consumers/g/offsets/t';
  const first = await write(create('/consumers/g'), create('/consumers/g/offsets'), create(path), create('/n'));
  await eventually(() => tail.position === first, 'the tail is there');
  const seen: number[] = [];
  tail.subscribe((batch) => seen.push(...zxidsOf(batch)));
  const orders = [
    [path, '/n'],
    ['/n', path],
    ['/n', path, '/n'],
    [path, '/n', path],
  ];
  let last = first;
  for (const order of orders) {
    const lengths = [await lengthOf(broker, events), await lengthOf(broker, offsetEvents)];
    last = Math.max(...(await Promise.all(order.map((each) => write(set(each))))));
    t.same(
      [await lengthOf(broker, events), await lengthOf(broker, offsetEvents)],
      lengths.map((n) => n + 1),
    );
    await eventually(() => tail.position === last, 'the tail has them');
  }
  t.same(seen, from(first + 1, last - first));
});

t.test('as many transactions are retained as asked for, however many an entry has', async (t) => {
  const { store, write } = await startBroker(t, { eventRetention: 200 });
  const first = await write(create('/n'));
  let sets = 0;
  for (let size = 1; sets < 2000; size = (size % 64) + 3) {
    await Promise.all(from(0, size).map(() => write(set('/n'))));
    sets += size;
  }
  const newest = await store.events.newestZxid();
  await store.events.checkResume(newest - 200);
  const error = await store.events.checkResume(first).catch((reason) => reason);
  t.match(error, { code: 'COMPACTED' });
  const { oldest } = error.fields;
  // It is trimmed after every 128 transactions, at the borders of entries and of what Redis stores together.
  t.ok(oldest > newest - 600, `${newest - oldest} of 200 are retained`);
  await store.events.checkResume(oldest);
  await t.rejects(store.events.checkResume(oldest - 1), { code: 'COMPACTED' });
  const { transactions } = await store.events.range('main', oldest, newest, 10_000);
  t.same(zxidsOf(transactions), from(oldest + 1, newest - oldest), 'all behind it are there');
});
