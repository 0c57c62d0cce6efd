// Where Sentinels say that the primary is, when they do not agree or do not answer.
import t from 'tap';
import { Sentinels } from '../../../src/store/redis/sentinel.ts';
import { type RedisNode, startRedisNode } from '../../../testbed/redis-node.ts';

t.test('the newest configuration counts, whoever is asked first, and one that hangs is not waited for', async (t) => {
  const [old, now] = [await startRedisNode(t, []), await startRedisNode(t, [])];
  const startSentinel = ({ host, port }: RedisNode, epoch: number) =>
    startRedisNode(t, [`sentinel monitor main ${host} ${port} 2`, `sentinel config-epoch main ${epoch}`], {
      sentinel: true,
    });
  // The first was cut off before the failover: it watches the old primary, which others left.
  const stale = await startSentinel(old, 1);
  const [second, third] = [await startSentinel(now, 2), await startSentinel(now, 2)];
  const sentinels = new Sentinels({ sentinels: [stale, second, third], primary: 'main' });
  const { host, port } = now;
  t.same(await sentinels.locate(), { host, port });

  const other = await startSentinel(old, 1);
  const led = new Sentinels({ sentinels: [stale, other, second], primary: 'main' });
  t.same(await led.locate(), { host, port }, 'also when only one has heard of it yet');

  third.signal('SIGSTOP');
  t.teardown(() => third.signal('SIGCONT'));
  const others = new Sentinels({ sentinels: [stale, second, third], primary: 'main' });
  t.same(await others.locate(), { host, port }, 'two of three are enough');

  await second.kill();
  const left = new Sentinels({ sentinels: [stale, second, third], primary: 'main' });
  t.same(await left.locate(), { host: old.host, port: old.port }, 'the only one that answers is believed');

  await stale.kill();
  const none = new Sentinels({ sentinels: [stale, second, third], primary: 'main' });
  await t.rejects(none.locate(), /no Sentinel says where the primary main is \(.*ECONNREFUSED/);
  const unknown = new Sentinels({ sentinels: [await startSentinel(now, 2)], primary: 'other' });
  await t.rejects(unknown.locate(), /it watches no primary of the name other/);
});

t.test('connections that look for the primary at the same moment ask once', async (t) => {
  const redis = await startRedisNode(t, []);
  const sentinel = await startRedisNode(t, [`sentinel monitor main ${redis.host} ${redis.port} 1`], { sentinel: true });
  const connections = async () => Number(await sentinel.info('total_connections_received'));
  const sentinels = new Sentinels({ sentinels: [sentinel], primary: 'main' });
  const before = await connections();
  const places = await Promise.all(Array.from({ length: 10 }, () => sentinels.locate()));
  t.same(new Set(places.map(({ port }) => port)), new Set([redis.port]));
  t.equal(await connections(), before + 2, 'the one that asked, and this one');
});
