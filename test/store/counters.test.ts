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
  // Two thousand million changes would take a day, so the counters are set close to their limits.
  const setStat = (write: (stat: Buffer) => void) =>
    connection.command(true, async (client) => {
      const key = '{weir}:node:/wrap';
      const stat = (await client.hgetBuffer(key, 'stat'))!;
      write(stat);
      await client.hset(key, 'stat', stat);
    });
  // The positions of both counters in the stat: lua/lib/stat.lua.
  const setVersion = (value: number) => setStat((stat) => stat.writeInt32BE(value, 48));
  const setCreated = (value: number) => setStat((stat) => stat.writeDoubleBE(value, 40));
  const version = async () => (await namespace.writeOne({ op: 'set', path: '/wrap' })).result.stat!.version;
  await setVersion(2147483646);
  t.same([await version(), await version(), await version()], [2147483647, -2147483648, -2147483647]);
  await setVersion(-3);
  t.same([await version(), await version(), await version()], [-2, 0, 1]);
  const sequential = async () =>
    (await namespace.writeOne({ op: 'create', path: '/wrap/n', sequential: true })).result.path;
  await setCreated(2147483647);
  t.same([await sequential(), await sequential()], ['/wrap/n2147483647', '/wrap/n-2147483648']);
});
