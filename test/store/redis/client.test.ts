import { type AddressInfo, createServer, type Socket } from 'node:net';
import t from 'tap';
import { createClient, locatingConnector } from '../../../src/store/redis/client.ts';
import { startRedisNode } from '../../../testbed/redis-node.ts';

t.test(
  'the client leaves a Redis that accepts the connection but sends nothing when another replaces it',
  async (t) => {
    const held = new Set<Socket>();
    const silent = createServer((socket) => held.add(socket.on('error', () => {})));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      silent.close();
      for (const socket of held) socket.destroy();
    });
    const old = { host: '127.0.0.1', port: (silent.address() as AddressInfo).port };
    const { host, port } = await startRedisNode(t, []);

    // The lookup returns the old address until the old Redis has the connection, fails once, and then returns the new one.
    let asked = 0;
    const locate = async () => {
      asked += 1;
      if (held.size === 0) return old;
      if (asked === 2) throw new Error('nobody knows');
      return { host, port };
    };
    const client = createClient(locatingConnector(locate, undefined));
    t.teardown(() => client.disconnect());
    client.on('error', () => {});
    const ready = new Promise((resolve) => client.once('ready', resolve));
    client.connect().catch(() => {});
    await ready;
    t.equal(client.stream.remotePort, port);
    const before = asked;
    t.equal(await client.ping(), 'PONG');
    t.ok(before >= 3, 'the address was looked up while the silent Redis had the connection');
  },
);
