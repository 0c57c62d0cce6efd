import fc from 'fast-check';
import t from 'tap';
import { murmur2 } from '../../../src/core/records/partitioner.ts';
import { bytesAsText } from '../../../src/core/records/record-fields.ts';
import { http, startTestServer } from '../../helpers/server.ts';
import { ndjson, startTestBrokers, textOf } from '../../helpers/topics.ts';

const { server, newTopic } = await startTestBrokers(t);

t.test('records come back with their offsets, in their order', async (t) => {
  const topic = await newTopic(t);
  const first = await http(topic.all, 'POST', { records: [{ key: 'a', value: 1 }, { value: { b: [true, null] } }] });
  t.equal(first.status, 200);
  t.match(first.body, { topic: topic.name, results: [{ partition: 0, baseOffset: 0, count: 2 }] });
  const second = await http(topic.otherAll, 'POST', { records: [{ value: 'drei' }] });
  t.match(second.body.results, [{ partition: 0, baseOffset: 2, count: 1 }]);
  const { body } = await http(`${topic.partition(0)}?offset=0`);
  const [{ timestamp }] = first.body.results;
  t.same(body, {
    topic: topic.name,
    partition: 0,
    records: [
      { offset: 0, timestamp, key: 'a', value: 1 },
      { offset: 1, timestamp, value: { b: [true, null] } },
      { offset: 2, timestamp: second.body.results[0].timestamp, value: 'drei' },
    ],
    nextOffset: 3,
    logStartOffset: 0,
    endOffset: 3,
  });
  t.ok(Math.abs(timestamp - Date.now()) < 60_000, 'the time is that of the store');
});

t.test('JSON comes back as the same JSON, big numbers and all', async (t) => {
  const topic = await newTopic(t);
  const texts = [
    '12345678901234567890123',
    '1.10',
    '-0',
    '1e400',
    '"\\u0000\\ud800 é 😀"',
    '{"a":{"a":1,"b":[]}}',
    '""',
  ];
  for (const text of texts) {
    const one = await http(topic.all, 'POST', `{"records":[{"value":${text}}]}`, {
      'content-type': 'application/json',
    });
    t.equal(one.status, 200, text);
  }
  const lines = texts.map((text) => `{"value":${text}}\n`).join('');
  t.equal((await http(topic.all, 'POST', lines, ndjson)).status, 200);
  const response = await textOf(`${topic.partition(0)}?offset=0`);
  const found = [...response.matchAll(/"timestamp":\d+,"value":(.*?)\}(?=,\{"offset"|\],"nextOffset")/g)].map(
    ([, v]) => v,
  );
  t.same(found, [...texts, ...texts]);
});

t.test('bytes go in and come out as base64, or as they are', async (t) => {
  const topic = await newTopic(t);
  const bytes = Buffer.from([0, 255, 10, 13, 128]);
  await http(topic.all, 'POST', { records: [{ keyBase64: 'AP8=', valueBase64: bytes.toString('base64') }] });
  await http(`${topic.all}?key=k`, 'POST', bytes, { 'content-type': 'application/octet-stream' });
  await http(topic.all, 'POST', bytes, { 'content-type': 'text/plain' });
  await http(topic.all, 'POST', 'grüß dich', { 'content-type': 'text/plain; charset=utf-8' });
  await http(topic.all, 'POST', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' });
  await http(topic.all, 'POST', '<a/>', { 'content-type': 'application/xml' });
  const { records } = (await http(`${topic.partition(0)}?offset=0`)).body;
  t.match(records, [
    { keyBase64: 'AP8=', valueBase64: 'AP8KDYA=' },
    { key: 'k', valueBase64: 'AP8KDYA=' },
    { valueBase64: 'AP8KDYA=' },
    { value: 'grüß dich' },
    { value: 'a=b' },
    { valueBase64: Buffer.from('<a/>').toString('base64') },
  ]);
});

t.test('a raw record has its key and partition in the query, and its headers in headers', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  const { body } = await http(`${topic.all}?key=${encodeURIComponent('ключ')}&partition=2`, 'POST', 'x', {
    'content-type': 'text/plain',
    'weir-record-trace': 'abc',
    'Weir-Record-Name': Buffer.from('žluť').toString('latin1'),
  });
  t.match(body.results, [{ partition: 2, baseOffset: 0, count: 1 }]);
  const { records } = (await http(`${topic.partition(2)}?offset=0`)).body;
  t.match(records, [{ key: 'ключ', value: 'x', headers: { trace: 'abc', name: 'žluť' } }]);
});

