// Topics and records response as the OpenAPI document says, for every success and for the failures on the way.
import t from 'tap';
import { contractOf } from '../../helpers/contract.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const contract = await contractOf(server.url);
const json = { 'content-type': 'application/json' };
const ndjson = { 'content-type': 'application/x-ndjson' };

t.test('the responses of topics are as documented', async (t) => {
  await contract.call(t, 'POST', '/v1/topics', { name: 'c', partitions: 2 }, { 'idempotency-key': 'contract' });
  await contract.call(t, 'GET', '/v1/topics');
  await contract.call(t, 'GET', '/v1/topics?limit=1');
  await contract.call(t, 'GET', '/v1/topics/c');
  await contract.call(t, 'PATCH', '/v1/topics/c', { partitions: 3, config: { 'retention.ms': '1000' } });

  const records = [
    { key: 'k', value: { a: 1 }, headers: { a: 'b', c: null, d: { base64: 'AA==' } }, partition: 0 },
    { keyBase64: 'AA==', valueBase64: 'AA==', headers: [['a', 'b']], partition: 0, timestamp: 1_500_000_000_000 },
    { key: null, partition: 0 },
  ];
  await contract.call(t, 'POST', '/v1/topics/c/records?offsets=true', { records });
  await contract.call(t, 'POST', '/v1/topics/c/records?acks=0', { records });
  const { body: producer } = await contract.call(t, 'POST', '/v1/producers', { name: 'contract' });
  await contract.call(t, 'GET', '/v1/producers');
  const stamped = { records: [{ value: 1 }], producer: { ...producer, sequence: 0 } };
  await contract.call(t, 'POST', '/v1/topics/c/records', stamped);
  await contract.call(t, 'POST', '/v1/topics/c/records', stamped);
  await contract.call(t, 'POST', '/v1/topics/c/records', 'raw', { 'content-type': 'text/plain' });
  await contract.call(t, 'GET', '/v1/topics/c/records?last=2&contains=raw');
  t.equal((await contract.call(t, 'GET', '/v1/topics/c/records?last=0')).status, 400);
  await contract.call(t, 'POST', '/v1/topics/c/partitions/1/records', '{"value":1}\n', ndjson);
  await contract.call(t, 'POST', '/v1/topics/c/partitions/1/records', 'raw', { 'weir-fence': 'a=1' });
  await contract.call(t, 'GET', '/v1/topics/c/partitions/1/fences');
  await contract.call(t, 'DELETE', '/v1/topics/c/partitions/1/fences/a');
  await contract.call(t, 'GET', '/v1/topics/c/partitions/0/records?offset=0');
  await contract.call(t, 'GET', '/v1/topics/c/partitions/1/records', undefined, { accept: 'application/x-ndjson' });
  for (const at of ['earliest', 'latest', '0', '9007199254740991']) {
    await contract.call(t, 'GET', `/v1/topics/c/offsets?at=${at}`);
  }
  await contract.call(t, 'DELETE', '/v1/topics/c/partitions/0/records?before=1');
  await contract.call(t, 'GET', '/v1/producers');
});

t.test('failures of topics are responses as documented', async (t) => {
  const failures: [status: number, method: string, target: string, body?: unknown, headers?: Record<string, string>][] =
    [
      [409, 'POST', '/v1/topics', { name: 'c' }],
      [422, 'POST', '/v1/topics', { name: 'd', partitions: 0 }],
      [422, 'POST', '/v1/topics', { name: 'd', config: { none: 1 } }],
      [404, 'GET', '/v1/topics/none'],
      [422, 'PATCH', '/v1/topics/c', { partitions: 1 }],
      [404, 'DELETE', '/v1/topics/none'],
      [400, 'POST', '/v1/topics/c/records', '{', json],
      [404, 'POST', '/v1/topics/none/records', { records: [{}] }],
      [404, 'POST', '/v1/topics/c/records', { records: [{}], producer: { id: 'none', epoch: 0, sequence: 0 } }],
      [400, 'POST', '/v1/producers', {}],
      [404, 'GET', '/v1/topics/c/partitions/9/records'],
      [416, 'GET', '/v1/topics/c/partitions/0/records?offset=0'],
      [416, 'DELETE', '/v1/topics/c/partitions/0/records?before=1000'],
      [413, 'POST', '/v1/topics/c/records', { records: [{ value: 'x'.repeat(1024 * 1024) }] }],
      [503, 'POST', '/v1/topics/e/records?acks=all', { records: [{}] }],
    ];
  await contract.call(t, 'POST', '/v1/topics', { name: 'e', config: { 'min.insync.replicas': 2 } });
  for (const [status, ...request] of failures) {
    t.equal((await contract.call(t, ...request)).status, status, request.slice(0, 2).join(' '));
  }
});

t.test('every success of the topics was seen', async (t) => {
  const stream = contract.call(t, 'GET', '/v1/topics/c/stream?offset=earliest');
  await eventually(
    async () => /^weir_topic_tails_open\{kind="sse"\} 1$/m.test((await http(`${server.url}/metrics`)).body),
    'the stream is open',
  );
  await contract.call(t, 'DELETE', '/v1/topics/c');
  // It ends with its topic; a stream that is asked for where that one ended is told not to come back.
  await stream;
  const lost = { 'last-event-id': 'lost:gone@0:1' };
  t.equal((await contract.call(t, 'GET', '/v1/topics/c/stream', undefined, lost)).status, 204);
  t.same(contract.unseen('topics'), []);
});
