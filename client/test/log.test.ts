// Producers, consumers and tails of the client.
import t from 'tap';
import { startFaultyNetwork } from '../../test/helpers/faulty-network.ts';
import { eventually, startTestServer } from '../../test/helpers/server.ts';
import type { TopicPartitions } from '../src/index.ts';
import { startClient, take } from './client.ts';

const server = await startTestServer(t);
const { admin } = startClient(t, server.url);

/** A new topic. */
async function topicOf(name: string, partitions = 1): Promise<string> {
  await admin.topics.create({ name, partitions });
  return name;
}

const values = (records: { value?: unknown }[]) => records.map(({ value }) => value);

t.test('a producer gathers records, and says where each is', async (t) => {
  const topic = await topicOf('gathered');
  const weir = startClient(t, server.url);
  const producer = weir.producer({ topic });
  const results = await Promise.all(Array.from({ length: 500 }, (_, n) => producer.send({ value: n })));
  t.same(
    results,
    results.map((_, offset) => ({ partition: 0, offset })),
  );
  t.same(await producer.sendBatch([{ value: new Uint8Array([1]), key: 'k', headers: { a: 'b' } }, { key: 'k' }]), [
    { partition: 0, offset: 500 },
    { partition: 0, offset: 501 },
  ]);
  const tail = await take(weir.tail(topic, { from: 'earliest' }), 502);
  t.same(
    tail.slice(0, 500).map(({ value }) => value),
    results.map((_, n) => n),
  );
  t.match(tail[500], { key: 'k', valueBase64: 'AQ==', headers: { a: 'b' }, partition: 0, offset: 500 });
  await producer.close();
  await t.rejects(producer.send({ value: 1 }), { code: 'CLOSED' });
});

t.test('a producer keeps a bounded number of bytes, and says when there is room', async (t) => {
  const topic = await topicOf('bounded');
  const producer = startClient(t, server.url).producer({ topic, maxBufferedBytes: 1000 });
  const first = producer.send({ value: 'x'.repeat(900) });
  await t.rejects(producer.send({ value: 'x'.repeat(900) }), { code: 'BUFFER_FULL', retryable: true });
  await first;
  await producer.ready();
  t.same(await producer.send({ value: 'x'.repeat(900) }), { partition: 0, offset: 1 });
});

for (const name of [undefined, 'exact']) {
  t.test(`records are appended once and in order over lost connections, ${name ? 'named' : 'unnamed'}`, async (t) => {
    const topic = await topicOf(`lost-${name}`);
    const network = await startFaultyNetwork(t, server.url);
    const weir = startClient(t, network.url);
    const producer = weir.producer({ topic, linger: 0, ...(name && { name }) });
    const sent: Promise<unknown>[] = [];
    for (let round = 0; round < 4; round += 1) {
      for (let n = 0; n < 50; n += 1) {
        sent.push(producer.send({ value: sent.length }));
        if (n % 10 === 9) await Promise.race(sent.slice(-5));
      }
      network.cut();
    }
    await Promise.all(sent);
    const records = await take(weir.tail(topic, { from: 'earliest' }), sent.length);
    t.same(
      values(records),
      sent.map((_, n) => n),
    );
    const [{ offset } = { offset: 0 }] = (await admin.topics.offsets(topic)).partitions;
    t.equal(offset, sent.length, 'none twice');
  });
}

t.test('a named producer is fenced by another one of its name', async (t) => {
  const topic = await topicOf('fenced-producer');
  const weir = startClient(t, server.url);
  const [one, two] = [weir.producer({ topic, name: 'same' }), weir.producer({ topic, name: 'same' })];
  await one.send({ value: 1 });
  await two.send({ value: 2 });
  await t.rejects(one.send({ value: 3 }), { code: 'PRODUCER_FENCED' });
  await two.send({ value: 4 });
});

t.test('a batch that is refused does not hold up those behind it', async (t) => {
  const topic = await topicOf('refused');
  await admin.topics.alter(topic, { config: { 'max.message.bytes': 1000 } });
  const producer = startClient(t, server.url).producer({ topic, name: 'refused', linger: 0 });
  const first = producer.sendBatch([{ value: 'a' }]);
  const large = producer.sendBatch([{ value: 'x'.repeat(5000) }]);
  const last = producer.sendBatch([{ value: 'b' }]);
  t.same(await first, [{ partition: 0, offset: 0 }]);
  await t.rejects(large, { code: 'TOO_LARGE' });
  t.same(await last, [{ partition: 0, offset: 1 }]);
});

