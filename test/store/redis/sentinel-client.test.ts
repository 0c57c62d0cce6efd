// Finds the primary when Sentinels disagree or do not reply.
import t from 'tap';
import { SentinelClient } from '../../../src/store/redis/sentinel-client.ts';
import { type RedisNode, startRedisNode } from '../../../testbed/redis-node.ts';

t.test('the report with the highest epoch counts, and a Sentinel that hangs causes no wait', async (t) => {
  const [old, now] = [await startRedisNode(t, []), await startRedisNode(t, [])];
  const startSentinel = ({ host, port }: RedisNode, epoch: number) =>
    startRedisNode(t, [`sentinel monitor main ${host} ${port} 2`, `sentinel config-epoch main ${epoch}`], {
      sentinel: true,
    });
  // The first Sentinel was isolated before the failover and still reports the old primary.
  const stale = await startSentinel(old, 1);
  const [second, third] = [await startSentinel(now, 2), await startSentinel(now, 2)];
  const sentinels = new SentinelClient({ sentinels: [stale, second, third], primary: 'main' });
  const { host, port } = now;
  t.same(await sentinels.findPrimary(), { host, port });

  const other = await startSentinel(old, 1);
  const led = new SentinelClient({ sentinels: [stale, other, second], primary: 'main' });
  t.same(await led.findPrimary(), { host, port }, 'also when only one Sentinel knows of the failover');

  third.signal('SIGSTOP');
  t.teardown(() => third.signal('SIGCONT'));
  const others = new SentinelClient({ sentinels: [stale, second, third], primary: 'main' });
  t.same(await others.findPrimary(), { host, port }, 'two replies of three are enough');

  await second.kill();
  const left = new SentinelClient({ sentinels: [stale, second, third], primary: 'main' });
  t.same(await left.findPrimary(), { host: old.host, port: old.port }, 'the only reply counts');

  await stale.kill();
  const none = new SentinelClient({ sentinels: [stale, second, third], primary: 'main' });
  await t.rejects(none.findPrimary(), /no Sentinel reports the address of the primary main \(.*ECONNREFUSED/);
  const unknown = new SentinelClient({ sentinels: [await startSentinel(now, 2)], primary: 'other' });
  await t.rejects(unknown.findPrimary(), /it watches no primary of the name other/);
});

t.test('connections that look for the primary at the same moment share one query', async (t) => {
  const redis = await startRedisNode(t, []);
  const sentinel = await startRedisNode(t, [`sentinel monitor main ${redis.host} ${redis.port} 1`], { sentinel: true });
  const connections = async () => Number(await sentinel.info('total_connections_received'));
  const sentinels = new SentinelClient({ sentinels: [sentinel], primary: 'main' });
  const before = await connections();
  const places = await Promise.all(Array.from({ length: 10 }, () => sentinels.findPrimary()));
  t.same(new Set(places.map(({ port }) => port)), new Set([redis.port]));
  t.equal(await connections(), before + 2, 'only the shared query and this one have connected');
});
