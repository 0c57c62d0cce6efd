import t from 'tap';
import { redisCommand } from '../../../src/embedded-redis/redis-command.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually } from '../../helpers/server.ts';
import {
  begun,
  create,
  type Recorded,
  reached,
  readerWith,
  record,
  remove,
  set,
  startBroker,
  words,
} from '../../helpers/watch-hub.ts';

t.test('each watch mode gets the same events as in ZooKeeper', async (t) => {
  const { hub, write } = await startBroker(t);
  await write(create('/a'));
  const node = record(hub, { path: '/a', mode: 'node' });
  const children = record(hub, { path: '/a', mode: 'children' });
  const recursive = record(hub, { path: '/a', mode: 'recursive' });
  const root = record(hub, { path: '/', mode: 'children' });
  const absent = record(hub, { path: '/a/b/c', mode: 'node' });
  await begun(node, children, recursive, root, absent);
  await write(set('/a', '1'));
  await write(create('/a/b'));
  await write(set('/a/b', '2'));
  await write(create('/a/b/c'));
  await write(create('/ab'));
  await write(remove('/a/b/c'));
  await write(remove('/a/b'));
  const last = await write(remove('/a'));
  await reached(last, node, children, recursive, root, absent);
  t.same(words(node), ['changed /a', 'children /a', 'children /a', 'deleted /a']);
  t.same(words(children), ['children /a', 'children /a', 'deleted /a']);
  t.same(words(recursive), [
    'changed /a',
    'created /a/b',
    'changed /a/b',
    'created /a/b/c',
    'deleted /a/b/c',
    'deleted /a/b',
    'deleted /a',
  ]);
  t.same(words(root), ['children /', 'children /']);
  t.same(words(absent), ['created /a/b/c', 'deleted /a/b/c'], 'a watch may begin before its node exists');
});

t.test('a transaction is one message, in the order of its changes, with one children event per node', async (t) => {
  const { hub, write } = await startBroker(t);
  await write(create('/p'), create('/p/old'));
  const node = record(hub, { path: '/p', mode: 'node' });
  const recursive = record(hub, { path: '/p', mode: 'recursive' });
  const data = record(hub, { path: '/p', mode: 'recursive', data: true });
  await begun(node, recursive, data);
  const first = await write(create('/p/a', 'A'), set('/p', 'P'), create('/p/b'), remove('/p/old'));
  const second = await write(remove('/p/a'), remove('/p/b'), remove('/p'), create('/p'), create('/p/new'));
  await reached(second, node, recursive, data);
  t.same(words(node), ['changed /p, children /p', 'deleted /p, created /p, children /p']);
  t.same(words(recursive), [
    'created /p/a, changed /p, created /p/b, deleted /p/old',
    'deleted /p/a, deleted /p/b, deleted /p, created /p, created /p/new',
  ]);
  t.same(words(data), words(recursive));
  t.same(
    data.received.map(({ zxid }) => zxid),
    [first, second],
  );
  t.match(data.received[0]!.events[0], { data: 'A', encoding: 'utf8', contentType: /^text/, stat: { mzxid: first } });
  t.notOk('data' in recursive.received[0]!.events[0], 'events have data only on request');
  t.notOk('data' in data.received[1]!.events[0], 'a deletion has no data');
});

t.test('events have up to 16 KiB of data, binary as base64, and truncated text stays text', async (t) => {
  const { hub, store } = await startBroker(t);
  const watch = record(hub, { path: '/', mode: 'recursive', data: true });
  await begun(watch);
  await store.namespace.write([{ op: 'create', path: '/bytes', data: Buffer.from([0xff, 0]) }]);
  await store.namespace.write([{ op: 'create', path: '/long', data: `x${'ä'.repeat(10_000)}` }]);
  const { zxid } = await store.namespace.write([{ op: 'create', path: '/exact', data: 'x'.repeat(16_384) }]);
  await reached(zxid, watch);
  const [bytes, long, exact] = watch.received.map(({ events }) => events[0]);
  t.match(bytes, { data: '/wA=', encoding: 'base64' });
  t.notOk('truncated' in bytes);
  t.match(long, { truncated: true, encoding: 'utf8', stat: { dataLength: 20_001 } });
  t.equal(long.data, `x${'ä'.repeat(8191)}`);
  t.equal(exact.data.length, 16_384);
  t.notOk('truncated' in exact);
});

