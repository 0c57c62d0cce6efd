import t from 'tap';
import { eventually, http } from '../../helpers/server.ts';
import { startTestBrokers, values } from '../../helpers/topics.ts';

const { server, other, newTopic } = await startTestBrokers(t);

t.test('a fetch begins at any offset and keeps to any limit', async (t) => {
  const topic = await newTopic(t);
  const sizes = [3, 1, 4, 2];
  let next = 0;
  for (const size of sizes) {
    await http(topic.all, 'POST', { records: Array.from({ length: size }, () => ({ value: next++ })) });
  }
  for (let offset = 0; offset <= next; offset++) {
    for (let maxRecords = 1; maxRecords <= next + 1; maxRecords++) {
      const { body } = await http(`${topic.partition(0)}?offset=${offset}&maxRecords=${maxRecords}`);
      const expected = Array.from({ length: Math.min(maxRecords, next - offset) }, (_, i) => offset + i);
      t.same(values(body), expected);
      t.equal(body.nextOffset, offset + expected.length);
    }
  }
  const { body } = await http(`${topic.partition(0)}?offset=2&maxBytes=1`);
  t.same(values(body), [2], 'one record always fits');
  const size = '"timestamp":1234567890123,"value":0}'.length;
  for (const maxBytes of [size, 2 * size - 1, 2 * size, 5 * size + 1]) {
    const found = values((await http(`${topic.partition(0)}?offset=1&maxBytes=${maxBytes}`)).body);
    t.equal(found.length, Math.floor(maxBytes / size), `${maxBytes} bytes`);
  }
});

/** These records say that they are from 1970: retention would take them sooner or later. */
const keptForever = { 'retention.ms': -1 };

t.test('a fetch begins at the start, at the end, or at a moment', async (t) => {
  const topic = await newTopic(t, { partitions: 2, config: keptForever });
  const stamps = [100, 300, 200, 400];
  for (const timestamp of stamps)
    await http(topic.partition(0), 'POST', { records: [{ value: timestamp, timestamp }] });
  const read = async (query: string) => values((await http(`${topic.partition(0)}?${query}`)).body);
  t.same(await read('offset=earliest'), stamps);
  t.same(await read(''), stamps);
  t.same(await read('offset=latest'), []);
  t.same(await read('timestamp=101'), [300, 200, 400]);
  t.same(await read('timestamp=301'), [400]);
  t.same(await read('timestamp=401'), []);
  const offsets = async (at: string) => (await http(`${topic.topic}/offsets?at=${at}`)).body;
  t.same(await offsets('earliest'), {
    topic: topic.name,
    partitions: [
      { partition: 0, offset: 0 },
      { partition: 1, offset: 0 },
    ],
  });
  t.match(await offsets('latest'), { partitions: [{ offset: 4 }, { offset: 0 }] });
  t.match(await offsets('150'), {
    partitions: [
      { offset: 1, timestamp: 300 },
      { offset: 0, timestamp: null },
    ],
  });
  await http(`${topic.partition(0)}?before=3`, 'DELETE');
  t.match(await offsets('0'), { partitions: [{ offset: 3, timestamp: 400 }, {}] });
  t.match(await offsets('earliest'), { partitions: [{ offset: 3 }, { offset: 0 }] });
});

t.test('within one batch the moment finds the record, not the batch', async (t) => {
  const topic = await newTopic(t, { config: keptForever });
  await http(topic.all, 'POST', { records: [1, 3, 2, 9].map((timestamp) => ({ timestamp })) });
  for (const [moment, offset] of [
    [2, 1],
    [4, 3],
    [9, 3],
  ]) {
    t.match((await http(`${topic.topic}/offsets?at=${moment}`)).body.partitions, [{ offset }]);
  }
  await http(`${topic.partition(0)}?before=2`, 'DELETE');
  t.match((await http(`${topic.topic}/offsets?at=2`)).body.partitions, [{ offset: 2, timestamp: 2 }]);
});

