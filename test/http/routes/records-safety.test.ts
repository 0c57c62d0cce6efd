import t from 'tap';
import { eventually, http } from '../../helpers/server.ts';
import { startTestBrokers, values } from '../../helpers/topics.ts';

const { newTopic } = await startTestBrokers(t);

t.test('a retry with the same Idempotency-Key gets the first response, through any broker', async (t) => {
  const topic = await newTopic(t, { partitions: 4 });
  const key = { 'idempotency-key': 'retry-1' };
  const bodies = [
    { records: [{ value: 1 }, { value: 2 }] },
    { records: Array.from({ length: 12 }, (_, i) => ({ key: `k${i}`, value: i })) },
  ];
  for (const [index, body] of bodies.entries()) {
    const headers = { 'idempotency-key': `retry-${index}` };
    const first = await http(topic.all, 'POST', body, headers);
    t.equal(first.headers.get('idempotency-replayed'), null);
    const again = await http(topic.otherAll, 'POST', body, headers);
    t.equal(again.headers.get('idempotency-replayed'), 'true');
    t.same(again.body, first.body);
  }
  const ends = (await http(`${topic.topic}/offsets`)).body.partitions.map(({ offset }: { offset: number }) => offset);
  t.equal(
    ends.reduce((a: number, b: number) => a + b),
    14,
    'each record is there once',
  );
  for (const partition of [0, 1, 2, 3]) {
    const changed = await http(topic.all, 'POST', { records: [{ value: 3, partition }] }, key);
    t.match(changed, { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } }, `also in partition ${partition}`);
  }
});

t.test('of many retries at once each record is appended once', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  const body = { records: Array.from({ length: 9 }, (_, i) => ({ value: i, partition: i % 3 })) };
  const responses = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      http(i % 2 ? topic.all : topic.otherAll, 'POST', body, { 'idempotency-key': 'many' }),
    ),
  );
  for (const response of responses) t.same(response.body, responses[0]!.body);
  t.match((await http(`${topic.topic}/offsets`)).body.partitions, [{ offset: 3 }, { offset: 3 }, { offset: 3 }]);
});

t.test('a fence refuses whoever has an older token', async (t) => {
  const topic = await newTopic(t);
  const produce = (fence: string) => http(topic.all, 'POST', { records: [{ value: fence }] }, { 'weir-fence': fence });
  t.equal((await produce('lock=7')).status, 200);
  t.equal((await produce('lock=8')).status, 200);
  t.match(await produce('lock=7'), {
    status: 409,
    body: { code: 'FENCED', fence: 'lock', token: 8, retryable: false },
  });
  t.equal((await produce('other=1')).status, 200);
  for (const bad of ['lock', '=1', 'lock=-1', 'lock=1.5', 'lock=99999999999999999', 'lock=9999999999999999']) {
    t.match(await produce(bad), { status: 400, body: { code: 'BAD_REQUEST' } }, bad);
  }
  t.same(values((await http(topic.partition(0))).body), ['lock=7', 'lock=8', 'other=1']);
});

t.test('what fails in one partition tells what is in the others', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  await http(topic.partition(1), 'POST', { records: [{ value: 0 }] }, { 'weir-fence': 'f=9' });
  const { status, body } = await http(
    topic.all,
    'POST',
    {
      records: [
        { partition: 0, value: 1 },
        { partition: 1, value: 1 },
      ],
    },
    { 'weir-fence': 'f=3' },
  );
  t.equal(status, 409);
  t.match(body, { code: 'FENCED', results: [{ partition: 0, baseOffset: 0, count: 1 }] });
});

t.test('what is too large is refused, and nothing of it is written', async (t) => {
  const topic = await newTopic(t, { partitions: 2, config: { 'max.message.bytes': 100 } });
  const response = await http(topic.all, 'POST', {
    records: [
      { partition: 0, value: 'a' },
      { partition: 1, value: 'é'.repeat(50) },
    ],
  });
  t.match(response, { status: 413, body: { code: 'TOO_LARGE', partition: 1, maxBytes: 100 } });
  t.match((await http(`${topic.topic}/offsets`)).body.partitions, [{ offset: 0 }, { offset: 0 }]);
  await http(topic.topic, 'PATCH', { config: { 'max.message.bytes': 1000 } });
  t.equal((await http(topic.otherAll, 'POST', { records: [{ value: 'é'.repeat(50) }] })).status, 200);
  const huge = await http(topic.all, 'POST', 'x'.repeat(17 * 1024 * 1024), { 'content-type': 'text/plain' });
  t.match(huge, { status: 413, body: { code: 'TOO_LARGE' } });
});

t.test('acks=0 does not wait, acks=all waits for the replicas that the topic asks for', async (t) => {
  const topic = await newTopic(t);
  const sent = await http(`${topic.all}?acks=0`, 'POST', { records: [{ value: 0 }] });
  t.same(sent.body, { topic: topic.name, results: [{ partition: 0, count: 1 }] });
  await eventually(async () => (await http(topic.partition(0))).body.endOffset === 1, 'the record');
  t.equal((await http(`${topic.all}?acks=all`, 'POST', { records: [{ value: 1 }] })).status, 200);
  await http(topic.topic, 'PATCH', { config: { 'min.insync.replicas': 2 } });
  t.match(await http(`${topic.all}?acks=all`, 'POST', { records: [{ value: 2 }] }), {
    status: 503,
    body: { code: 'NOT_ENOUGH_REPLICAS', needed: 1, replicas: 0, retryable: true },
  });
  t.equal((await http(`${topic.all}?acks=1`, 'POST', { records: [{ value: 2 }] })).status, 200);
  t.equal((await http(topic.partition(0))).body.endOffset, 3);
  t.equal((await http(`${topic.all}?acks=2`, 'POST', { records: [{ value: 2 }] })).status, 400);
});
