// Access control on the Kafka REST dialect: each call needs the right that its counterpart of /v1 needs.
import t from 'tap';
import { writePolicy } from '../../helpers/access.ts';
import { errorOf, kafka, kafkaJson, kafkaPost } from '../../helpers/kafka-rest.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const policy = await writePolicy(
  t,
  ['writer', 'reader', 'other', 'root'],
  `allow:
  - who: writer
    topics: { orders: [write] }
  - who: reader
    topics: { orders: [read] }
  - who: other
    topics: { others: [read] }
  - who: root
    admin: true
`,
);
const { url } = await startTestServer(t, { accessFile: policy.file });
await http(`${url}/v1/topics`, 'POST', { name: 'orders', partitions: 1 }, policy.as('root'));
await http(`${url}/v1/topics`, 'POST', { name: 'hidden', partitions: 1 }, policy.as('root'));

const basic = (identity: string) => ({
  authorization: `Basic ${Buffer.from(`${identity}:${policy.tokens[identity]?.token}`).toString('base64')}`,
});
const produce = (topic: string, headers: Record<string, string>) =>
  kafkaPost(`${url}/topics/${topic}`, { records: [{ value: 1 }] }, kafkaJson, headers);

t.test('an identity and its token work as Basic credentials', async (t) => {
  t.equal((await produce('orders', basic('writer'))).status, 200);
});

t.test('a call without credentials, or without the right, has the codes of Confluent', async (t) => {
  t.same(errorOf(await produce('orders', {})), [401, 40101]);
  t.same(errorOf(await produce('orders', { authorization: `Basic ${btoa('writer:wrong')}` })), [401, 40101]);
  t.same(errorOf(await produce('orders', policy.as('reader'))), [403, 40301]);
  t.same(errorOf(await http(`${url}/topics/orders`, 'GET', undefined, policy.as('other'))), [403, 40301]);
});

t.test('the list of topics holds those that the caller may read', async (t) => {
  const { body } = await http(`${url}/topics`, 'GET', undefined, { accept: kafka, ...policy.as('reader') });
  t.same(body, ['orders']);
});