t.test('transactions that arrive together are written to a connection together, in order', async (t) => {
  const { hub, write, tail } = await startBroker(t);
  await write(create('/a'));
  let writes = 0;
  const cork = (send: () => void) => {
    writes += 1;
    send();
  };
  const watch = record(hub, { path: '/a', mode: 'node' }, { ...readerWith(), cork });
  await begun(watch);
  let batches = 0;
  tail.subscribe(() => batches++);
  writes = 0;
  const zxids = await Promise.all(Array.from({ length: 50 }, (_, i) => write(set('/a', `${i}`))));
  await reached(Math.max(...zxids), watch);
  t.same(
    watch.received.map(({ zxid }) => zxid),
    zxids.toSorted((a, b) => a - b),
  );
  t.ok(writes <= batches, `${writes} writes of 50 messages, which arrived in ${batches} batches`);
  t.ok(batches < 50);
});

t.test('watches at or below the offsets get offset commits, watches above do not', async (t) => {
  const target = { socketPath: (await startTestRedis(t)).socketPath };
  const { hub, write } = await startBroker(t, { target });
  const before = await write(create('/consumers/g'), create('/consumers/g/offsets'));
  const paths = ['/', '/consumers', '/consumers/g', '/consumers/g/offsets', '/consumers/g/offsets/t'];
  const live = paths.map((path) => record(hub, { path, mode: 'recursive' }));
  const list = record(hub, { path: '/consumers/g/offsets', mode: 'node' });
  await begun(...live, list);
  await write(create('/consumers/g/offsets/t'), create('/consumers/g/offsets/t/0', '5'));
  await reached(await write(set('/consumers/g/offsets/t/0', '6')), ...live);
  // The broker waits in a blocking read of both streams, to which Redis 7.0 replies with only one of them.
  const waits = async () =>
    /blocked_clients:1/.test(String(await redisCommand(target.socketPath, ['INFO', 'clients'])));
  await eventually(waits, 'the broker waits for the next transaction');
  const last = await write({ op: 'delete-recursive', path: '/consumers/g' });
  await reached(last, ...live, list);
  const gone = 'deleted /consumers/g/offsets, deleted /consumers/g';
  const commits = [
    'created /consumers/g/offsets/t, created /consumers/g/offsets/t/0',
    'changed /consumers/g/offsets/t/0',
  ];
  const deletions = 'deleted /consumers/g/offsets/t/0, deleted /consumers/g/offsets/t';
  t.same(words(live[0]!), [gone]);
  t.same(words(live[1]!), [gone]);
  t.same(words(live[2]!), [gone]);
  t.same(words(live[3]!), [...commits, `${deletions}, deleted /consumers/g/offsets`]);
  t.same(words(live[4]!), [...commits, deletions]);
  t.same(words(list), ['children /consumers/g/offsets', 'children /consumers/g/offsets, deleted /consumers/g/offsets']);
  // A broker that starts later reads the same from Redis.
  const other = await startBroker(t, { target });
  const late = paths.map((path) => record(other.hub, { path, mode: 'recursive', since: before }));
  await reached(last, ...late);
  t.same(late.map(words), live.map(words));
});

t.test('watches that begin or resume at any moment get every transaction once and in order', async (t) => {
  const writer = await startBroker(t);
  const first = await writer.write(create('/w'));
  let stop = false;
  const writers = Array.from({ length: 4 }, async (_, n) => {
    for (let i = 0; !stop; i++) await writer.write(create(`/w/${n}-${i}`), set('/w'));
  });
  const brokers = [writer, await startBroker(t, { target: writer.target })];
  const watches: Recorded[] = [];
  for (let newest = first; newest < first + 600; ) {
    for (const { hub, store } of brokers) {
      watches.push(record(hub, { path: '/w', mode: 'recursive' }));
      newest = await store.events.newestZxid();
      watches.push(record(hub, { path: '/w', mode: 'recursive', since: newest }));
      watches.push(record(hub, { path: '/w', mode: 'recursive', since: Math.floor((first + newest) / 2) }));
    }
  }
  stop = true;
  await Promise.all(writers);
  const last = await writer.store.events.newestZxid();
  // Another broker with an empty cache: it reads everything from Redis.
  const late = await startBroker(t, { target: writer.target });
  watches.push(record(late.hub, { path: '/w', mode: 'recursive', since: 0 }));
  await reached(last, ...watches);
  const history: number[] = [];
  for (let after = 0, complete = false; !complete; ) {
    const page = await writer.store.events.range('main', after, last, 1000);
    for (const { zxid, events } of page.transactions) {
      if (events.some(({ path }) => path.startsWith('/w'))) history.push(zxid);
    }
    after = page.transactions.at(-1)?.zxid ?? after;
    complete = page.complete;
  }
  t.ok(history.length > 500, `${history.length} transactions`);
  for (const { watching, received, failure } of watches) {
    const found = received.map(({ zxid }) => zxid);
    const written = history.filter((zxid) => zxid > watching!);
    if (failure || found.join() !== written.join()) t.same({ found, failure }, { found: written, failure: undefined });
  }
});

