// Watches whose history is missing: trimmed, or lost by Redis.
import t from 'tap';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
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
} from '../../helpers/watch-hub.ts';

t.test(
  'resuming before the kept history is COMPACTED with the oldest zxid, from which a watch can resume',
  async (t) => {
    const { hub, write, store } = await startBroker(t, { eventRetention: 200 });
    await write(create('/c'));
    const first = await store.events.newestZxid();
    let last = first;
    for (let i = 0; i < 1000; i++) last = await write(set('/c', `${i}`));
    const old = record(hub, { path: '/c', mode: 'node', since: first });
    await eventually(() => old.failure, 'the watch from the old zxid fails');
    t.equal(old.failure.code, 'COMPACTED');
    const { oldest, zxid } = old.failure.fields;
    t.equal(zxid, last);
    t.ok(oldest > first && oldest <= last - 200);
    const resumed = record(hub, { path: '/c', mode: 'node', since: oldest });
    await reached(last, resumed);
    t.equal(resumed.received.length, last - oldest);
    const future = record(hub, { path: '/c', mode: 'node', since: last + 1 });
    await eventually(() => future.failure, 'the watch from the future zxid fails');
    t.equal(future.failure.code, 'COMPACTED', 'a zxid beyond the newest one belongs to a lost change');
  },
);

t.test('an unsynced watch whose history is trimmed ends with COMPACTED', async (t) => {
  const { write, target, store } = await startBroker(t, { eventRetention: 200 });
  await write(create('/c'));
  for (let i = 0; i < 250; i++) await write(set('/c', `${i}`));
  const first = await store.events.newestZxid();
  // At least so many transactions are kept, whenever the history is trimmed.
  for (let i = 0; i < 199; i++) await write(set('/c', `${i}`));
  const { hub } = await startBroker(t, { target, eventRetention: 200 });
  let go = () => {};
  let gate: Promise<void> | undefined = new Promise<void>((resolve) => {
    go = resolve;
  });
  // The watch takes some messages before its reader stops.
  const watch: Recorded = record(
    hub,
    { path: '/c', mode: 'node', since: first },
    readerWith(() => (watch.received.length < 10 ? undefined : gate)),
  );
  await eventually(() => watch.received.length >= 10, 'the watch is reading history');
  let last = 0;
  // More than the broker keeps in memory.
  for (let i = 0; i < 110; i++) last = await write(...Array.from({ length: 100 }, () => set('/c', 'x'.repeat(800))));
  for (let i = 0; i < 500; i++) last = await write(set('/c', `${i}`));
  gate = undefined;
  go();
  await eventually(() => watch.failure, 'the watch fails');
  t.equal(watch.failure.code, 'COMPACTED');
  t.ok(watch.received.at(-1)!.zxid < last, 'and did not skip to the newest transaction');
  t.same(
    watch.received.map(({ zxid }) => zxid),
    Array.from({ length: watch.received.length }, (_, i) => first + 1 + i),
    'the events that it sent have no gap',
  );
});

t.test(
  'a watch of committed offsets before their shorter history is COMPACTED, one of other nodes is not',
  async (t) => {
    const { hub, write, store } = await startBroker(t);
    const path = '/consumers/g/offsets/t';
    const first = await write(create('/consumers/g'), create('/consumers/g/offsets'), create(path));
    for (let i = 0; i < 110; i++) {
      await Promise.all(Array.from({ length: 100 }, () => write(set(path, `${i}`))));
    }
    const last = await store.events.newestZxid();
    const offsets = record(hub, { path, mode: 'node', since: first });
    const main = record(hub, { path: '/consumers/g', mode: 'recursive', since: first });
    await reached(last, main);
    t.equal(main.failure, undefined);
    await eventually(() => offsets.failure, 'the watch of the offsets fails');
    t.equal(offsets.failure.code, 'COMPACTED');
    const resumed = record(hub, { path, mode: 'node', since: offsets.failure.fields.oldest });
    await reached(last, resumed);
    t.equal(resumed.received.length, last - offsets.failure.fields.oldest);
  },
);

