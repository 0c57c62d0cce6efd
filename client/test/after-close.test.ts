// What a program gets from a client, and from its parts, after it has closed the client: a clear error at once, never silence.
import t from 'tap';
import { startTestServer } from '../../test/helpers/server.ts';
import { lock } from '../src/recipes/index.ts';
import { startClient } from './client.ts';

const server = await startTestServer(t);
const closed = { code: 'CLOSED', message: /closed/, retryable: false };

for (const [way, options] of [
  ['the socket', {}],
  ['HTTP', { webSocket: null }],
] as const) {
  t.test(`over ${way}: every method of a closed client, and of its parts, fails with CLOSED`, async (t) => {
    const weir = startClient(t, server.url, options);
    const { tree, admin } = weir;
    const name = `closed-${way.replace(' ', '-')}`;
    await tree.create(`/${name}`, 'x');
    await admin.topics.create({ name });
    const session = await weir.session({ ttl: '30s' });
    await session.tree.exists('/');
    const { http } = weir;
    const producer = weir.producer({ topic: name });
    await producer.send({ value: 1 });
    const consumer = weir.consumer({ group: name, topics: [name], reset: 'earliest' });
    const loop = consumer[Symbol.asyncIterator]();
    const { value: batch } = await loop.next();
    t.equal(batch?.records.length, 1);
    const next = loop.next();
    const tail = weir.tail(name, { from: 'earliest' });
    await tail.next();
    const cache = weir.cache(`/${name}`);
    await cache.ready;
    const watch = weir.watch(`/${name}`);
    await watch.started;
    const held = await lock(weir, name).acquire();
    const multi = tree.multi().set(`/${name}`, 'y');

    await weir.close();
    t.equal(weir.close(), weir.close(), 'closing again is the same');
    const calls: Record<string, () => Promise<unknown>> = {
      request: () => weir.request({ path: '/v1/brokers' }),
      session: () => weir.session(),
      ownSession: () => weir.ownSession(),
      serverSentEvents: () =>
        weir.serverSentEvents('/v1/stats/stream', { signal: new AbortController().signal }).next(),
      'http.json': () => http.json({ path: '/v1/brokers' }),
      'tree.get': () => tree.get('/'),
      'tree.exists': () => tree.exists('/'),
      'tree.create': () => tree.create('/late'),
      'tree.children': () => tree.children('/').then(({ names }) => names),
      'tree.waitFor': () => tree.waitFor('/late'),
      'tree.copy': () => tree.copy(`/${name}`, '/late'),
      'tree.export': () => tree.export('/').next(),
      'tree.import': () => tree.import(['{"path":"/late"}']),
      'multi.commit': () => multi.commit(),
      'session.tree.get': () => session.tree.get('/'),
      'admin.topics.list': () => admin.topics.list(),
      'admin.cluster': () => admin.cluster(),
      'producer.send': () => producer.send({ value: 2 }),
      'producer.sendBatch': () => producer.sendBatch([{ value: 2 }]),
      'consumer.lag': () => consumer.lag(),
      'consumer.seek': () => consumer.seek(name, 0, 0),
      'batch.commit': () => batch!.commit(),
      'lock.acquire': () => lock(weir, name).acquire(),
      'watch.next': () => watch.next(),
    };
    for (const [what, call] of Object.entries(calls)) {
      const promise = call();
      await t.rejects(promise, closed, what);
    }
    for (const [what, make] of Object.entries({
      tree: () => weir.tree,
      admin: () => weir.admin,
      watch: () => weir.watch('/'),
      cache: () => weir.cache('/'),
      producer: () => weir.producer(),
      consumer: () => weir.consumer({ group: 'g', topics: [name] }),
      tail: () => weir.tail(name),
      'session.watch': () => session.watch('/'),
    })) {
      t.throws(make, closed, what);
    }
    t.same(await next, { done: true, value: undefined }, 'a consumer has left');
    t.same(await loop.next(), { done: true, value: undefined });
    t.same(await tail.next(), { done: true, value: undefined }, 'a tail has ended');
    t.ok(held.signal.aborted, 'who holds a lock is told');
    t.equal(session.state, 'lost');
    await Promise.all([held.release(), session.end(), producer.flush(), producer.ready(), producer.close()]);
    await Promise.all([consumer.close(), cache.close(), watch.return()]);
  });
}