t.test('a fence refuses a token that is too low', async (t) => {
  const topic = await topicOf('fence');
  const weir = startClient(t, server.url);
  let token = 5;
  const producer = weir.producer({ topic, fence: () => `job=${token}` });
  await producer.send({ value: 1 });
  token = 4;
  await t.rejects(producer.send({ value: 2 }), { code: 'FENCED' });
});

t.test('a consumer commits what its loop has processed, and leaves at the end', async (t) => {
  const topic = await topicOf('loop', 3);
  const weir = startClient(t, server.url);
  const producer = weir.producer({ topic });
  await Promise.all(Array.from({ length: 100 }, (_, n) => producer.send({ key: String(n), value: n })));
  const seen = new Set<unknown>();
  const consumer = weir.consumer({ group: 'loop', topics: [topic], reset: 'earliest' });
  for await (const { records } of consumer) {
    for (const { value } of records) seen.add(value);
    if (seen.size === 100) void consumer.close();
  }
  t.equal(seen.size, 100);
  const { members, partitions } = await admin.groups.describe('loop');
  t.same(members, []);
  t.same(
    partitions.map(({ lag }) => lag),
    [0, 0, 0],
    'also the last batch is committed',
  );
});

t.test('two consumers share the partitions, and a hand-over loses and repeats nothing', async (t) => {
  const topic = await topicOf('shared', 4);
  const weir = startClient(t, server.url);
  const producer = weir.producer({ topic, linger: 0 });
  const seen: number[] = [];
  const assigned: TopicPartitions[][] = [];
  const revoked: TopicPartitions[][] = [];
  const start = () => {
    const consumer = weir.consumer({
      group: 'shared',
      topics: [topic],
      reset: 'earliest',
      concurrency: 2,
      maxBuffered: 20,
    });
    const run = consumer.run({ eachRecord: ({ value }) => void seen.push(value as number) });
    return { consumer, run };
  };
  const first = start();
  first.consumer.on('assigned', (partitions) => assigned.push(partitions));
  first.consumer.on('revoking', (partitions) => revoked.push(partitions));
  const send = (from: number) =>
    Promise.all(Array.from({ length: 200 }, (_, n) => producer.send({ key: String(n), value: from + n })));
  await send(0);
  await eventually(() => assigned.length > 0, 'the first has joined');
  const second = start();
  await send(200);
  await eventually(() => revoked.length > 0, 'it hands over partitions');
  await send(400);
  await eventually(() => seen.length >= 600, 'all are processed');
  await Promise.all([first.consumer.close(), second.consumer.close()]);
  await Promise.all([first.run, second.run]);
  t.same(
    seen.sort((a, b) => a - b),
    Array.from({ length: 600 }, (_, n) => n),
  );
});

t.test('a consumer goes on over lost connections, and processes no record twice while it is the member', async (t) => {
  const topic = await topicOf('cut', 2);
  const network = await startFaultyNetwork(t, server.url);
  const weir = startClient(t, network.url);
  const producer = startClient(t, server.url).producer({ topic, linger: 0 });
  const seen: number[] = [];
  const consumer = weir.consumer({ group: 'cut', topics: [topic], reset: 'earliest' });
  const run = consumer.run({ eachRecord: ({ value }) => void seen.push(value as number) });
  for (let round = 0; round < 4; round += 1) {
    await Promise.all(Array.from({ length: 50 }, (_, n) => producer.send({ key: String(n), value: round * 50 + n })));
    await eventually(() => seen.length > round * 50, 'it reads');
    network.cut();
  }
  await eventually(() => new Set(seen).size === 200, 'all are processed');
  await consumer.close();
  await run;
  t.equal(seen.length, 200);
});

t.test('a handler that throws stops the consumer, and its batch comes again', async (t) => {
  const topic = await topicOf('throws');
  const weir = startClient(t, server.url);
  await weir.producer({ topic }).sendBatch([{ value: 'a' }, { value: 'b' }]);
  const options = { group: 'throws', topics: [topic], reset: 'earliest' } as const;
  const failing = weir.consumer(options).run({
    eachBatch: () => {
      throw new Error('no');
    },
  });
  await t.rejects(failing, { message: 'no' });
  for await (const batch of weir.consumer(options)) {
    t.same(values(batch.records), ['a', 'b']);
    break;
  }
});