t.test(
  'when Redis has lost events that were sent, every watch ends with COMPACTED, even without new events',
  async (t) => {
    const redis = await startLossyRedis(t);
    const { hub, write, store } = await startBroker(t, { target: redis });
    await write(create('/n'));
    redis.backUp();
    const before = await store.events.newestZxid();
    const watch = record(hub, { path: '/n', mode: 'node' });
    const elsewhere = record(hub, { path: '/quiet', mode: 'recursive' });
    await begun(watch, elsewhere);
    const lost = await write(set('/n', 'lost'));
    await reached(lost, watch);
    const poll = hub.nextChange({ path: '/n', interest: 'content', after: lost }, 60_000, new AbortController().signal);
    await redis.killAndRestore();
    await eventually(() => watch.failure && elsewhere.failure, 'both watches fail');
    t.equal(watch.failure.code, 'COMPACTED');
    t.equal(elsewhere.failure.code, 'COMPACTED');
    t.equal(await poll, true, 'and a long poll wakes to read again');
    const resumed = record(hub, { path: '/n', mode: 'node', since: lost });
    await eventually(() => resumed.failure, 'resuming after the lost transaction fails');
    t.equal(resumed.failure.code, 'COMPACTED');
    const survivor = record(hub, { path: '/n', mode: 'node', since: before });
    await begun(survivor);
    const next = await write(set('/n', 'next'));
    t.ok(next > 2 ** 32, 'a new zxid epoch has begun');
    await reached(next, survivor);
    t.same(
      survivor.received.map(({ zxid }) => zxid),
      [next],
    );
  },
);

t.test('a loss is detected even if newer zxids have already passed the lost ones', async (t) => {
  const redis = await startLossyRedis(t);
  const { hub, write, tail } = await startBroker(t, { target: redis });
  await write(create('/n'));
  redis.backUp();
  const watch = record(hub, { path: '/n', mode: 'node' });
  await begun(watch);
  await reached(await write(set('/n', 'lost')), watch);
  const position = tail.position;
  await redis.killAndRestore();
  const other = await startBroker(t, { target: redis });
  for (let i = 0; i < 50; i++) await other.write(set('/n', `${i}`));
  await eventually(() => watch.failure, 'the watch fails');
  t.equal(watch.failure.code, 'COMPACTED');
  t.ok(watch.received.every(({ zxid }) => zxid <= position));
});

t.test('zxids of a lost epoch are COMPACTED, even if its number is used again', async (t) => {
  const redis = await startLossyRedis(t);
  const { write, store } = await startBroker(t, { target: redis });
  await write(create('/n'));
  redis.backUp();
  const writeAgain = (data: string) =>
    eventually(() => write(set('/n', data)).catch(() => undefined), 'Redis serves again');
  const epochOf = (zxid: number) => Math.floor(zxid / 2 ** 32);
  await redis.killAndRestore();
  const lost = await writeAgain('lost');
  // From the same backup, which does not contain the later epoch.
  await redis.killAndRestore();
  const first = await writeAgain('0');
  for (let i = 1; i < 20; i++) await write(set('/n', `${i}`));
  t.equal(epochOf(first), epochOf(lost), 'the epoch number is used again');
  await t.rejects(store.events.checkResume(lost), { code: 'COMPACTED' });
  await t.resolves(store.events.checkResume(first));
});

t.test('a restart of Redis that loses nothing does not end watches', async (t) => {
  const redis = await startLossyRedis(t);
  const { hub, write } = await startBroker(t, { target: redis });
  await write(create('/n'));
  const watch = record(hub, { path: '/n', mode: 'node' });
  await begun(watch);
  const first = await write(set('/n', '1'));
  await redis.killAndRestart();
  const write2 = () => write(set('/n', '2')).catch(() => undefined);
  const second = await eventually(write2, 'Redis serves again');
  t.ok(second > 2 ** 32);
  const begunLater = record(hub, { path: '/n', mode: 'node' });
  await begun(begunLater);
  const third = await write(set('/n', '3'));
  await reached(third, watch, begunLater);
  t.same(
    watch.received.map(({ zxid }) => zxid),
    [first, second, third],
  );
  t.same(
    begunLater.received.map(({ zxid }) => zxid),
    [third],
  );
  t.equal(watch.failure, undefined);
});

t.test('the history is trimmed to 64 MiB, even if it has few transactions', async (t) => {
  const { write, store } = await startBroker(t);
  const first = await write(create('/large'));
  // An event of 1.9 MiB.
  const large = Array.from({ length: 124 }, () => set('/large', 'x'.repeat(16_384)));
  const kept = async () => {
    let bytes = 0;
    for (let after = 0, complete = false; !complete; ) {
      // The whole history in one reply could exceed the command timeout on a busy machine.
      const page = await store.events.range('main', after, Number.MAX_SAFE_INTEGER, 1);
      for (const transaction of page.transactions) [after, bytes] = [transaction.zxid, bytes + transaction.bytes];
      complete = page.complete;
    }
    return bytes;
  };
  for (let i = 0; i < 40; i++) {
    await write(...large);
    // About thirty such events fit. To read them takes longer than to write one.
    if (i < 37) continue;
    const bytes = await kept();
    t.ok(bytes > 0 && bytes <= 64 * 1024 * 1024, `${bytes} bytes are kept`);
  }
  await t.rejects(store.events.checkResume(first), { code: 'COMPACTED' });
});
