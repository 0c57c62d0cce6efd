// Produce requests of one origin that are sent without waiting for responses keep their order in each partition, whatever steps
// they take.
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { parseLines, type RequestRecords } from '../../../src/core/records/record-input.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { partitionKeys } from '../../../src/store/keys.ts';
import type { Fence } from '../../../src/store/log/logs.ts';
import { chooseSeed, randomOf } from '../../helpers/random.ts';
import { eventually, http, startTestServer, testConfig } from '../../helpers/server.ts';

const partitions = 3;
const server = await startTestServer(t);
const { broker, url } = server;
const { logWriter, store } = broker;

let topicsMade = 0;
async function newTopic(): Promise<string> {
  topicsMade += 1;
  const name = `ordered-${topicsMade}`;
  t.equal((await http(`${url}/v1/topics`, 'POST', { name, partitions })).status, 201);
  return name;
}

/** Records with the same value for some partitions. */
const recordsOf = (value: number, ...places: number[]): RequestRecords => ({
  kind: 'separate',
  records: parseLines(Buffer.from(places.map((partition) => JSON.stringify({ partition, value })).join('\n')), 1)
    .records,
});

async function valuesIn(topic: string, partition: number): Promise<number[]> {
  const { body } = await http(
    `${url}/v1/topics/${topic}/partitions/${partition}/records?offset=earliest&maxRecords=10000`,
  );
  return body.records.map(({ value }: { value: number }) => value);
}

const ascending = (values: number[]) => values.toSorted((a, b) => a - b);

async function newProducer(name: string): Promise<{ id: string; epoch: number }> {
  return (await http(`${url}/v1/producers`, 'POST', { name })).body;
}

t.test('whatever they carry: a fence, an Idempotency-Key, or nothing', async (t) => {
  const seed = chooseSeed();
  t.comment(`WEIR_TEST_SEED=${seed}`);
  const random = randomOf(seed);
  const topic = await newTopic();
  await store.namespace.write([{ op: 'create', path: '/lock' }]);
  const { czxid } = (await store.namespace.stat('/lock')).stat;
  const stat = store.namespace.stat.bind(store.namespace);
  const append = store.logs.append.bind(store.logs);
  store.namespace.stat = async (...args) => {
    const found = await stat(...args);
    await delay(random.below(4));
    return found;
  };
  store.logs.append = async (...args) => {
    await delay(random.below(4));
    return append(...args);
  };
  t.teardown(() => Object.assign(store.namespace, { stat }) && Object.assign(store.logs, { append }));
  const origin = { isDead: false };
  const sent = new Map<number, number[]>([0, 1, 2].map((partition) => [partition, []]));
  const results: Promise<unknown>[] = [];
  for (let value = 0; value < 150; value += 1) {
    const places = [0, 1, 2].filter(() => random.chance(0.5));
    if (places.length === 0) places.push(random.below(partitions));
    for (const place of places) sent.get(place)!.push(value);
    const fence: Fence = { name: '/lock', token: czxid, node: '/lock' };
    results.push(
      logWriter.produce({
        topic,
        origin,
        acks: '1',
        records: recordsOf(value, ...places),
        ...(random.chance(0.3) && { fence }),
        ...(random.chance(0.3) && { deduplicationKey: { kind: 'key', key: `key-${value}`, fingerprint: 'x' } }),
      }),
    );
    if (random.chance(0.1)) await delay(random.below(3));
  }
  await Promise.all(results);
  for (const [partition, values] of sent) t.same(await valuesIn(topic, partition), values, `partition ${partition}`);
});

t.test('of a named producer, also the first ones that a log sees', async (t) => {
  const topic = await newTopic();
  const origin = { isDead: false };
  const producer = await newProducer('pipelined');
  const { producers } = store;
  const registerLog = producers.registerLog.bind(producers);
  // The second of the requests that found no producer would be done before the first.
  const delays = [20, 0, 10];
  producers.registerLog = async (...args) => {
    await delay(delays.shift() ?? 0);
    return registerLog(...args);
  };
  t.teardown(() => Object.assign(producers, { registerLog }));
  const produce = (sequence: number) =>
    logWriter.produce({
      topic,
      origin,
      acks: '1',
      records: recordsOf(sequence, 0, 1, 2),
      deduplicationKey: { kind: 'producer', ...producer, sequence, actsAs: undefined },
    });
  const sent: ReturnType<typeof produce>[] = [];
  for (let sequence = 0; sequence < 60; sequence += 1) {
    sent.push(produce(sequence));
    if (sequence % 20 === 5) await delay(5);
  }
  const results = await Promise.all(sent);
  t.notOk(results.some(({ replayed }) => replayed));
  for (const partition of [0, 1, 2]) {
    const values = await valuesIn(topic, partition);
    t.same(values, ascending(values));
    t.equal(values.length, 60);
  }
});

t.test('a request that is refused stops nothing behind it', async (t) => {
  const topic = await newTopic();
  const origin = { isDead: false };
  const produce = (value: number, fence?: Fence) =>
    logWriter.produce({ topic, origin, acks: '1', records: recordsOf(value, 0), fence });
  const outcomes = await Promise.allSettled([
    produce(1, { name: 'job', token: 2 }),
    produce(2, { name: 'job', token: 1 }),
    produce(3, { name: '/gone', token: 1, node: '/gone' }),
    produce(4),
  ]);
  t.match(outcomes, [
    { status: 'fulfilled' },
    { reason: { code: 'FENCED' } },
    { reason: { code: 'FENCED' } },
    { status: 'fulfilled' },
  ]);
  t.same(await valuesIn(topic, 0), [1, 4]);
});

