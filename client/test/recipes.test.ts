// The recipes of the client: each by several clients at once, some of which are lost.
import t from 'tap';
import { startFaultyNetwork } from '../../test/helpers/faulty-network.ts';
import { eventually, http, startTestServer } from '../../test/helpers/server.ts';
import {
  barrier,
  config,
  counter,
  doubleBarrier,
  election,
  lock,
  membership,
  queue,
  rwLock,
  semaphore,
  service,
} from '../src/recipes/index.ts';
import { startClient } from './client.ts';

const server = await startTestServer(t);

/** Ends the session of a client as if it had expired. */
async function expire(id: string): Promise<void> {
  await http(`${server.url}/v1/sessions/${id}?force=true`, 'DELETE');
}

t.test('lock: one at a time, with growing tokens, over lost connections', async (t) => {
  const network = await startFaultyNetwork(t, server.url);
  let inside = 0;
  let most = 0;
  const tokens: number[] = [];
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const weir = startClient(t, network.url);
      for (let round = 0; round < 3; round += 1) {
        await lock(weir, 'one').with(async ({ token, signal, node }) => {
          inside += 1;
          most = Math.max(most, inside);
          tokens.push(token);
          t.ok(await weir.tree.exists(node));
          if (round === 1) network.cut();
          t.notOk(signal.aborted);
          inside -= 1;
        });
      }
    }),
  );
  t.equal(most, 1);
  t.equal(tokens.length, 12);
  t.same(
    tokens,
    tokens.toSorted((a, b) => a - b),
  );
  t.same((await startClient(t, server.url).tree.children('/locks/one')).names, [], 'nothing is left');
});

t.test('lock: the holder is told when its session is lost, and the next one has the lock', async (t) => {
  const [one, two] = [startClient(t, server.url), startClient(t, server.url)];
  const session = await one.session({ ttl: '5s' });
  const held = await lock(session, 'lost').acquire();
  const next = lock(two, 'lost').acquire();
  await expire(session.id);
  t.ok((await next).token > held.token);
  await eventually(() => held.signal.aborted, 'the holder is told');
  await t.rejects(lock(session, 'lost').acquire(), { code: 'SESSION_EXPIRED' });
});

t.test('lock: work during which the lock was lost rejects', async (t) => {
  const session = await startClient(t, server.url).session({ ttl: '5s' });
  const work = lock(session, 'rejects').with(async ({ signal }) => {
    await expire(session.id);
    await eventually(() => signal.aborted, 'it is told');
  });
  await t.rejects(work, { code: 'SESSION_EXPIRED' });
});

t.test('lock: who gives up waiting leaves no place behind', async (t) => {
  const weir = startClient(t, server.url);
  const held = await lock(weir, 'given-up').acquire();
  const controller = new AbortController();
  const waiting = lock(weir, 'given-up').acquire({ signal: controller.signal });
  await eventually(async () => (await weir.tree.children('/locks/given-up')).names.length === 2, 'it waits');
  controller.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'enough' });
  await held.release();
  t.same((await weir.tree.children('/locks/given-up')).names, []);
});

t.test('election: the first leads, others observe, and a resignation is a hand-over', async (t) => {
  const [one, two] = [startClient(t, server.url), startClient(t, server.url)];
  const observed = election(two, 'boss').observe();
  t.same(await observed.next(), { done: false, value: undefined });
  const first = await election(one, 'boss', { value: 'ann' }).campaign();
  t.match((await observed.next()).value, { value: 'ann', token: first.token });
  const next = election(two, 'boss', { value: 'bob' }).campaign();
  await eventually(async () => (await one.tree.children('/elections/boss')).names.length === 2, 'there are two');
  await first.resign();
  const second = await next;
  t.ok(second.token > first.token && first.signal.aborted);
  t.match((await observed.next()).value, { value: 'bob' });
  t.match(await election(one, 'boss').leader(), { value: 'bob' });
  await observed.return();
  t.equal(await election(one, 'boss', { value: 'cid' }).tryCampaign(), undefined, 'somebody leads');
  t.ok(await election(one, 'free').tryCampaign());
});

t.test('a semaphore or barrier that nobody could pass is refused', async (t) => {
  const weir = startClient(t, server.url);
  for (const number of [0, -1, Number.NaN, undefined as unknown as number]) {
    t.throws(() => semaphore(weir, 'none', number), RangeError);
    t.throws(() => doubleBarrier(weir, 'none', number, 'me'), RangeError);
  }
});

t.test('semaphore: at most so many at a time', async (t) => {
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      const weir = startClient(t, server.url);
      await semaphore(weir, 'two', 2).with(async ({ node }) => {
        inside += 1;
        most = Math.max(most, inside);
        await weir.tree.exists(node);
        inside -= 1;
      });
    }),
  );
  t.ok(most <= 2);
});

t.test('tryAcquire takes what is free, and neither waits for nor leaves a node at what is not', async (t) => {
  const weir = startClient(t, server.url);
  const { read, write } = rwLock(weir, 'try');
  for (const [name, what, root] of [
    ['lock', lock(weir, 'try'), '/locks/try'],
    ['semaphore', semaphore(weir, 'try', 1), '/semaphores/try/queue'],
    ['write lock', write, '/rw-locks/try'],
  ] as const) {
    const held = await what.tryAcquire();
    t.ok(held && (await weir.tree.exists(held.node)), `the ${name} is free`);
    const before = (await weir.tree.children(root)).names;
    t.equal(await what.tryAcquire(), undefined, `the ${name} is held`);
    t.same((await weir.tree.children(root)).names, before);
    await held?.release();
  }
  const reader = await read.acquire();
  t.equal(await write.tryAcquire(), undefined, 'a writer does not wait for a reader');
  await (await read.tryAcquire())?.release();
  await reader.release();
  const aborted = AbortSignal.abort(new Error('enough'));
  await t.rejects(lock(weir, 'try').tryAcquire({ signal: aborted }), { message: 'enough' });
});

