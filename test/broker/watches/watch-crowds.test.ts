// Many watches at once: their cost for Redis and the event loop is bounded, and each still gets all events in order.
import t from 'tap';
import type { MatchedEvents } from '../../../src/broker/watches/watch-match.ts';
import { redisCommand } from '../../../src/embedded-redis/redis-command.ts';
import { eventually } from '../../helpers/server.ts';
import {
  begun,
  create,
  type Recorded,
  reached,
  readerWith,
  record,
  set,
  startBroker,
  type WatchBroker,
} from '../../helpers/watch-hub.ts';

const figure = async ({ metrics }: WatchBroker, name: string) => {
  const line = (await metrics.registry.metrics()).split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? 'NaN');
};
const reads = (broker: WatchBroker) => figure(broker, 'weir_watch_history_reads_total');

t.test(
  '10,000 watches that resume at one old zxid share history pages, and each gets all events in order',
  async (t) => {
    const writer = await startBroker(t);
    const first = await writer.write(create('/crowd'));
    const paths = Array.from({ length: 1000 }, (_, i) => `/crowd/${i}`);
    for (let i = 0; i < 1000; i += 100) await writer.write(...paths.slice(i, i + 100).map((path) => create(path)));
    for (let i = 0; i < 600; i++) await writer.write(set(paths[i % 300]!, `${i}`));
    // A broker that has none of the history in memory.
    const late = await startBroker(t, { target: writer.target });
    const watches: Recorded[] = [];
    for (let connection = 0; connection < 100; connection++) {
      const reader = readerWith();
      for (let i = 0; i < 100; i++) {
        const path = paths[(connection * 7 + i) % 1000]!;
        watches.push(record(late.hub, { path, mode: 'node', since: first }, reader));
      }
    }
    let written = 0;
    while (watches.some(({ watching }) => watching === undefined)) {
      await writer.write(set('/crowd', `${written++}`));
    }
    const last = await writer.write(set('/crowd', 'end'));
    await reached(last, ...watches);
    t.ok(written > 0, 'writes succeeded meanwhile');
    for (const { received } of watches) {
      const zxids = received.map(({ zxid }) => zxid);
      if (zxids.some((zxid, i) => i > 0 && zxid <= zxids[i - 1]!)) t.fail('out of order');
    }
    for (const [place, { received }] of watches.entries()) {
      const path = (Math.floor(place / 100) * 7 + (place % 100)) % 1000;
      if (received.length !== (path < 300 ? 3 : 1)) t.fail(`${received.length} of /crowd/${path}`);
    }
    // Each of the 10,000 would need several. How many pages there are depends on how many writes it takes until all have resumed.
    t.ok((await reads(late)) < 1000, `${await reads(late)} pages were read for 10,000 watches`);
  },
);

t.test('a connection with thousands of positions reads one page at a time and delays no other client', async (t) => {
  const writer = await startBroker(t);
  const first = await writer.write(create('/p'));
  for (let i = 0; i < 600; i++) await writer.write(set('/p', `${i}`));
  const last = await writer.store.events.newestZxid();
  const late = await startBroker(t, { target: writer.target, limits: { pageTransactions: 20 } });
  const greedy = readerWith();
  const many = Array.from({ length: 3000 }, (_, i) =>
    record(late.hub, { path: '/p', mode: 'recursive', since: first + (i % 600) }, greedy),
  );
  const single = record(late.hub, { path: '/p', mode: 'node', since: first });
  await reached(last, single);
  t.equal(single.received.length, last - first);
  await reached(last, ...many);
  t.same(
    many.map(({ received }) => received.length),
    many.map((_, i) => last - first - (i % 600)),
  );
  t.ok((await reads(late)) <= 2 * 31, `${await reads(late)} pages, of which 31 hold all of the history`);
});

t.test('pages for which no watch waits any more are not read', async (t) => {
  const writer = await startBroker(t);
  const first = await writer.write(create('/p'));
  for (let i = 0; i < 200; i++) await writer.write(set('/p', `${i}`));
  const late = await startBroker(t, { target: writer.target, limits: { readsMax: 1, pageTransactions: 10 } });
  let readPages = () => {};
  const allAreGone = new Promise<void>((resolve) => {
    readPages = resolve;
  });
  const { events } = late.store;
  const range = events.range.bind(events);
  events.range = (...request) => allAreGone.then(() => range(...request));
  const gone = Array.from({ length: 100 }, (_, i) => record(late.hub, { path: '/p', mode: 'node', since: first + i }));
  await begun(...gone);
  for (const { watch } of gone) watch.close();
  const stays = record(late.hub, { path: '/p', mode: 'node', since: first });
  readPages();
  await reached(await writer.store.events.newestZxid(), stays);
  t.equal(await figure(late, 'weir_watch_history_reads_waiting'), 0);
  t.ok((await reads(late)) <= 22, `${await reads(late)} pages were read, of which 21 hold all of the history`);
  t.equal(stays.received.length, 200);
});