t.test('headers come back as they were given', async (t) => {
  const topic = await newTopic(t);
  const headers = [
    { a: '1', b: { base64: 'AA==' }, c: null },
    [
      ['a', '1'],
      ['a', '2'],
    ],
  ];
  await http(topic.all, 'POST', { records: headers.map((one) => ({ value: 0, headers: one })) });
  const { records } = (await http(`${topic.partition(0)}?offset=0`)).body;
  t.same(
    records.map((record: { headers: unknown }) => record.headers),
    headers,
  );
});

t.test('no value is a tombstone, and null is null', async (t) => {
  const topic = await newTopic(t);
  await http(topic.all, 'POST', { records: [{ key: 'a' }, { key: 'b', value: null }, {}] });
  const { records } = (await http(`${topic.partition(0)}?offset=0`)).body;
  t.notOk('value' in records[0]);
  t.equal(records[1].value, null);
  t.same(Object.keys(records[2]), ['offset', 'timestamp']);
});

t.test('a record keeps its own timestamp, unless the topic takes the time of the log', async (t) => {
  const topic = await newTopic(t);
  const records = [{ value: 1, timestamp: 5 }, { value: 2 }];
  const { timestamp } = (await http(topic.all, 'POST', { records })).body.results[0];
  t.match((await http(topic.partition(0))).body.records, [{ timestamp: 5 }, { timestamp }]);
  const byLog = await newTopic(t, { config: { 'message.timestamp.type': 'LogAppendTime' } });
  const appended = (await http(byLog.all, 'POST', { records })).body.results[0];
  t.match((await http(byLog.partition(0))).body.records, [{ timestamp: appended.timestamp, value: 1 }, { value: 2 }]);
});

t.test('keys lead to partitions as in Kafka, through any broker', async (t) => {
  const topic = await newTopic(t, { partitions: 6 });
  const keys = ['21', 'foobar', 'a-little-bit-long-string', 'abc', '', 'kafka', 'é'];
  const records = keys.map((key) => ({ key, value: key }));
  const { body } = await http(`${topic.all}?offsets=true`, 'POST', { records });
  t.same(
    body.offsets.map(([partition]: number[]) => partition),
    keys.map((key) => (murmur2(bytesAsText(key)) & 0x7fffffff) % 6),
  );
  for (const [index, [partition, offset]] of body.offsets.entries()) {
    const { records: found } = (await http(`${topic.partition(partition, 'other')}?offset=${offset}&maxRecords=1`))
      .body;
    t.match(found, [{ offset, key: keys[index] }]);
  }
  const bytes = await http(topic.all, 'POST', { records: [{ keyBase64: Buffer.from('abc').toString('base64') }] });
  t.equal(bytes.body.results[0].partition, body.offsets[3][0], 'bytes of a text lead where the text does');
});

t.test('records without a key go to one partition a request, and go round', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  const used: number[] = [];
  for (let i = 0; i < 6; i++) {
    const { results } = (await http(topic.all, 'POST', { records: [{ value: 1 }, { value: 2 }] })).body;
    t.equal(results.length, 1);
    used.push(results[0].partition);
  }
  t.same([...new Set(used)].sort(), [0, 1, 2]);
  t.same(used.slice(3), used.slice(0, 3));
});

t.test('the records of a request lie together in each partition, among many producers', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  const requests = Array.from({ length: 60 }, (_, request) =>
    http(`${request % 2 ? topic.all : topic.otherAll}?offsets=true`, 'POST', {
      records: Array.from({ length: 10 }, (_, i) => ({ value: [request, i], partition: i % 2 })),
    }),
  );
  const responses = await Promise.all(requests);
  for (const partition of [0, 1]) {
    const { records, endOffset } = (await http(`${topic.partition(partition)}?maxRecords=1000`)).body;
    t.equal(endOffset, 300);
    t.same(
      records.map(({ offset }: { offset: number }) => offset),
      Array.from({ length: 300 }, (_, i) => i),
      'offsets are dense',
    );
    for (const [request, { body }] of responses.entries()) {
      const { baseOffset, count } = body.results[partition];
      t.same(
        records.slice(baseOffset, baseOffset + count).map(({ value }: { value: number[] }) => value),
        Array.from({ length: 5 }, (_, i) => [request, 2 * i + partition]),
      );
    }
  }
});

t.test('a compacted topic takes only records with keys', async (t) => {
  const topic = await newTopic(t, { config: { 'cleanup.policy': 'compact' } });
  const response = await http(topic.all, 'POST', { records: [{ key: 'a' }, { value: 1 }] });
  t.match(response, { status: 400, body: { code: 'BAD_REQUEST', detail: /records\.1 has no key/ } });
  t.equal((await http(topic.all, 'POST', { records: [{ key: 'a' }] })).status, 200);
});

