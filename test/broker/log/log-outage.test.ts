// Producers and readers while Redis is killed and starts again.
import t from 'tap';
import { startLossyRedis } from '../../helpers/lossy-redis.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { values } from '../../helpers/topics.ts';

t.test('with an Idempotency-Key each record is stored once, however often Redis is killed', async (t) => {
  const redis = await startLossyRedis(t);
  const target = { socketPath: redis.socketPath };
  const server = await startTestServer(t, { brokerId: 1001 }, target);
  const other = await startTestServer(t, { brokerId: 1002 }, target);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'kept', partitions: 2 });
  const records = (url: string) => `${url}/v1/topics/kept/records`;

  let failures = 0;
  const unexpected: unknown[] = [];
  const produce = async (value: number) => {
    for (let attempt = 0; ; attempt++) {
      const { url } = attempt % 2 ? other : server;
      const body = {
        records: [
          { partition: 0, value },
          { partition: 1, value },
        ],
      };
      const response = await http(records(url), 'POST', body, { 'idempotency-key': `record-${value}` });
      if (response.status === 200) return;
      failures += 1;
      if (response.body.code !== 'STORE_UNAVAILABLE' || !response.body.retryable) unexpected.push(response.body);
    }
  };
  const count = 300;
  let next = 0;
  const producers = Array.from({ length: 10 }, async () => {
    while (next < count) await produce(next++);
  });
  for (const progress of [count / 4, count / 2]) {
    await eventually(() => next >= progress, 'some records are produced');
    await redis.killAndRestart();
  }
  await Promise.all(producers);

  t.ok(failures > 0, 'some requests failed in the outage');
  t.same(unexpected, []);
  for (const partition of [0, 1]) {
    const url = `${other.url}/v1/topics/kept/partitions/${partition}/records?maxRecords=1000`;
    const found = values((await http(url)).body) as number[];
    t.same(
      found.sort((a, b) => a - b),
      Array.from({ length: count }, (_, i) => i),
    );
  }
});

t.test('a waiting reader gets new records after an outage of Redis', async (t) => {
  const redis = await startLossyRedis(t);
  const target = { socketPath: redis.socketPath };
  const server = await startTestServer(t, { brokerId: 1001 }, target);
  await http(`${server.url}/v1/topics`, 'POST', { name: 'appended' });
  const url = `${server.url}/v1/topics/appended`;
  const waiting = http(`${url}/partitions/0/records?wait=1m`);
  await eventually(
    async () => /weir_log_waits 1/.test(await server.broker.metrics.registry.metrics()),
    'the reader is waiting',
  );
  await redis.killAndRestart();
  await eventually(
    async () => (await http(`${url}/records`, 'POST', { records: [{ value: 1 }] })).status === 200,
    'Redis serves again',
  );
  t.equal(values((await waiting).body)[0], 1);
});