t.test('when the log was lost, and is created again', async (t) => {
  const topic = await newTopic();
  const origin = { isDead: false };
  const produce = (value: number) => logWriter.produce({ topic, origin, acks: '1', records: recordsOf(value, 0) });
  await produce(0);
  const { topicId } = await broker.topics.get(topic);
  const keys = partitionKeys(testConfig.prefix, topicId, 0);
  const { client } = await store.connection.connectionOf(keys.partition);
  await client.del(keys.partition, keys.log);
  const results: Promise<unknown>[] = [];
  const values = Array.from({ length: 60 }, (_, i) => i + 1);
  for (const value of values) {
    results.push(produce(value));
    if (value % 10 === 0) await delay(1);
  }
  await Promise.all(results);
  t.same(await valuesIn(topic, 0), values);
});

t.test('when the topic was created again, and some requests still go to the old one first', async (t) => {
  const topic = await newTopic();
  const old = await broker.topics.get(topic);
  t.equal((await http(`${url}/v1/topics/${topic}`, 'DELETE')).status, 204);
  t.equal((await http(`${url}/v1/topics`, 'POST', { name: topic, partitions })).status, 201);
  const origin = { isDead: false };
  const values = Array.from({ length: 60 }, (_, i) => i + 1);
  await Promise.all(
    values.map((value) => {
      const request = { topic, origin, acks: '1' as const, records: recordsOf(value, value % 2, 2) };
      return logWriter.produce(request, value <= 20 ? old : undefined);
    }),
  );
  t.same(await valuesIn(topic, 2), values);
  t.same(
    await valuesIn(topic, 0),
    values.filter((value) => value % 2 === 0),
  );
});

t.test('what waits is dropped when the origin is dead, and requests of others go on', async (t) => {
  const topic = await newTopic();
  const origin = { isDead: false };
  const other = { isDead: false };
  const append = store.logs.append.bind(store.logs);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let hasBegun = false;
  store.logs.append = async (...args) => {
    hasBegun = true;
    await released;
    return append(...args);
  };
  t.teardown(() => Object.assign(store.logs, { append }));
  const produce = (value: number, from?: { isDead: boolean }) =>
    logWriter.produce({ topic, origin: from, acks: '1', records: recordsOf(value, 0) });
  const first = produce(1, origin);
  // The append of the first is on its way when the others come.
  await eventually(() => hasBegun, 'the first is sent');
  const behind = [produce(2, origin), produce(3, other), produce(4), produce(5, origin)];
  await delay(1);
  origin.isDead = true;
  release();
  t.match(await first, { results: [{ baseOffset: 0 }] });
  t.match(await Promise.allSettled(behind), [
    { reason: { code: 'STORE_UNAVAILABLE', message: /not sent to the store; nothing was done/ } },
    { status: 'fulfilled' },
    { status: 'fulfilled' },
    { reason: { code: 'STORE_UNAVAILABLE' } },
  ]);
  t.same(ascending(await valuesIn(topic, 0)), [1, 3, 4]);
});

t.test('nothing is sent behind a request whose fate is unknown', async (t) => {
  const topic = await newTopic();
  const origin = { isDead: false };
  const append = store.logs.append.bind(store.logs);
  let calls = 0;
  store.logs.append = async (...args) => {
    calls += 1;
    if (calls > 1) return append(...args);
    await delay(5);
    throw new ServiceError('STORE_UNAVAILABLE', 'The store did not reply.');
  };
  t.teardown(() => Object.assign(store.logs, { append }));
  const produce = (value: number, ...places: number[]) =>
    logWriter.produce({
      topic,
      origin,
      acks: '1',
      records: recordsOf(value, ...places),
      deduplicationKey: { kind: 'key', key: `fate-${value}`, fingerprint: 'x' },
    });
  // Each goes to its home partition first, and those behind wait for it.
  const outcomes = await Promise.allSettled([1, 2, 3].map((value) => produce(value, 0, 1, 2)));
  t.match(outcomes, Array(3).fill({ reason: { code: 'STORE_UNAVAILABLE' } }));
  t.equal(calls, 1);
  for (const partition of [0, 1, 2]) t.same(await valuesIn(topic, partition), []);
});

t.test('requests of an origin that are not acknowledged keep their order, too', async (t) => {
  const topic = await newTopic();
  const origin = { isDead: false };
  const count = 40;
  for (let value = 0; value < count; value += 1) {
    const deduplicationKey =
      value % 3 === 0 ? { kind: 'key' as const, key: `un-${value}`, fingerprint: 'x' } : undefined;
    await logWriter.produce({ topic, origin, acks: '0', records: recordsOf(value, 0, 1, 2), deduplicationKey });
  }
  await eventually(async () => (await valuesIn(topic, 2)).length === count, 'all are appended');
  for (const partition of [0, 1, 2]) {
    await eventually(async () => (await valuesIn(topic, partition)).length === count, 'all are appended');
    const values = await valuesIn(topic, partition);
    t.same(values, ascending(values));
  }
});
