// What counts as an outage: a store that is busy is none, and one that returns is found out by whatever comes first.
import { pino } from 'pino';
import t from 'tap';
import { unrestricted } from '../../src/core/actor.ts';
import { coordinationKeys } from '../../src/store/keys.ts';
import { Store } from '../../src/store/store.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

const outageMs = 1000;
const { socketPath } = await startTestRedis(t);
const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
await store.open();
t.teardown(() => store.close());
const { root } = coordinationKeys(testConfig.prefix);
const { namespace, sessions } = store;

/** Makes the store as if these were so long ago, ms. */
function age(fields: { reaped_at: number; written_at: number }): Promise<unknown> {
  return store.connection.command(
    false,
    async (client) => {
      const [seconds] = await client.time();
      const now = Number(seconds) * 1000;
      return client.hset(root, { reaped_at: now - fields.reaped_at, written_at: now - fields.written_at });
    },
    root,
  );
}

t.test('a search for expired sessions that is late while the tree is written is no outage', async (t) => {
  await sessions.reap(outageMs);
  await age({ reaped_at: 60_000, written_at: 60_000 });
  t.equal((await sessions.reap(outageMs)).extended, true, 'neither was there for a minute');
  await age({ reaped_at: 60_000, written_at: 0 });
  t.equal((await sessions.reap(60_000 / 4)).extended, false, 'a write was just before');
});

t.test('an outage is found out, too, if the first script after it is a write', async (t) => {
  await age({ reaped_at: 60_000, written_at: 60_000 });
  await namespace.writeOne({ op: 'create', path: '/first' });
  await namespace.writeOne({ op: 'create', path: '/second' });
  t.equal((await sessions.reap(outageMs)).extended, true);
  t.equal((await sessions.reap(outageMs)).extended, false, 'once');
});

t.test(
  'a session that is overdue by an outage lives on, and one that is overdue while the store is busy ends',
  async (t) => {
    const late = async () => {
      const { id } = await sessions.create(60_000, unrestricted);
      await store.connection.command(
        false,
        (client) => client.zadd(coordinationKeys(testConfig.prefix).sessions, 1, id),
        root,
      );
      return id;
    };
    const first = await late();
    await age({ reaped_at: 60_000, written_at: 60_000 });
    await namespace.writeOne({ op: 'create', path: '/third' });
    t.same((await sessions.reap(outageMs)).ended, []);
    await store.connection.command(false, (client) => client.hset(root, 'forgiven_at', 1), root);
    const second = await late();
    await age({ reaped_at: 5000, written_at: 0 });
    t.same(
      (await sessions.reap(4000)).ended.map(({ id }) => id),
      [second],
    );
    t.not(first, second);
  },
);
