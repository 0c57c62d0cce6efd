// The limits of one transaction, which holds the store for as long as it takes.
import { pino } from 'pino';
import t from 'tap';
import { hasCode } from '../../src/core/service-error.ts';
import { Lane } from '../../src/store/lane.ts';
import type { Op } from '../../src/store/namespace.ts';
import { Store } from '../../src/store/store.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

const { socketPath } = await startTestRedis(t);
const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
await store.open();
t.teardown(() => store.close());
const { namespace } = store;
const nodesMax = 10_000;

t.test(
  'a session has at most 10,000 ephemeral nodes, however they come, and their end is one transaction',
  async (t) => {
    await namespace.write([{ op: 'create', path: '/owned' }]);
    const session = { id: (await store.sessions.create(600_000)).id, secretHash: '' };
    const ephemeral = (name: string): Op => ({ op: 'create', path: `/owned/${name}`, mode: 'ephemeral', session });
    const some = (from: number, count: number) => Array.from({ length: count }, (_, i) => ephemeral(`n${from + i}`));
    for (let from = 0; from < nodesMax - 1000; from += 1000) await namespace.write(some(from, 1000));
    await t.rejects(namespace.write(some(nodesMax, 1001)), {
      code: 'TOO_LARGE',
      fields: { failed: 1000, maxNodes: nodesMax },
    });
    t.match(await namespace.stat('/owned'), { stat: { numChildren: nodesMax - 1000 } }, 'what fails changes nothing');
    await namespace.write(some(nodesMax, 999));
    const last = await Promise.allSettled([namespace.write([ephemeral('x')]), namespace.write([ephemeral('y')])]);
    t.match(last, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'TOO_LARGE' } }]);
    await namespace.write([{ op: 'delete', path: '/owned/x' }, ephemeral('y')]);
    t.equal((await store.sessions.get(session)).ephemerals.length, nodesMax);
    const before = await store.events.newestZxid();
    t.match(await store.sessions.end(session), { ephemerals: nodesMax, zxid: before + 1 });
    t.match(await namespace.stat('/owned'), { stat: { numChildren: 0 } });
  },
);

t.test(
  'recursive deletes wait for each other here, and whoever waits too long is told that nothing was done',
  async (t) => {
    const lane = new Lane('things', 2, 20);
    const ends: (() => void)[] = [];
    const started: number[] = [];
    const ask = (n: number) =>
      lane.run(() => {
        started.push(n);
        return new Promise<number>((resolve) => ends.push(() => resolve(n)));
      });
    const first = [ask(1), ask(2)];
    const third = ask(3);
    const late = await third.catch((error: unknown) => error);
    t.ok(hasCode(late, 'TOO_MANY_REQUESTS'), 'the third waits for too long');
    t.match((late as Error).message, /nothing was done/);
    t.same(started, [1, 2]);
    const fourth = ask(4);
    ends[0]!();
    t.equal(await first[0], 1);
    ends[1]!();
    await first[1];
    ends[2]!();
    t.equal(await fourth, 4, 'the next one goes when one has ended');
    const failing = lane.run(async () => {
      throw new Error('lost');
    });
    await t.rejects(failing, /lost/);
    const after = [ask(5), ask(6)];
    t.same(started, [1, 2, 4, 5, 6], 'one that fails gives its place back, too');
    for (const end of ends.slice(3)) end();
    await Promise.all(after);
  },
);

t.test('recursive deletes at once all take place', async (t) => {
  await namespace.write([{ op: 'create', path: '/many' }]);
  for (let i = 0; i < 5; i++) {
    await namespace.write([
      { op: 'create', path: `/many/${i}/a`, parents: true } as Op,
      { op: 'create', path: `/many/${i}/b` },
    ]);
  }
  const deletes = Array.from({ length: 5 }, (_, i) =>
    namespace.writeOne({ op: 'delete-recursive', path: `/many/${i}` }),
  );
  t.equal(new Set((await Promise.all(deletes)).map(({ zxid }) => zxid)).size, 5, 'each is a transaction');
  t.same(await namespace.allChildren('/many'), []);
});
