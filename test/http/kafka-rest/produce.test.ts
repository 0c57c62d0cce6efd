// The produce calls of the Kafka REST dialect: what its clients send, and what they get.
import t from 'tap';
import { ServiceError } from '../../../src/core/service-error.ts';
import { errorOf, kafka, kafkaBinary, kafkaJson, kafkaPost } from '../../helpers/kafka-rest.ts';
import { http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t, { brokerId: 1001 });
const { url } = server;
await http(`${url}/v1/topics`, 'POST', { name: 'one', partitions: 1 });
await http(`${url}/v1/topics`, 'POST', { name: 'three', partitions: 3 });
await http(`${url}/v1/topics`, 'POST', { name: 'small', partitions: 1, config: { 'max.message.bytes': 1000 } });

/** The records of a partition as /v1 has them. */
async function stored(topic: string, partition = 0): Promise<any[]> {
  const { body } = await http(`${url}/v1/topics/${topic}/partitions/${partition}/records`);
  return body.records;
}

t.test('Fluent Bit appends JSON records and gets 200 with a result for each', async (t) => {
  // As plugins/out_kafka_rest/kafka.c sends them, with message_key and partition set.
  const records = ['a', 'b'].map((log) => ({
    partition: 0,
    key: 'host-1',
    value: { '@timestamp': '2026-11-30T00:00:00.000000001Z', log },
  }));
  const response = await http(`${url}/topics/one`, 'POST', JSON.stringify({ records }), {
    'user-agent': 'Fluent-Bit',
    'content-type': kafkaJson,
  });
  t.equal(response.status, 200);
  t.equal(response.headers.get('content-type'), kafka);
  t.same(response.body, {
    offsets: [0, 1].map((offset) => ({ partition: 0, offset, error_code: null, error: null })),
    key_schema_id: null,
    value_schema_id: null,
  });
  t.match(await stored('one'), [{ key: 'host-1', value: { log: 'a' } }, { value: { log: 'b' } }]);
});

t.test('binary keys and values are bytes', async (t) => {
  const records = [{ key: 'aw==', value: 'AP8=' }, { value: 'aGVsbG8=' }];
  const { status, body } = await kafkaPost(`${url}/topics/one`, { records }, kafkaBinary);
  t.equal(status, 200);
  t.same(
    body.offsets.map(({ offset }: any) => offset),
    [2, 3],
  );
  t.match((await stored('one')).slice(2), [{ keyBase64: 'aw==', valueBase64: 'AP8=' }, { valueBase64: 'aGVsbG8=' }]);
});

t.test('the key leads to the same partition in every format', async (t) => {
  const json = await kafkaPost(`${url}/topics/three`, { records: [{ key: 'k', value: 1 }] }, kafkaJson);
  const binary = await kafkaPost(`${url}/topics/three`, { records: [{ key: 'aw==', value: 'MQ==' }] }, kafkaBinary);
  t.equal(json.body.offsets[0].partition, binary.body.offsets[0].partition);
});

t.test('null is no value, and a key that is no string is the bytes of its JSON', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'keys', partitions: 1 });
  const text =
    '{"records":[{"key":{"id":1.50},"value":12345678901234567890},{"key":null,"value":null},{"key":"t","value":null}]}';
  const { status } = await kafkaPost(`${url}/topics/keys`, text, kafkaJson);
  t.equal(status, 200);
  const { body } = await http(`${url}/v1/topics/keys/partitions/0/records`, 'GET', undefined, {
    accept: 'application/x-ndjson',
  });
  const [first, second, third] = (body as string).split('\n');
  t.match(first ?? '', /"value":12345678901234567890/, 'digits are kept');
  t.equal(Buffer.from(JSON.parse(first ?? '').keyBase64, 'base64').toString(), '{"id":1.50}');
  t.notMatch(second ?? '', /"value"|"key"/);
  t.match(JSON.parse(third ?? ''), { key: 't' });
  t.notOk('value' in JSON.parse(third ?? ''), 'a tombstone');
});

t.test('headers and timestamps are taken as Karapace and Strimzi take them', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'headers', partitions: 1 });
  const headers = [
    { key: 'text', value: Buffer.from('grün').toString('base64') },
    { key: 'bytes', value: '/w==' },
    { key: 'none', value: null },
  ];
  const records = [{ key: 'k', value: { a: null }, headers, timestamp: 1_700_000_000_000, partition: 0 }];
  t.equal((await kafkaPost(`${url}/topics/headers`, { records }, kafkaJson)).status, 200);
  const [record] = await stored('headers');
  t.match(record, { key: 'k', value: { a: null }, timestamp: 1_700_000_000_000 });
  t.same(record.headers, [
    ['text', 'grün'],
    ['bytes', { base64: '/w==' }],
    ['none', null],
  ]);
});