t.test('an unsynced watch reads history at the pace of its reader', async (t) => {
  const { write, target } = await startBroker(t);
  const first = await write(create('/s'));
  let last = first;
  for (let i = 0; i < 500; i++) last = await write(set('/s', `${i}`));
  const { hub } = await startBroker(t, { target });
  let open = 0;
  let go = () => {};
  const room = () => {
    if (open > 0) {
      open -= 1;
      return undefined;
    }
    return new Promise<void>((resolve) => {
      go = resolve;
    });
  };
  const slow = record(hub, { path: '/s', mode: 'node', since: first }, readerWith(room));
  const quick = record(hub, { path: '/s', mode: 'node', since: first });
  await reached(last, quick);
  t.equal(slow.received.length, 0, 'the slow watch still waits for its reader, and delayed no other watch');
  t.equal(slow.watch.position, first);
  open = Number.POSITIVE_INFINITY;
  go();
  await reached(last, slow);
  t.same(slow.received, quick.received);
});

t.test('a watch with once ends after its first events, and a closed watch gets no more', async (t) => {
  const { hub, write } = await startBroker(t);
  await write(create('/o'));
  const once = record(hub, { path: '/o', mode: 'node', once: true });
  const closed = record(hub, { path: '/o', mode: 'node' });
  const witness = record(hub, { path: '/o', mode: 'node' });
  await begun(once, closed, witness);
  await reached(await write(set('/o', '1')), witness);
  closed.watch.close();
  await reached(await write(set('/o', '2')), witness);
  t.equal(once.received.length, 1);
  t.equal(closed.received.length, 1);
  t.equal(witness.received.length, 2);
});

t.test('an invalid path and an unavailable store fail the watch', async (t) => {
  const { socketPath, redis } = await startTestRedis(t);
  const { hub } = await startBroker(t, { target: { socketPath } });
  const bad = record(hub, { path: '/a//b', mode: 'node' });
  t.equal(bad.failure, undefined, 'it does not fail before the caller has the watch');
  await eventually(() => bad.failure, 'the watch of the invalid path fails');
  t.match(bad.failure, { code: 'INVALID_PATH', fields: { path: '/a//b' } });
  await redis.stop();
  const away = record(hub, { path: '/a', mode: 'node' });
  await eventually(() => away.failure, 'the watch fails while the store is unavailable');
  t.equal(away.failure.code, 'STORE_UNAVAILABLE');
});

t.test('a long poll wakes for its own node or list, at once for a past change, and not for other nodes', async (t) => {
  const { hub, write, store } = await startBroker(t);
  const start = await write(create('/l'), create('/l/c'));
  const never = new AbortController();
  const wait = (path: string, interest: 'content' | 'list', after: number, ms = 60_000) =>
    hub.nextChange({ path, interest, after }, ms, never.signal);
  await eventually(async () => (await store.events.newestZxid()) >= start, 'written');
  const node = wait('/l', 'content', start);
  const list = wait('/l', 'list', start);
  const child = wait('/l/c', 'content', start);
  const changed = await write(set('/l', '1'));
  t.equal(await node, true);
  t.equal(await wait('/l', 'content', start), true, 'the node changed after that zxid');
  t.equal(await wait('/l', 'content', changed, 20), false, 'the node did not change since');
  const listed = await write(create('/l/d'));
  t.equal(await list, true);
  t.equal(await wait('/l', 'content', changed, 20), false, 'a new child does not change the node');
  await write(remove('/l/c'));
  t.equal(await child, true, 'deleted');
  const absent = wait('/l/c', 'content', listed + 1);
  await write(create('/l/c'));
  t.equal(await absent, true, 'created');
  const aborted = wait('/l', 'content', await store.events.newestZxid());
  never.abort();
  t.equal(await aborted, false);
});