t.test('rwLock: readers together, a writer alone', async (t) => {
  const weir = startClient(t, server.url);
  const { read, write } = rwLock(weir, 'page');
  const readers = [await read.acquire(), await read.acquire()];
  let isWriting = false;
  const writer = write.acquire().then((held) => {
    isWriting = true;
    return held;
  });
  await eventually(async () => (await weir.tree.children('/rw-locks/page')).names.length === 3, 'the writer waits');
  const late = read.acquire();
  t.notOk(isWriting);
  for (const reader of readers) await reader.release();
  await (await writer).release();
  await (await late).release();
});

t.test('barrier: all wait until it is lifted', async (t) => {
  const weir = startClient(t, server.url);
  const gate = barrier(weir, 'gate');
  await gate.wait();
  await gate.set();
  const waiting = Promise.all([gate.wait(), gate.wait()]);
  await gate.lift();
  await gate.set();
  await waiting;
});

t.test('doubleBarrier: all begin together and end together', async (t) => {
  const steps: string[] = [];
  await Promise.all(
    ['a', 'b', 'c'].map(async (member) => {
      const step = doubleBarrier(startClient(t, server.url), 'step', 3, member);
      steps.push('come');
      await step.enter();
      steps.push('work');
      await step.leave();
      steps.push('gone');
    }),
  );
  t.same(steps, [...Array(3).fill('come'), ...Array(3).fill('work'), ...Array(3).fill('gone')]);
});

t.test('counter: every addition counts once', async (t) => {
  const network = await startFaultyNetwork(t, server.url);
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const hits = counter(startClient(t, network.url), 'hits');
      for (let n = 0; n < 5; n += 1) {
        const sum = hits.add();
        if (n === 2) network.cut();
        await sum;
      }
    }),
  );
  t.equal(await counter(startClient(t, server.url), 'hits').value(), 20);
});

t.test('queue: each item is processed, and a lost worker gives its item back', async (t) => {
  const weir = startClient(t, server.url);
  const jobs = queue(weir, 'jobs');
  await jobs.put('a', 'b', 'c');
  const session = await startClient(t, server.url).session({ ttl: '5s' });
  const taken = await queue(session, 'jobs').take();
  t.equal(taken.node.text, 'a');
  t.equal((await weir.tree.stat(taken.claim))?.czxid, taken.token, 'the token is that of the claim');
  await expire(session.id);
  const done: string[] = [];
  const controller = new AbortController();
  await jobs.process(
    (node) => {
      done.push(node.text);
      if (done.length === 3) controller.abort();
    },
    { signal: controller.signal },
  );
  t.same(done.sort(), ['a', 'b', 'c']);
  t.equal(await jobs.tryTake(), undefined, 'nothing is left');
  await jobs.put('d');
  t.equal((await jobs.tryTake())?.node.text, 'd');
});

t.test('service: instances come back after a lost session', async (t) => {
  const weir = startClient(t, server.url, { sessionTtl: '5s' });
  const web = service(weir, 'web');
  const registered = await web.register('one', 'http://10.0.0.1');
  t.same([...(await web.list())], [['one', 'http://10.0.0.1']]);
  const following = await service(startClient(t, server.url), 'web').follow();
  const seen: string[] = [];
  following.onChange((members) => seen.push([...members.keys()].join()));
  await expire((await weir.ownSession()).id);
  await eventually(() => seen.join(';') === ';one', 'it goes and comes back');
  await registered.end();
  await eventually(() => following.members.size === 0, 'it has ended');
  await following.close();
});

t.test('membership: every member knows all', async (t) => {
  const crew = (name: string) => membership(startClient(t, server.url), name);
  const [ann, bob] = [crew('crew'), crew('crew')];
  await ann.join('ann');
  await bob.join('bob', 'since today');
  t.same(
    [...(await ann.list())],
    [
      ['ann', ''],
      ['bob', 'since today'],
    ],
  );
});

t.test('config: changes are seen as a whole, and a bad one is refused', async (t) => {
  const weir = startClient(t, server.url);
  const parse = ({ low = '0', high = '1' }: { [key: string]: string }) => {
    if (Number(low) > Number(high)) throw new RangeError(`low ${low} is above high ${high}`);
    return { low: Number(low), high: Number(high) };
  };
  const settings = await config(weir, 'shop', { parse });
  t.same(settings.value, { low: 0, high: 1 });
  const seen: unknown[] = [];
  const errors: unknown[] = [];
  settings.onChange((value) => seen.push(value));
  settings.onError((error) => errors.push(error));
  await settings.set({ low: '5', high: '15' });
  await eventually(() => settings.value.high === 15, 'it is seen');
  await settings.set({ low: '20', high: '30' });
  await settings.set({ low: '40' });
  await eventually(() => errors.length > 0, 'a bad one is refused');
  t.same(settings.value, { low: 20, high: 30 });
  t.same(seen.at(-1), { low: 20, high: 30 });
  await settings.close();
});