t.test('malformed requests are refused by name, and nothing is written', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  const json = { 'content-type': 'application/json' };
  const text = { 'content-type': 'text/plain' };
  const good = { records: [{ value: 1 }] };
  const cases: [path: string, body: unknown, headers: Record<string, string>, status: number, detail: RegExp][] = [
    ['records', '{"records":[{}', json, 400, /is not JSON/],
    ['records', '', json, 400, /is not JSON/],
    ['records', Buffer.from([0x22, 0xff, 0x22]), json, 400, /not valid UTF-8/],
    ['records', '{"records":[]}', json, 400, /records is empty/],
    ['records', '{"record":[{}]}', json, 400, /records/],
    ['records', '{"records":[{}],"acks":1}', json, 400, /unknown field 'acks'/],
    ['records', '{"records":[{"value":1},{"key":{}}]}', json, 400, /records\.1\.key/],
    ['records', { records: [{ value: 1 }, { value: 1, partition: 2 }] }, {}, 404, /no partition 2/],
    ['records?key=a', good, {}, 400, /key goes with a raw record/],
    ['records?partition=1', good, {}, 400, /partition goes with a raw record/],
    ['records?partition=2', 'x', text, 404, /no partition 2/],
    ['records?partition=one', 'x', text, 400, /partition/],
    ['records?akcs=1', good, {}, 400, /akcs/],
    ['records', 'x', { ...text, 'weir-record-': '1' }, 400, /needs a name/],
    ['records', good, { 'idempotency-key': 'x'.repeat(256) }, 400, /Idempotency-Key/],
    ['partitions/2/records', good, {}, 404, /no partition 2/],
    ['partitions/x/records', good, {}, 400, /partition/],
    ['partitions/0/records', { records: [{ partition: 1 }] }, {}, 400, /for partition 0/],
  ];
  for (const [path, body, headers, status, detail] of cases) {
    const response = await http(`${topic.topic}/${path}`, 'POST', body, headers);
    t.equal(response.status, status, `${path} ${String(body)}`);
    t.match(response.body.detail, detail);
  }
  for (const query of ['offset=-1', 'offset=x', 'maxRecords=0', 'maxBytes=0', 'wait=x', 'timestamp=a', 'from=1']) {
    t.equal((await http(`${topic.partition(0)}?${query}`)).status, 400, query);
  }
  t.equal((await http(`${topic.partition(0)}?offset=0&timestamp=0`)).status, 400);
  t.equal((await http(topic.partition(9))).body.code, 'UNKNOWN_PARTITION');
  t.equal((await http(`${server.url}/v1/topics/%2e%2e/partitions/0/records`)).body.code, 'NOT_FOUND');
  t.equal((await http(`${server.url}/v1/topics/none/offsets`)).body.code, 'UNKNOWN_TOPIC');
  t.match((await http(`${topic.topic}/offsets`)).body.partitions, [{ offset: 0 }, { offset: 0 }]);
});

t.test('whatever is sent as JSON is refused with a 4xx, or comes back', async (t) => {
  const topic = await newTopic(t);
  const part = fc.oneof(
    fc.constantFrom('{"records":[', '{"value":', '"key":"a"', '}', ']', ',', '{}', '1', '"', '\\', '\n', 'null', ']}'),
    fc.string({ maxLength: 3, unit: 'binary' }),
  );
  const body = fc.oneof(
    fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
    fc.json().map((value) => `{"records":[{"value":${value}}]}`),
  );
  let end = 0;
  await fc.assert(
    fc.asyncProperty(body, fc.constantFrom('application/json', 'application/x-ndjson'), async (text, type) => {
      const response = await http(topic.all, 'POST', text, { 'content-type': type });
      const after = (await http(topic.partition(0))).body.endOffset;
      if (response.status !== 200) {
        t.ok(response.status >= 400 && response.status < 500 && after === end, `${response.status} ${type}: ${text}`);
      } else {
        const { records } = JSON.parse(await textOf(`${topic.partition(0)}?offset=${end}`));
        t.equal(records.length, after - end);
      }
      end = after;
    }),
    { numRuns: 400 },
  );
});

t.test('topics come by themselves where that is configured', async (t) => {
  const generous = await startTestServer(t, { brokerId: 1003, autoCreateTopics: true }, server.target);
  const responses = await Promise.all(
    Array.from({ length: 5 }, () => http(`${generous.url}/v1/topics/auto/records`, 'POST', { records: [{}] })),
  );
  for (const { status } of responses) t.equal(status, 200);
  t.equal((await http(`${server.url}/v1/topics/auto/offsets`)).body.partitions[0].offset, 5);
  t.equal((await http(`${generous.url}/v1/topics/a%20b/records`, 'POST', { records: [{}] })).status, 400);
  t.equal((await http(`${generous.url}/v1/topics/none/partitions/0/records`)).status, 404, 'but not by reading');
});
