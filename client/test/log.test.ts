// Producers and tails of the client.
import t from 'tap';
import { startFaultyNetwork } from '../../test/helpers/faulty-network.ts';
import { eventually, startTestServer } from '../../test/helpers/server.ts';
import { startClient, take, values } from './client.ts';

const server = await startTestServer(t);
const { admin } = startClient(t, server.url);

/** A new topic. */
async function topicOf(name: string, partitions = 1): Promise<string> {
  await admin.topics.create({ name, partitions });
  return name;
}

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
