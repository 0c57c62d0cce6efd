import { mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import t from 'tap';
import { PartitionCache } from '../../../src/broker/metadata/partition-cache.ts';
import { createMetrics } from '../../../src/broker/metrics.ts';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const led = (partitions: PartitionCache) =>
  [...partitions.led()].map(({ topic, partition, leaderEpoch }) => `${topic}-${partition} ${leaderEpoch}`).sort();

t.test('each broker knows the partitions and epochs that it leads, after elections and deletions', async (t) => {
  const one = await startTestServer(t, { brokerId: 1 });
  await eventually(
    async () => (await http(`${one.url}/v1/cluster`)).body.controller?.brokerId === 1,
    'the first broker is the controller',
  );
  const two = await startTestServer(t, { brokerId: 2 }, one.target);
  await http(`${one.url}/v1/topics`, 'POST', { name: 'a', partitions: 4, replicationFactor: 2 });
  await eventually(() => [one, two].every(({ broker }) => [...broker.partitions.all()].length === 4), 'both know all');
  t.equal(led(one.broker.partitions).length, 2);
  t.equal(led(two.broker.partitions).length, 2);
  t.same(
    [...led(one.broker.partitions), ...led(two.broker.partitions)].sort(),
    ['a-0 0', 'a-1 0', 'a-2 0', 'a-3 0'],
    'each partition has one leader',
  );
  for (const { topic, partition, leaderEpoch } of two.broker.partitions.led()) {
    t.equal(two.broker.partitions.leads(topic, partition), leaderEpoch);
    t.equal(one.broker.partitions.leads(topic, partition), undefined);
  }

  await two.close();
  t.same(led(two.broker.partitions), [], 'a broker that left the cluster leads nothing');
  await eventually(() => led(one.broker.partitions).length === 4, 'the other broker leads all partitions');
  t.same(led(one.broker.partitions), ['a-0 1', 'a-1 1', 'a-2 1', 'a-3 1'], 'each ISR has lost one broker');

  const late = await startTestServer(t, { brokerId: 3 }, one.target);
  t.equal([...late.broker.partitions.all()].length, 4, 'a broker that starts later reads the current state');
  await http(`${one.url}/v1/topics/a`, 'PATCH', { partitions: 5 });
  await eventually(() => [...late.broker.partitions.all()].length === 5, 'an added partition');
  await http(`${one.url}/v1/topics/a`, 'DELETE');
  await eventually(() => [...late.broker.partitions.all()].length === 0, 'none is left');
  t.equal(one.broker.partitions.leads('a', 0), undefined);
});

t.test('after a gap in the events the cache is read again, so no deleted partition is led', async (t) => {
  const redis = await startLossyRedis(t);
  const { url, broker } = await startTestServer(t, {}, { socketPath: redis.socketPath });
  await http(`${url}/v1/topics`, 'POST', { name: 'kept', partitions: 2 });
  redis.backUp();
  await http(`${url}/v1/topics`, 'POST', { name: 'lost', partitions: 2 });
  await eventually(() => led(broker.partitions).length === 4, 'four are led');
  let learned = 0;
  broker.partitions.onLoaded(() => {
    learned += 1;
  });
  await redis.killAndRestore();
  await eventually(() => learned > 0, 'the cache was read again');
  t.ok(broker.partitions.isComplete);
  await eventually(() => broker.registration.session && led(broker.partitions).length === 2, 'two are left');
  t.same(
    led(broker.partitions).map((name) => name.split(' ')[0]),
    ['kept-0', 'kept-1'],
  );
});

t.test(
  'partitions are read and announced at the start and after a gap, and not again while nothing is missing',
  async (t) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    t.teardown(() => mock.timers.reset());
    let [reads, announced] = [0, 0];
    const namespace = {
      allChildren: async () => {
        reads += 1;
        return [];
      },
    };
    let gap: (history: string) => void = () => {};
    const tail = {
      subscribe: () => () => {},
      onGap: (listener: typeof gap) => {
        gap = listener;
        return () => {};
      },
    };
    const log = pino({ level: 'silent' });
    const cache = new PartitionCache(namespace as never, tail as never, {} as never, createMetrics(), log);
    cache.onLoaded(() => {
      announced += 1;
    });
    const seconds = async (count: number) => {
      for (let n = 0; n < count; n++) {
        mock.timers.tick(1000);
        for (let turn = 0; turn < 5; turn++) await nextTurn();
      }
    };
    await cache.start();
    await seconds(10);
    t.same([reads, announced], [1, 1], 'a broker whose partitions do not change does no work for them');
    gap('main');
    await seconds(10);
    t.same([reads, announced], [2, 2], 'a gap in the events');
    await cache.stop();
  },
);
