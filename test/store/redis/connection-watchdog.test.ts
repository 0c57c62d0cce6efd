// Dedicated connections for blocking commands and Pub/Sub, through a network that silently drops everything on one of them.
import t from 'tap';
import { startRedisNode } from '../../../testbed/redis-node.ts';
import { startFaultyNetwork } from '../../helpers/faulty-network.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { openSocket } from '../../helpers/socket.ts';

t.test('a dedicated connection is replaced when it is dead, and kept while it is idle', async (t) => {
  const redis = await startRedisNode(t, []);
  const network = await startFaultyNetwork(t, `redis://127.0.0.1:${redis.port}`);
  const quiet = await startTestServer(
    t,
    { brokerId: 1, storeTimeoutMs: 2000 },
    { url: `redis://127.0.0.1:${redis.port}` },
  );
  const connections = async (kind: 'normal' | 'pubsub') => {
    const list = String(await redis.ask('CLIENT', 'LIST', 'TYPE', kind));
    return [...list.matchAll(/^id=(\d+)/gm)].map(([, id]) => id!);
  };
  await eventually(async () => (await connections('pubsub')).length === 1, 'the first broker has subscribed');
  const ofQuiet = await connections('pubsub');
  const cut = await startTestServer(
    t,
    { brokerId: 2, storeTimeoutMs: 2000 },
    { url: network.url.replace('http', 'redis') },
  );
  await http(`${quiet.url}/v1/topics`, 'POST', { name: 'quiet' });
  const waiting = http(`${quiet.url}/v1/topics/quiet/partitions/0/records?offset=0&wait=1m`);

  await eventually(async () => (await connections('pubsub')).length === 2, 'both brokers have subscribed');
  const before = await connections('pubsub');
  network.stall('subscribe');
  await eventually(
    async () => (await connections('pubsub')).some((id) => !before.includes(id)),
    'the broker on the dead connection subscribes again',
  );

  const watcher = await openSocket(t, `${cut.url}/v1/watch`);
  watcher.send({ type: 'watch', id: 'w', path: '/n', mode: 'node' });
  await watcher.frame({ type: 'watching' });
  network.stall('xread');
  t.equal((await http(`${quiet.url}/v1/nodes/n`, 'PUT', 'x')).status, 201);
  await eventually(() => watcher.frames.some(({ type }) => type === 'events'), 'the event arrives all the same');
  t.equal(cut.broker.store.connectionLosses, 0, 'the connection for requests was not lost');

  t.ok((await connections('pubsub')).includes(ofQuiet[0]!), 'the idle connection was not replaced');
  await http(`${cut.url}/v1/topics/quiet/records`, 'POST', { records: [{ value: 1 }] });
  t.match((await waiting).body.records, [{ value: 1 }]);
});