t.test(
  'pages are bounded by bytes: a history of large transactions does not fill the memory of the store',
  async (t) => {
    const writer = await startBroker(t);
    const first = await writer.write(create('/big'));
    const large = Array.from({ length: 100 }, () => set('/big', 'x'.repeat(16_384)));
    for (let i = 0; i < 30; i++) await writer.write(...large);
    const last = await writer.store.events.newestZxid();
    const { transactions, complete } = await writer.store.events.range('main', first, last, 200, 1024 * 1024);
    t.ok(transactions.length <= 2, `${transactions.length} transactions of 1.6 MB`);
    t.notOk(complete);
    const target = writer.target as { socketPath: string };
    await redisCommand(target.socketPath, ['CONFIG', 'RESETSTAT']);
    const memory = async (name: string) => {
      const info = String(await redisCommand(target.socketPath, ['INFO', 'memory']));
      return Number(new RegExp(`${name}:(\\d+)`).exec(info)?.[1]);
    };
    const before = await memory('used_memory');
    const late = await startBroker(t, { target: writer.target });
    const watches = Array.from({ length: 300 }, () =>
      record(
        late.hub,
        { path: '/', mode: 'recursive', since: first },
        readerWith(() => undefined),
      ),
    );
    await begun(...watches);
    let most = 0;
    for (let i = 0; i < 20; i++) {
      most = Math.max(most, (await memory('used_memory')) - before);
      // On a busy machine a reply may come too late. The test checks only the memory.
      await eventually(
        async () =>
          writer.write(set('/big', `${i}`)).then(
            () => true,
            () => false,
          ),
        'a write',
      );
    }
    for (const { watch } of watches) watch.close();
    t.ok(most < 64 * 1024 * 1024, `${most} bytes at most, where 300 readers of 48 MB each resume`);
  },
);

t.test('events for tens of thousands of watches leave the event loop free in between and stay in order', async (t) => {
  const { hub, write } = await startBroker(t);
  const order: { reader: number; id: number; zxid: number; turn: number }[] = [];
  let turn = 0;
  let counting = true;
  const count = () => {
    turn += 1;
    if (counting) setImmediate(count);
  };
  let standing = 0;
  for (let reader = 0; reader < 3; reader++) {
    const shared = readerWith();
    for (let id = 0; id < 10_000; id++) {
      const sink = {
        watching: () => {
          standing += 1;
        },
        events: ({ zxid }: MatchedEvents) => order.push({ reader, id, zxid, turn }),
        failed: (error: unknown) => t.fail(String(error)),
      };
      hub.watch({ path: '/', mode: 'recursive', data: true }, sink, shared);
    }
  }
  await eventually(() => standing === 30_000, 'all watches are open');
  // A watch that is alone on its connection gets its events between theirs.
  const alone = record(hub, { path: '/', mode: 'recursive' });
  await begun(alone);
  setImmediate(count);
  const first = await write(create('/one', 'x'.repeat(16_384)));
  const second = await write(create('/two'));
  await eventually(() => order.length === 60_000, 'each watch gets both events');
  counting = false;
  await reached(second, alone);
  for (let reader = 0; reader < 3; reader++) {
    const own = order.filter((each) => each.reader === reader);
    t.same(
      own.map(({ zxid }) => zxid),
      [...Array(10_000).fill(first), ...Array(10_000).fill(second)],
      'no watch gets the second transaction before the first',
    );
    t.equal(
      new Set(own.slice(0, 10_000).map(({ id }) => id)).size,
      10_000,
      'each watch gets its events under its own id',
    );
  }
  const turns = new Set(order.map((each) => each.turn)).size;
  t.ok(turns > 3, `the event loop ran ${turns} turns while the events were sent`);
});

t.test('watches that begin and end while a slow reader gets many events get each event once, in order', async (t) => {
  const { hub, write } = await startBroker(t);
  const start = await write(create('/s'));
  // A reader that takes a few messages at a time.
  let left = 0;
  let waiting: (() => void)[] = [];
  const feeding = setInterval(() => {
    left = 7;
    for (const go of waiting.splice(0)) go();
  }, 1);
  t.teardown(() => clearInterval(feeding));
  const reader = readerWith(() => {
    if (left > 0) return undefined;
    return new Promise((resolve) => {
      waiting = [...waiting, resolve];
    });
  });
  const order: number[] = [];
  const begin = (since: number) => {
    const received: number[] = [];
    const sink = {
      watching: () => {},
      events: ({ zxid }: MatchedEvents) => {
        left -= 1;
        received.push(zxid);
        order.push(zxid);
      },
      failed: (error: unknown) => t.fail(String(error)),
    };
    return { since, received, watch: hub.watch({ path: '/s', mode: 'node', since }, sink, reader), isClosed: false };
  };
  const watches: ReturnType<typeof begin>[] = [];
  const written: number[] = [];
  for (let i = 0; i < 300; i++) {
    written.push(await write(set('/s', `${i}`)));
    const places = [start, written.at(-1)!, written[Math.floor(i / 2)]!];
    if (i % 10 === 0) watches.push(begin(places[(i / 10) % 3]!));
    const closing = watches[Math.floor(i / 20)];
    if (i % 50 === 49 && closing) {
      closing.watch.close();
      closing.isClosed = true;
    }
  }
  const open = watches.filter(({ isClosed }) => !isClosed);
  const allHave = (zxid: number) =>
    eventually(
      () => open.every(({ watch }) => (watch.position ?? 0) >= zxid),
      `every watch got everything up to ${zxid}`,
    );
  await allHave(written.at(-1)!);
  const live = order.length;
  for (let i = 0; i < 50; i++) written.push(await write(set('/s', `live ${i}`)));
  await allHave(written.at(-1)!);
  for (const { since, received, isClosed } of watches) {
    const expected = written.filter((zxid) => zxid > since);
    t.same(received, isClosed ? expected.slice(0, received.length) : expected);
  }
  const received = order.slice(live);
  t.same(
    received,
    [...received].sort((a, b) => a - b),
    'all synced watches of a connection get events in one order',
  );
});
