// Timestamps of records: how far from now they may be, and that one odd record neither holds up retention nor is its victim.
import t from 'tap';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const { url, broker } = await startTestServer(t);
const now = Date.now();
const day = 24 * 3_600_000;
let topics = 0;

async function newTopic(config: Record<string, unknown> = {}, partitions = 1) {
  topics += 1;
  const { status, body } = await http(`${url}/v1/topics`, 'POST', { name: `t${topics}`, partitions, config });
  t.equal(status, 201);
  const topic = `${url}/v1/topics/t${topics}`;
  const send = (...records: object[]) => http(`${topic}/records`, 'POST', { records });
  const end = async () => (await http(topic)).body.partitions.map((each: { endOffset: number }) => each.endOffset);
  return { topic, topicId: body.topicId as string, send, end };
}

t.test('timestamps in another unit are refused with what they probably are', async (t) => {
  const { send, end } = await newTopic({}, 2);
  const seconds = Math.floor(now / 1000);
  const cases: [number, RegExp][] = [
    [now * 1000, new RegExp(`microseconds: in milliseconds it is ${now}`)],
    [9_007_199_254_740_991, /9007199254740991, more than 3600000 ms \(message\.timestamp\.after\.max\.ms\)/],
    [seconds, new RegExp(`in seconds, send ${seconds}000`)],
    [0, /before March 1973/],
    [now + 2 * 3_600_000, /after the time of the service/],
  ];
  for (const [timestamp, detail] of cases) {
    // The other partition's record is good: it is not written either.
    const refused = await send({ value: 1, partition: 0 }, { value: 2, partition: 1, timestamp });
    t.match(refused, { status: 400, body: { code: 'BAD_REQUEST', detail } });
    t.match(refused.body.detail, /^records\.1\b/, 'it says which record');
  }
  t.same(await end(), [0, 0], 'nothing was written');
  for (const timestamp of [100_000_000_000, now - 20 * 365 * day, now, now + 1_800_000]) {
    t.equal(
      (await send({ value: 1, timestamp })).status,
      200,
      `${timestamp}: backfill is legal, and a clock may be ahead`,
    );
  }
});

t.test('a topic says how far timestamps may be from now', async (t) => {
  const narrow = await newTopic({ 'message.timestamp.before.max.ms': 60_000, 'message.timestamp.after.max.ms': 1000 });
  t.match(await narrow.send({ timestamp: now - day }), { status: 400, body: { detail: /before\.max\.ms/ } });
  t.match(await narrow.send({ timestamp: now + day }), { status: 400, body: { detail: /after\.max\.ms/ } });
  t.equal((await narrow.send({ timestamp: Date.now() })).status, 200);
  // Kafka's "no limit".
  const any = await newTopic({
    'message.timestamp.before.max.ms': Number.MAX_SAFE_INTEGER,
    'message.timestamp.after.max.ms': '9223372036854775807',
    'retention.ms': -1,
  });
  t.match((await http(any.topic)).body.config, { 'message.timestamp.after.max.ms': -1 });
  for (const timestamp of [0, 1_700_000_000, now * 1000]) t.equal((await any.send({ timestamp })).status, 200);
  const byLog = await newTopic({ 'message.timestamp.type': 'LogAppendTime' });
  t.equal((await byLog.send({ timestamp: now * 1000 })).status, 200, "the log's time holds, whatever the record says");
  const wrong = await http(`${url}/v1/topics`, 'POST', { name: 'w', config: { 'message.timestamp.after.max.ms': -2 } });
  t.match(wrong, { status: 422, body: { code: 'INVALID_CONFIG' } });
});

t.test(
  'a stream of lines and a named producer are held to it, too, and what is refused uses no sequence',
  async (t) => {
    const { topic, end } = await newTopic();
    const line = `${JSON.stringify({ value: 1, timestamp: now * 1000 })}\n`;
    const lines = await http(`${topic}/records`, 'POST', line, { 'content-type': 'application/x-ndjson' });
    t.match(lines, { status: 400, body: { detail: /microseconds/ } });
    const { body: producer } = await http(`${url}/v1/producers`, 'POST', { name: 'timed' });
    const send = (timestamp: number) => {
      const body = { records: [{ value: 1, timestamp }], producer: { ...producer, sequence: 0 } };
      return http(`${topic}/records`, 'POST', body);
    };
    t.equal((await send(now * 1000)).status, 400);
    t.same(await end(), [0]);
    t.equal((await send(now)).status, 200);
  },
);

t.test('a batch of an older version with an odd timestamp is as old as its append', async (t) => {
  const { topicId } = await newTopic({ 'retention.ms': -1 });
  const { logs, logMaintenance: logKeeping } = broker.store;
  const stored = (timestamp: number) => ({
    count: 1,
    records: Buffer.from(`{"timestamp":${timestamp},"value":1}`),
    maxTimestamp: timestamp,
    hasAllTimestamps: true,
  });
  // Nothing checks them here: as they were appended before there were bounds.
  const odd = [now * 1000, Math.floor(now / 1000), now + 10 * day];
  await logs.append(topicId, 0, [...odd, now - day].map(stored));
  const limits = {
    retentionMs: 3_600_000,
    retentionBytes: -1,
    timestampAfterMsMax: 3_600_000,
    takesOldTimestamps: false,
  };
  const { logStartOffset, dueInMs } = await logKeeping.retain(topicId, 0, 1e9, limits);
  t.equal(logStartOffset, 0, 'the one in seconds does not go at once');
  t.ok(dueInMs! > 0 && dueInMs! <= 3_600_001, 'and the one in microseconds goes in time');
});

t.test('retention goes on behind a record whose timestamp is in microseconds', async (t) => {
  const { topic, topicId } = await newTopic({ 'retention.ms': 500 });
  const record = { count: 1, hasAllTimestamps: true };
  await broker.store.logs.append(topicId, 0, [
    { ...record, records: Buffer.from(`{"timestamp":${now * 1000}}`), maxTimestamp: now * 1000 },
    { ...record, records: Buffer.from(`{"timestamp":${now}}`), maxTimestamp: now },
  ]);
  await eventually(async () => (await http(topic)).body.partitions[0].logStartOffset === 2, 'all of it goes');
  t.pass();
});
