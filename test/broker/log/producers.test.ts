// The lifetime of named producers: an idle one is removed from the registry and the logs, one in use stays.
import t from 'tap';
import { coordinationKeys, partitionKeys } from '../../../src/store/keys.ts';
import { eventually, http, startTestServer, testConfig } from '../../helpers/server.ts';

const keys = coordinationKeys(testConfig.prefix);

t.test('a producer that is idle for its retention time is removed completely', async (t) => {
  const { url, broker } = await startTestServer(t, { producerIdExpirationMs: 1000 });
  const { client } = await broker.store.connection.connectionOf(keys.root);
  const { body: topic } = await http(`${url}/v1/topics`, 'POST', { name: 'used', partitions: 2 });
  const register = async (name: string) => (await http(`${url}/v1/producers`, 'POST', { name })).body;
  const produce = (producer: { id: string; epoch: number }, sequence: number) => {
    const records = [0, 1].map((partition) => ({ partition, value: sequence }));
    return http(`${url}/v1/topics/used/records`, 'POST', { records, producer: { ...producer, sequence } });
  };
  const [idle, busy] = [await register('idle'), await register('busy')];
  await register('never used');
  t.equal((await produce(idle, 0)).status, 200);
  let sequence = 0;
  const known = async () => (await client.zrange(keys.producers, 0, '-1')).sort();
  await eventually(async () => {
    t.equal((await produce(busy, sequence++)).status, 200, 'a producer in use stays');
    return (await known()).join() === busy.id;
  }, 'the others end');
  t.ok(sequence > 1);
  t.match(await produce(idle, 1), { status: 404, body: { code: 'UNKNOWN_PRODUCER' } });
  t.match(await (await fetch(`${url}/metrics`)).text(), /weir_producers_expired_total 2\n/);
  t.not((await register('idle')).id, idle.id, 'its name registers a new producer');

  await eventually(async () => (await known()).length === 0, 'all producers are removed');
  const left = await client.keys(`*producer*`);
  t.same(left, [], 'nothing is left in the registry or in the logs');
  t.equal(await client.exists(partitionKeys(testConfig.prefix, topic.topicId, 0).producers), 0);
  await eventually(
    async () => /weir_producers 0\n/.test(await (await fetch(`${url}/metrics`)).text()),
    'the metric counts no producer',
  );
});

t.test('a producer outlives the topics that it wrote to, and no longer lists them', async (t) => {
  const { url, broker } = await startTestServer(t, { producerIdExpirationMs: 1000 });
  const { client } = await broker.store.connection.connectionOf(keys.root);
  const { body: producer } = await http(`${url}/v1/producers`, 'POST', { name: 'p' });
  const produce = async (topic: string, sequence: number) => {
    const body = { records: [{ value: 1 }], producer: { ...producer, sequence } };
    t.equal((await http(`${url}/v1/topics/${topic}/records`, 'POST', body)).status, 200);
  };
  for (const name of ['gone', 'kept']) await http(`${url}/v1/topics`, 'POST', { name });
  await produce('gone', 0);
  let sequence = 0;
  await produce('kept', sequence++);
  t.equal(await client.scard(keys.producerLogs(producer.id)), 2);
  await http(`${url}/v1/topics/gone`, 'DELETE');
  await eventually(async () => {
    await produce('kept', sequence++);
    return (await client.scard(keys.producerLogs(producer.id))) === 1;
  }, 'the log of the deleted topic is forgotten');
  t.equal((await http(`${url}/v1/producers`, 'POST', { name: 'p' })).body.epoch, 1);
});
