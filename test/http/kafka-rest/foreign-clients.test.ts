// What clients for the REST proxies of Kafka, as they are published, send: the requests are theirs, header by header.
import { once } from 'node:events';
import { request as send } from 'node:http';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { kafka, kafkaBinary, kafkaJson } from '../../helpers/kafka-rest.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const { url } = await startTestServer(t);

interface Sent {
  type?: string;
  accept?: string;
  body?: object;
}

/** Sends a request as Python's clients do: with a body also in a GET and a DELETE. */
async function call(method: string, path: string, { type, accept = '*/*', body }: Sent = {}): Promise<any> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = {
    accept,
    ...(type !== undefined && { 'content-type': type }),
    ...(body !== undefined && { 'content-length': Buffer.byteLength(text) }),
  };
  const sent = send(`${url}${path}`, { method, headers }).end(text);
  const [response] = await once(sent, 'response');
  const received = (await buffer(response)).toString();
  return { status: response.statusCode, body: received === '' ? undefined : JSON.parse(received) };
}

const topic = (name: string) => http(`${url}/v1/topics`, 'POST', { name });
const decoded = (text: string) => JSON.parse(Buffer.from(text, 'base64').toString());

t.test('kafka-bridge-client sends {} as the body of every call that has none', async (t) => {
  await topic('bridge');
  const records = [
    { key: 'k', value: 'v' },
    { key: null, value: 'w' },
  ];
  t.equal((await call('POST', '/topics/bridge', { type: kafkaJson, body: { records } })).status, 200);
  const bytes = { records: [{ key: 'aw==', value: '/w==' }] };
  t.equal((await call('POST', '/topics/bridge', { type: kafkaBinary, body: bytes })).status, 200);
  for (const autoCommit of [{ 'enable.auto.commit': false }, { 'auto.commit.enable': 'false' }]) {
    const group = `/consumers/${Object.keys(autoCommit)[0]}`;
    const path = `${group}/instances/c1`;
    const settings = { 'auto.offset.reset': 'earliest', ...autoCommit, format: 'binary', name: 'c1' };
    t.equal((await call('DELETE', path, { type: kafka, body: {} })).status, 404, 'that of an earlier run');
    t.equal((await call('POST', group, { type: kafka, body: settings })).status, 200);
    t.equal((await call('POST', `${path}/subscription`, { type: kafka, body: { topics: ['bridge'] } })).status, 204);
    const poll = { type: kafka, accept: kafkaBinary, body: {} };
    t.match(await call('GET', `${path}/records?timeout=10000&max_bytes=100000`, poll), {
      status: 200,
      body: [{ offset: 0 }, { offset: 1, key: null }, { offset: 2, key: 'aw==', value: '/w==' }],
    });
    const offsets = [{ topic: 'bridge', partition: 0, offset: 2 }];
    t.equal((await call('POST', `${path}/offsets`, { type: kafka, body: { offsets } })).status, 200);
    t.equal((await call('DELETE', `${path}/subscription`, { type: kafka, body: {} })).status, 204);
    t.equal((await call('DELETE', path, { type: kafka, body: {} })).status, 204);
  }
});

t.test('nlp-kafka-rest-api finds its keys, which it appends as JSON and polls as bytes', async (t) => {
  await topic('nlp');
  const records = [{ key: '3f2a', value: { endpoint: 'e', payload: 'ä' } }];
  t.equal((await call('POST', '/topics/nlp', { type: kafkaJson, body: { records } })).status, 200);
  const settings = { name: 'i', format: 'binary', 'auto.offset.reset': 'earliest' };
  t.equal((await call('POST', '/consumers/nlp', { type: kafkaJson, body: settings })).status, 200);
  const path = '/consumers/nlp/instances/i';
  t.equal((await call('POST', `${path}/subscription`, { type: kafkaJson, body: { topics: ['nlp'] } })).status, 204);
  const { body } = await call('GET', `${path}/records?timeout=10000`, { accept: kafkaBinary });
  t.same(
    body.map(({ key, value }: any) => [decoded(key), decoded(value)]),
    [['3f2a', { endpoint: 'e', payload: 'ä' }]],
  );
  t.equal((await call('DELETE', path, { type: kafka })).status, 204);
});

t.test('pymapr-kafkarest moves an instance by a URL with a slash at its end', async (t) => {
  await topic('mapr');
  const records = [{ key: 'k', value: { a: 1 } }];
  t.equal((await call('POST', '/topics/mapr', { type: kafkaJson, accept: kafka, body: { records } })).status, 200);
  const path = '/consumers/mapr/instances/host';
  t.equal((await call('GET', `${path}/subscription`, { type: kafka })).status, 404);
  const settings = { name: 'host', 'auto.offset.reset': 'earliest', format: 'json' };
  t.equal((await call('POST', '/consumers/mapr', { type: kafka, body: settings })).status, 200);
  t.equal((await call('POST', `${path}/subscription`, { type: kafka, body: { topics: ['mapr'] } })).status, 204);
  const poll = () => call('GET', `${path}/records?timeout=10000`, { accept: kafkaJson });
  t.match(await poll(), { body: [{ key: 'k', value: { a: 1 }, offset: 0 }] });
  const offsets = [{ topic: 'mapr', partition: 0, offset: 0 }];
  t.equal((await call('POST', `${path}/positions/`, { type: kafka, body: { offsets } })).status, 204);
  t.match(await poll(), { body: [{ offset: 0 }] });
  t.equal((await call('POST', '/consumers/mapr', { type: kafka, body: settings })).status, 409);
  t.equal((await call('DELETE', path, { type: kafka })).status, 204);
});

t.test('a slash at the end of a URL counts as none, in the dialect alone', async (t) => {
  await topic('slashes');
  const [{ cluster_id: id }] = (await call('GET', '/v3/clusters/')).body.data;
  for (const path of ['/topics', '/topics/slashes', '/brokers', `/v3/clusters/${id}/topics`, '/kafka/v3/clusters']) {
    t.same(await call('GET', `${path}/`), await call('GET', path), path);
  }
  t.equal((await call('GET', `/v3/clusters/${id}/topics/?includeAuthorizedOperations=true`)).status, 200);
  t.equal((await call('GET', '/v1/topics/')).status, 404);
  t.equal((await call('GET', '/topics//')).status, 404);
  const off = await startTestServer(t, { kafkaRest: false });
  t.equal((await http(`${off.url}/topics/`)).status, 404);
});

t.test('clients of version 1 are told the types of version 2', async (t) => {
  const refused = await call('POST', '/topics/bridge', {
    type: 'application/vnd.kafka.binary.v1+json',
    accept: 'application/vnd.kafka.v1+json, application/vnd.kafka+json; q=0.9, application/json; q=0.8',
    body: { records: [{ value: 'aGk=' }] },
  });
  t.match(refused, { status: 415, body: { error_code: 415, message: /send application\/vnd\.kafka\.json\.v2\+json/ } });
});

t.test('a DELETE of version 3 may have a body, which is ignored', async (t) => {
  await topic('gone');
  const [{ cluster_id: id }] = (await call('GET', '/v3/clusters')).body.data;
  const path = `/v3/clusters/${id}/topics/gone`;
  const sent = { type: 'application/json', body: {} };
  t.equal((await call('DELETE', `${path}/configs/retention.ms`, sent)).status, 204);
  t.equal((await call('DELETE', path, sent)).status, 204);
});
