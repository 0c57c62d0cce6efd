// Retention and compaction by a broker over time. Which records they remove is tested in test/store/log/log-maintenance and
// test/broker/log/log-compactor.
import t from 'tap';
import { eventually, http, startTestServer } from '../../helpers/server.ts';
import { startTestBrokers, values } from '../../helpers/topics.ts';

t.test('retention keeps up with many small batches', async (t) => {
  const { url, broker } = await startTestServer(t);
  const { body: topic } = await http(`${url}/v1/topics`, 'POST', { name: 'busy', config: { 'retention.bytes': 20 } });
  const { logs } = broker.store;
  const batch = { count: 1, records: Buffer.from('{"value":1}'), maxTimestamp: undefined, hasAllTimestamps: false };
  const batches = 15_000;
  for (let i = 0; i < batches; i += 500)
    await logs.append(
      topic.topicId,
      0,
      Array.from({ length: 500 }, () => batch),
    );
  const bounds = async () => (await logs.bounds([{ topicId: topic.topicId, partition: 0 }]))[0]!;
  await eventually(async () => (await bounds()).bytes < 40, 'the records over the limit are removed', 20_000);
  t.match(await bounds(), { logStartOffset: batches - 2, endOffset: batches, bytes: 22 });
});

t.test('old records are removed without further appends, and a changed limit applies at once', async (t) => {
  const { server, newTopic } = await startTestBrokers(t);
  const topic = await newTopic(t, { partitions: 3, config: { 'retention.ms': 300 } });
  const other = await newTopic(t);
  for (const partition of [0, 1, 2])
    await http(topic.partition(partition), 'POST', { records: [{ value: partition }] });
  await http(other.all, 'POST', { records: [{ value: 'old' }] });
  const starts = async ({ name }: { name: string }) =>
    (await http(`${server.url}/v1/topics/${name}/offsets?at=earliest`)).body.partitions.map((one: any) => one.offset);
  await eventually(
    async () => (await starts(topic)).join() === '1,1,1',
    'all three logs have removed their old records',
  );
  t.same(await starts(other), [0]);
  await http(other.topic, 'PATCH', { config: { 'retention.ms': 1 } });
  await eventually(
    async () => (await starts(other)).join() === '1',
    'the other topic has removed its old records, too',
  );
});

t.test('a compacted topic keeps the newest record of each key, and readers skip removed records', async (t) => {
  const { newTopic, server } = await startTestBrokers(t);
  const config = { 'cleanup.policy': 'compact', 'delete.retention.ms': 0, 'retention.bytes': 0, 'retention.ms': 0 };
  const topic = await newTopic(t, { config });
  const records = [
    { key: 'a', value: 1 },
    { key: 'b', value: 2 },
    { key: 'a', value: 3 },
    { key: 'gone', value: 4 },
    { key: 'c', value: 5 },
  ];
  for (const record of records) await http(topic.all, 'POST', { records: [record] });
  await http(topic.all, 'POST', { records: [{ key: 'gone' }, { key: 'last' }] });
  const read = async (query: string) => (await http(`${topic.partition(0, 'other')}?${query}`)).body;
  await eventually(
    async () => (await read('offset=0')).records.length === 3,
    'superseded records and tombstones are removed',
    30_000,
  );

  const all = await read('offset=0');
  t.same(values(all), [2, 3, 5]);
  t.same(
    all.records.map(({ offset }: { offset: number }) => offset),
    [1, 2, 4],
  );
  t.match(all, { nextOffset: 7, logStartOffset: 0, endOffset: 7 });
  t.match(await read('offset=0&maxRecords=1'), { records: [{ offset: 1 }], nextOffset: 2 });
  t.match(await read('offset=3'), { records: [{ offset: 4 }], nextOffset: 7 });
  t.same(await read('offset=5&wait=10ms'), { ...all, records: [] }, 'no record is left from that offset on');
  t.match((await http(topic.all, 'POST', { records: [{ key: 'b', value: 6 }] })).body, {
    results: [{ baseOffset: 7 }],
  });
  t.match(await read('offset=5&wait=1m'), { records: [{ offset: 7, value: 6 }], nextOffset: 8 });
  t.equal((await http(topic.all, 'POST', { records: [{ value: 'without a key' }] })).status, 400);
  t.match(await server.broker.metrics.registry.metrics(), /weir_records_compacted_total/);
});
