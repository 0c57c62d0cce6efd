// The metadata calls of the Kafka REST dialect.
import t from 'tap';
import { errorOf, kafka } from '../../helpers/kafka-rest.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const { url } = await startTestServer(t, { brokerId: 1001 });
await http(`${url}/v1/topics`, 'POST', { name: 'b', partitions: 2, config: { 'retention.ms': 1000 } });
await http(`${url}/v1/topics`, 'POST', { name: 'a', partitions: 1 });

const get = (path: string, accept = kafka) => http(`${url}${path}`, 'GET', undefined, { accept });

t.test('topics are listed by name', async (t) => {
  const { status, headers, body } = await get('/topics');
  t.equal(status, 200);
  t.equal(headers.get('content-type'), kafka);
  t.same(body, ['a', 'b']);
});

t.test('a topic has its configs as texts, and its partitions with replicas', async (t) => {
  const { body } = await get('/topics/b');
  t.equal(body.name, 'b');
  t.equal(body.configs['retention.ms'], '1000');
  t.equal(body.configs['cleanup.policy'], 'delete');
  const partition = (number: number) => ({
    partition: number,
    leader: 1001,
    replicas: [{ broker: 1001, leader: true, in_sync: true }],
  });
  t.same(body.partitions, [partition(0), partition(1)]);
  t.same((await get('/topics/b/partitions')).body, body.partitions);
  t.same((await get('/topics/b/partitions/1')).body, partition(1));
});

t.test('the offsets of a partition are its bounds', async (t) => {
  await http(`${url}/v1/topics/a/records`, 'POST', { records: [{ value: 1 }, { value: 2 }] });
  t.same((await get('/topics/a/partitions/0/offsets')).body, { beginning_offset: 0, end_offset: 2 });
});

t.test('the brokers are listed by id', async (t) => {
  t.same((await get('/brokers')).body, { brokers: [1001] });
});

t.test('what does not exist has the codes of Confluent', async (t) => {
  t.same(errorOf(await get('/topics/none')), [404, 40403]);
  t.same(errorOf(await get('/topics/none/partitions')), [404, 40403]);
  t.same(errorOf(await get('/topics/b/partitions/9')), [404, 40402]);
  t.same(errorOf(await get('/topics/b/partitions/9/offsets')), [404, 40402]);
});

t.test('the response has the type that the client likes best', async (t) => {
  const older = 'application/vnd.kafka.v2+json, application/vnd.kafka+json, application/json';
  t.equal((await get('/topics', older)).headers.get('content-type'), kafka);
  t.match((await get('/topics', 'application/json')).headers.get('content-type'), /^application\/json/);
  t.equal((await get('/topics', '*/*')).headers.get('content-type'), kafka);
  t.same(errorOf(await get('/topics', 'image/png')), [406, 406]);
});

t.test('without WEIR_KAFKA_REST there is nothing at the root', async (t) => {
  const off = await startTestServer(t, { kafkaRest: false });
  for (const path of ['/topics', '/brokers', '/consumers/g/instances/i/records']) {
    t.match(await http(`${off.url}${path}`), { status: 404, body: { code: 'NOT_FOUND' } });
  }
});
