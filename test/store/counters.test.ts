import { pino } from 'pino';
import t from 'tap';
import { Store } from '../../src/store/store.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { testConfig } from '../helpers/server.ts';

t.test("counters wrap as ZooKeeper's: the sequence number, and the version, which leaves out -1", async (t) => {
  const { socketPath } = await startTestRedis(t);
  const store = new Store({ ...testConfig, target: { socketPath } }, pino({ level: 'silent' }));
  await store.open();
  t.teardown(() => store.close());
  const { namespace, connection } = store;
  await namespace.writeOne({ op: 'create', path: '/wrap' });
  // Two thousand million changes would take a day: the counters are set close to their ends instead.
  const setStat = (word: number, value: number) =>
    connection.command(true, async (client) => {
      const key = '{weir}:node:/wrap';
      const words = (await client.hget(key, 'stat'))!.split(' ');
      words[word] = String(value);
      await client.hset(key, 'stat', words.join(' '));
    });
  const version = async () => (await namespace.writeOne({ op: 'set', path: '/wrap' })).result.stat!.version;
  await setStat(5, 2147483646);
  t.same([await version(), await version(), await version()], [2147483647, -2147483648, -2147483647]);
  await setStat(5, -3);
  t.same([await version(), await version(), await version()], [-2, 0, 1]);
  const sequential = async () =>
    (await namespace.writeOne({ op: 'create', path: '/wrap/n', sequential: true })).result.path;
  await setStat(6, 2147483647);
  t.same([await sequential(), await sequential()], ['/wrap/n2147483647', '/wrap/n-2147483648']);
});