t.test('deleted records are gone, and those behind them keep their offsets', async (t) => {
  const topic = await newTopic(t);
  await http(topic.all, 'POST', { records: [0, 1, 2].map((value) => ({ value })) });
  const deleted = await http(`${topic.partition(0)}?before=2`, 'DELETE');
  t.same(deleted.body, { topic: topic.name, partition: 0, logStartOffset: 2, endOffset: 3 });
  t.same(values((await http(`${topic.partition(0)}?offset=earliest`)).body), [2]);
  for (const offset of [0, 1, 4]) {
    t.match(await http(`${topic.partition(0, 'other')}?offset=${offset}`), {
      status: 416,
      body: { code: 'OFFSET_OUT_OF_RANGE', logStartOffset: 2, endOffset: 3 },
    });
  }
  t.equal((await http(`${topic.partition(0)}?before=4`, 'DELETE')).status, 416);
  t.equal((await http(topic.partition(0), 'DELETE')).status, 400);
  t.match((await http(`${topic.partition(0)}?before=latest`, 'DELETE')).body, { logStartOffset: 3, endOffset: 3 });
});

t.test('a fetch as NDJSON has a record a line, and the offsets in headers', async (t) => {
  const topic = await newTopic(t);
  await http(topic.all, 'POST', { records: [{ value: 1 }, { value: 2 }] });
  const { headers, body } = await http(topic.partition(0), 'GET', undefined, { accept: 'application/x-ndjson' });
  t.match(headers.get('content-type'), /^application\/x-ndjson/);
  t.equal(headers.get('weir-next-offset'), '2');
  t.equal(headers.get('weir-end-offset'), '2');
  t.equal(headers.get('weir-log-start-offset'), '0');
  const lines = body
    .trimEnd()
    .split('\n')
    .map((line: string) => JSON.parse(line));
  t.match(lines, [
    { offset: 0, value: 1 },
    { offset: 1, value: 2 },
  ]);
});

t.test('a long poll returns with the next record, through whichever broker it comes', async (t) => {
  const topic = await newTopic(t);
  for (const [reader, writer] of [
    [undefined, undefined],
    [undefined, 'other'],
    ['other', undefined],
  ] as const) {
    const waiting = http(`${topic.partition(0, reader)}?offset=latest&wait=1m`);
    const { broker } = reader ? other : server;
    await eventually(async () => /weir_log_waits 1/.test(await broker.metrics.registry.metrics()), 'the poll waits');
    const began = performance.now();
    await http(topic.partition(0, writer), 'POST', { records: [{ value: writer ?? 'first' }] });
    t.same(values((await waiting).body), [writer ?? 'first']);
    t.ok(performance.now() - began < 30_000, 'long before its time is over');
  }
});

t.test('a poll waits for as many bytes as it asks for, and no longer than it says', async (t) => {
  const topic = await newTopic(t);
  await http(topic.all, 'POST', { records: [{ value: 'x' }] });
  const waiting = http(`${topic.partition(0)}?offset=0&minBytes=100&wait=1m`);
  for (const _ of [1, 2, 3]) await http(topic.all, 'POST', { records: [{ value: 'x' }] });
  t.ok((await waiting).body.records.length >= 3, 'three records of 37 bytes');
  t.same(values((await http(`${topic.partition(0)}?offset=latest&wait=20ms`)).body), []);
  const cut = await http(`${topic.partition(0)}?offset=0&maxRecords=1&minBytes=1000&wait=1m`);
  t.equal(cut.body.records.length, 1, 'what the limits cut does not wait for more');
  t.equal((await http(`${topic.partition(0)}?wait=6m`)).status, 400);
});

t.test('a poll ends when its topic is deleted', async (t) => {
  const topic = await newTopic(t);
  const waiting = http(`${topic.partition(0)}?wait=1m`);
  await eventually(
    async () => /weir_log_waits 1/.test(await server.broker.metrics.registry.metrics()),
    'the poll waits',
  );
  await http(topic.otherTopic, 'DELETE');
  t.match(await waiting, { status: 404, body: { code: 'UNKNOWN_TOPIC' } });
});
