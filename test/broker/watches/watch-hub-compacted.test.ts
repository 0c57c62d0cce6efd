// What watches hear when history is not there: trimmed away, or lost by the store.
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

t.test('what is no longer kept is COMPACTED with the oldest zxid, and that one can be resumed', async (t) => {
  const { hub, write, store } = await startBroker(t, { eventRetention: 200 });
  await write(create('/c'));
  const first = await store.events.newestZxid();
  let last = first;
  for (let i = 0; i < 1000; i++) last = await write(set('/c', `${i}`));
  const old = record(hub, { path: '/c', mode: 'node', since: first });
  await eventually(() => old.failure, 'the old one fails');
  t.equal(old.failure.code, 'COMPACTED');
  const { oldest, zxid } = old.failure.fields;
  t.equal(zxid, last);
  t.ok(oldest > first && oldest <= last - 200);
  const resumed = record(hub, { path: '/c', mode: 'node', since: oldest });
  await reached(last, resumed);
  t.equal(resumed.told.length, last - oldest);
  const future = record(hub, { path: '/c', mode: 'node', since: last + 1 });
  await eventually(() => future.failure, 'the future one fails');
  t.equal(future.failure.code, 'COMPACTED', 'a zxid that was never given out belongs to a lost change');
});

t.test('a watch whose history is trimmed away while it catches up ends with COMPACTED', async (t) => {
  const { write, target, store } = await startBroker(t, { eventRetention: 200 });
  await write(create('/c'));
  for (let i = 0; i < 250; i++) await write(set('/c', `${i}`));
  const first = await store.events.newestZxid();
  // As many as are kept whenever it is that the history is trimmed.
  for (let i = 0; i < 199; i++) await write(set('/c', `${i}`));
  const { hub } = await startBroker(t, { target, eventRetention: 200 });
  let go = () => {};
  let gate: Promise<void> | undefined = new Promise<void>((resolve) => {
    go = resolve;
  });
  // It takes some before it stands still.
  const watch: Recorded = record(
    hub,
    { path: '/c', mode: 'node', since: first },
    readerWith(() => (watch.told.length < 10 ? undefined : gate)),
  );
  await eventually(() => watch.told.length >= 10, 'it is on its way');
  let last = 0;
  // Beyond what the broker keeps in memory, too.
  for (let i = 0; i < 110; i++) last = await write(...Array.from({ length: 100 }, () => set('/c', 'x'.repeat(800))));
  for (let i = 0; i < 500; i++) last = await write(set('/c', `${i}`));
  gate = undefined;
  go();
  await eventually(() => watch.failure, 'it fails');
  t.equal(watch.failure.code, 'COMPACTED');
  t.ok(watch.told.at(-1)!.zxid < last, 'and has not skipped to the newest');
  t.same(
    watch.told.map(({ zxid }) => zxid),
    Array.from({ length: watch.told.length }, (_, i) => first + 1 + i),
    'what it did tell is without a gap',
  );
});

t.test('committed offsets beyond their short history are COMPACTED, the main history is not', async (t) => {
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
  await eventually(() => offsets.failure, 'the one on offsets fails');
  t.equal(offsets.failure.code, 'COMPACTED');
  const resumed = record(hub, { path, mode: 'node', since: offsets.failure.fields.oldest });
  await reached(last, resumed);
  t.equal(resumed.told.length, last - offsets.failure.fields.oldest);
});

t.test(
  'when the store has lost what was told, every watch ends with COMPACTED, also if nothing more happens',
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
    await eventually(() => watch.failure && elsewhere.failure, 'both hear of it');
    t.equal(watch.failure.code, 'COMPACTED');
    t.equal(elsewhere.failure.code, 'COMPACTED');
    t.equal(await poll, true, 'and a long poll reads again');
    const resumed = record(hub, { path: '/n', mode: 'node', since: lost });
    await eventually(() => resumed.failure, 'resuming after the lost one fails');
    t.equal(resumed.failure.code, 'COMPACTED');
    const survivor = record(hub, { path: '/n', mode: 'node', since: before });
    await begun(survivor);
    const next = await write(set('/n', 'next'));
    t.ok(next > 2 ** 32, 'a new epoch');
    await reached(next, survivor);
    t.same(
      survivor.told.map(({ zxid }) => zxid),
      [next],
    );
  },
);

t.test('a loss is noticed even if others have written so much since that zxids have passed it', async (t) => {
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
  await eventually(() => watch.failure, 'it hears of it');
  t.equal(watch.failure.code, 'COMPACTED');
  t.ok(watch.told.every(({ zxid }) => zxid <= position));
});

t.test('zxids of an epoch that was lost as a whole are COMPACTED, also when its number was given again', async (t) => {
  const redis = await startLossyRedis(t);
  const { write, store } = await startBroker(t, { target: redis });
  await write(create('/n'));
  redis.backUp();
  const writeAgain = (data: string) =>
    eventually(() => write(set('/n', data)).catch(() => undefined), 'the store is back');
  const epochOf = (zxid: number) => Math.floor(zxid / 2 ** 32);
  await redis.killAndRestore();
  const lost = await writeAgain('lost');
  // From the same backup: nothing in it tells that there was an epoch beyond its own.
  await redis.killAndRestore();
  const first = await writeAgain('0');
  for (let i = 1; i < 20; i++) await write(set('/n', `${i}`));
  t.equal(epochOf(first), epochOf(lost), 'the number is given again');
  await t.rejects(store.events.checkResume(lost), { code: 'COMPACTED' });
  await t.resolves(store.events.checkResume(first));
});

t.test('a restart of the store that loses nothing goes unnoticed by watches', async (t) => {
  const redis = await startLossyRedis(t);
  const { hub, write } = await startBroker(t, { target: redis });
  await write(create('/n'));
  const watch = record(hub, { path: '/n', mode: 'node' });
  await begun(watch);
  const first = await write(set('/n', '1'));
  await redis.killAndRestart();
  const write2 = () => write(set('/n', '2')).catch(() => undefined);
  const second = await eventually(write2, 'the store is back');
  t.ok(second > 2 ** 32);
  const begunLater = record(hub, { path: '/n', mode: 'node' });
  await begun(begunLater);
  const third = await write(set('/n', '3'));
  await reached(third, watch, begunLater);
  t.same(
    watch.told.map(({ zxid }) => zxid),
    [first, second, third],
  );
  t.same(
    begunLater.told.map(({ zxid }) => zxid),
    [third],
  );
  t.equal(watch.failure, undefined);
});

t.test('large transactions are forgotten before they weigh more than 64 MiB, however few they are', async (t) => {
  const { write, store } = await startBroker(t);
  const first = await write(create('/large'));
  // An event of 1.9 MiB.
  const large = Array.from({ length: 124 }, () => set('/large', 'x'.repeat(16_384)));
  const kept = async () => {
    let bytes = 0;
    for (let after = 0, complete = false; !complete; ) {
      // All of it in one answer would take a busy machine longer than an answer may take.
      const page = await store.events.range('main', after, Number.MAX_SAFE_INTEGER, 1);
      for (const transaction of page.transactions) [after, bytes] = [transaction.zxid, bytes + transaction.bytes];
      complete = page.complete;
    }
    return bytes;
  };
  for (let i = 0; i < 40; i++) {
    await write(...large);
    // There is room for some thirty of them.
    if (i < 33) continue;
    const bytes = await kept();
    t.ok(bytes > 0 && bytes <= 64 * 1024 * 1024, `${bytes} bytes are kept`);
  }
  await t.rejects(store.events.checkResume(first), { code: 'COMPACTED' });
});