t.test('with onError a record is tried again, or goes to another topic', async (t) => {
  const topic = await topicOf('errors');
  const dead = await topicOf('errors-dead');
  const weir = startClient(t, server.url);
  await weir.producer({ topic }).sendBatch([{ value: 1 }, { value: 2, key: 'k' }, { value: 3 }]);
  const seen: unknown[] = [];
  let failures = 0;
  const retrying = weir.consumer({ group: 'retry', topics: [topic], reset: 'earliest' });
  const retried = retrying.run({
    onError: 'retry',
    eachRecord: ({ value }) => {
      if (value === 2) failures += 1;
      if (value === 2 && failures < 3) throw new Error('not yet');
      seen.push(value);
      if (value === 3) void retrying.close();
    },
  });
  await retried;
  t.same(seen, [1, 2, 3]);
  const burying = weir.consumer({ group: 'bury', topics: [topic], reset: 'earliest' });
  await burying.run({
    onError: { deadLetter: dead },
    eachRecord: ({ value }) => {
      if (value === 2) throw new Error('bad record');
      if (value === 3) void burying.close();
    },
  });
  const [buried] = await take(weir.tail(dead, { from: 'earliest' }), 1);
  t.match(buried, {
    value: 2,
    key: 'k',
    headers: { 'weir-topic': topic, 'weir-offset': '1', 'weir-error': /bad record/ },
  });
});

t.test('commits by hand, lag, seek and pause', async (t) => {
  const topic = await topicOf('manual');
  const weir = startClient(t, server.url);
  const producer = weir.producer({ topic });
  await producer.sendBatch(Array.from({ length: 10 }, (_, value) => ({ value })));
  const consumer = weir.consumer({ group: 'manual', topics: [topic], reset: 'earliest', commit: 'manual' });
  const batches = consumer[Symbol.asyncIterator]();
  const { value: batch } = await batches.next();
  t.equal(batch!.records.length, 10);
  t.equal(await consumer.lag(), 10);
  await batch!.commit();
  t.equal(await consumer.lag(), 0);
  await consumer.seek(topic, 0, 7);
  t.same(values((await batches.next()).value!.records), [7, 8, 9]);
  consumer.pause();
  await producer.send({ value: 10 });
  const next = batches.next();
  t.equal(
    await Promise.race([next, eventually(async () => (await consumer.lag()) > 0, 'it waits').then(() => 'paused')]),
    'paused',
  );
  consumer.resume();
  t.same(values((await next).value!.records), [10]);
  await batches.return();
});

t.test('a member whose id is taken by another one fails', async (t) => {
  const topic = await topicOf('taken');
  const options = { group: 'taken', topics: [topic], memberId: 'me' };
  const weir = startClient(t, server.url);
  const first = weir.consumer(options).run({ eachBatch: () => {} });
  await eventually(
    async () => (await admin.groups.describe('taken').catch(() => undefined))?.members.length === 1,
    'it has joined',
  );
  const second = weir.consumer(options);
  await t.rejects(first, { code: 'MEMBER_SUPERSEDED' });
  await second.close();
});

t.test('a tail goes on behind what it has read, and ends with its signal', async (t) => {
  const topic = await topicOf('tail', 2);
  const network = await startFaultyNetwork(t, server.url);
  const weir = startClient(t, network.url);
  const producer = startClient(t, server.url).producer({ topic, linger: 0 });
  const controller = new AbortController();
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const { value } of weir.tail(topic, { from: 'earliest', signal: controller.signal })) seen.push(value);
  })();
  for (let n = 0; n < 60; n += 1) {
    await producer.send({ value: n, partition: n % 2 });
    if (n % 20 === 10) {
      await eventually(() => seen.length > n - 5, 'it reads');
      network.cut();
    }
  }
  await eventually(() => seen.length >= 60, 'all are read');
  controller.abort();
  await reading;
  t.same(
    seen.map(Number).sort((a, b) => a - b),
    Array.from({ length: 60 }, (_, n) => n),
    'none twice',
  );
  await t.rejects(weir.tail('no-such-topic').next(), { code: 'UNKNOWN_TOPIC' });
});

t.test('administration', async (t) => {
  const topic = await topicOf('admin');
  t.match(await admin.topics.describe(topic), { name: topic, partitions: [{ partition: 0 }] });
  t.ok((await admin.topics.list()).topics.some(({ name }) => name === topic));
  t.match(await admin.elections.elect(topic), { topic, partitions: [{ partition: 0 }] });
  t.match(await admin.cluster(), { brokers: [{}] });
  t.match(await admin.access.me(), { identity: null });
  t.same((await admin.partitions.fences({ topic, partition: 0 })).fences, []);
  await startClient(t, server.url)
    .producer({ topic })
    .sendBatch([{ value: 1 }, { value: 2 }]);
  t.match(await admin.partitions.deleteRecords({ topic, partition: 0 }, 1), { logStartOffset: 1 });
  t.type((await admin.groups.list()).groups, Array);
  await admin.topics.delete(topic);
  await t.rejects(admin.topics.describe(topic), { code: 'UNKNOWN_TOPIC', status: 404 });
});