t.test('a partition in the path is for the records that name none', async (t) => {
  const records = [{ value: 1 }, { value: 2, partition: 2 }];
  const { body } = await kafkaPost(`${url}/topics/three/partitions/1`, { records }, kafkaJson);
  t.same(
    body.offsets.map(({ partition }: any) => partition),
    [1, 2],
  );
  t.same(errorOf(await kafkaPost(`${url}/topics/three/partitions/9`, { records }, kafkaJson)), [404, 40402]);
});

t.test('what records are refused for is their result, and the status is 200', async (t) => {
  const results = async (topic: string, record: unknown) => {
    const { status, body } = await kafkaPost(`${url}/topics/${topic}`, { records: [record, { value: 1 }] }, kafkaJson);
    t.equal(status, 200);
    t.equal(body.offsets.length, 2);
    t.match(body.offsets[0], { partition: null, offset: null, error: String });
    return body.offsets[0].error_code;
  };
  t.equal(await results('unknown', { value: 1 }), 50003, 'a topic may appear');
  t.equal(await results('three', { value: 1, partition: 7 }), 50002);
  t.equal(await results('small', { value: 'x'.repeat(2000) }), 50002);
  t.same(await stored('small'), []);
});

t.test('records that were appended before a failure have their offsets', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'halves', partitions: 2 });
  const { logs } = server.broker.store;
  const append = logs.append.bind(logs);
  t.intercept(logs, 'append', {
    value: async (...call: Parameters<typeof append>) =>
      call[1] === 1 ? [new ServiceError('STORE_FULL', 'The store is full.')] : append(...call),
  });
  const records = [
    { value: 'a', partition: 0 },
    { value: 'b', partition: 1 },
    { value: 'c', partition: 0 },
  ];
  const { status, body } = await kafkaPost(`${url}/topics/halves`, { records }, kafkaJson);
  t.equal(status, 200);
  t.match(body.offsets, [
    { partition: 0, offset: 0, error_code: null },
    { partition: null, offset: null, error_code: 50003, error: /^The store is full/ },
    { partition: 0, offset: 1, error_code: null },
  ]);
  // If none was appended, the status says so.
  t.same(
    errorOf(await kafkaPost(`${url}/topics/halves/partitions/1`, { records: [{ value: 1 }] }, kafkaJson)),
    [507, 50003],
  );
});

t.test('a repeat with the same Idempotency-Key appends nothing and gets the same offsets', async (t) => {
  const send = () =>
    kafkaPost(`${url}/topics/three`, { records: [{ value: 1 }] }, kafkaJson, { 'idempotency-key': 'r' });
  const [first, again] = [await send(), await send()];
  t.same(again.body, first.body);
  t.equal(again.headers.get('idempotency-replayed'), 'true');
});

t.test('a body that is not one of records is refused with the code of its fault', async (t) => {
  const refused = async (body: unknown, type = kafkaJson) => errorOf(await kafkaPost(`${url}/topics/one`, body, type));
  t.same(await refused('{"records":'), [400, 400]);
  t.same(await refused('[]'), [422, 422]);
  t.same(await refused({ records: [] }), [422, 422]);
  t.same(await refused({ records: null }), [422, 422]);
  t.same(await refused({}), [422, 422]);
  t.same(await refused({ records: [1] }), [422, 422]);
  t.same(await refused({ records: [{ value: 1, colour: 'red' }] }), [422, 422]);
  t.same(await refused({ records: [{ value: 1, partition: 'x' }] }), [422, 422]);
  t.same(await refused({ records: [{ value: 1, headers: [{ key: 'h', value: '?' }] }] }), [422, 422]);
  t.same(await refused({ records: [{ value: 'no base64!' }] }, kafkaBinary), [400, 400]);
  t.same(await refused({ records: [{ key: 1, value: 'aGk=' }] }, kafkaBinary), [400, 400]);
});

t.test('a type that needs a schema registry is refused with the reason', async (t) => {
  for (const format of ['avro', 'jsonschema', 'protobuf']) {
    const body = { value_schema_id: 1, records: [{ value: 1 }] };
    const response = await kafkaPost(`${url}/topics/one`, body, `application/vnd.kafka.${format}.v2+json`);
    t.same(errorOf(response), [415, 415]);
    t.match(response.body.message, /schema registry/);
  }
  t.same(errorOf(await kafkaPost(`${url}/topics/one`, { records: [{ value: 1 }] }, 'application/json')), [415, 415]);
  const unwanted = await kafkaPost(`${url}/topics/one`, { records: [{ value: 1 }] }, kafkaJson, {
    accept: 'text/html',
  });
  t.same(errorOf(unwanted), [406, 406]);
});
