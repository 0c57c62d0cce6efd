// Consumers of the client, over a WebSocket and over HTTP.
import t, { type Test } from 'tap';
import { startFaultyNetwork } from '../../test/helpers/faulty-network.ts';
import { eventually, http, startTestServer } from '../../test/helpers/server.ts';
import type { TopicPartitions, WeirOptions } from '../src/index.ts';
import { startClient, take, values } from './client.ts';

const server = await startTestServer(t);
const { admin } = startClient(t, server.url);
let topics = 0;

/** A new topic; its name is that of its group, too. */
async function newTopic(partitions = 1): Promise<string> {
  topics += 1;
  const name = `consumed-${topics}`;
  await admin.topics.create({ name, partitions });
  return name;
}

const ways: [string, Partial<WeirOptions>][] = [
  ['a socket', {}],
  ['HTTP', { webSocket: null }],
];
for (const [way, options] of ways) t.test(`over ${way}`, (t) => testConsumers(t, options));

async function testConsumers(t: Test, options: Partial<WeirOptions>): Promise<void> {
  const start = (t: Test, url = server.url, more: Partial<WeirOptions> = {}) =>
    startClient(t, url, { ...options, ...more });

  t.test('a consumer commits what its loop has processed, and leaves at the end', async (t) => {
    const topic = await newTopic(3);
    const weir = start(t);
    const producer = weir.producer({ topic });
    await Promise.all(Array.from({ length: 100 }, (_, n) => producer.send({ key: String(n), value: n })));
    const seen = new Set<unknown>();
    const consumer = weir.consumer({ group: topic, topics: [topic], reset: 'earliest' });
    for await (const { records } of consumer) {
      for (const { value } of records) seen.add(value);
      if (seen.size === 100) void consumer.close();
    }
    t.equal(seen.size, 100);
    const { members, partitions } = await admin.groups.describe(topic);
    t.same(members, []);
    t.same(
      partitions.map(({ lag }) => lag),
      [0, 0, 0],
      'also the last batch is committed',
    );
  });

  t.test('two consumers share the partitions, and a hand-over loses and repeats nothing', async (t) => {
    const topic = await newTopic(4);
    const weir = start(t);
    const producer = weir.producer({ topic, linger: 0 });
    const seen: number[] = [];
    const assigned: TopicPartitions[][] = [];
    const revoked: TopicPartitions[][] = [];
    const join = () => {
      const consumer = weir.consumer({
        group: topic,
        topics: [topic],
        reset: 'earliest',
        concurrency: 2,
        maxBuffered: 20,
      });
      const run = consumer.run({ eachRecord: ({ value }) => void seen.push(value as number) });
      return { consumer, run };
    };
    const first = join();
    first.consumer.on('assigned', (partitions) => assigned.push(partitions));
    first.consumer.on('revoking', (partitions) => revoked.push(partitions));
    const send = (from: number) =>
      Promise.all(Array.from({ length: 200 }, (_, n) => producer.send({ key: String(n), value: from + n })));
    await send(0);
    await eventually(() => assigned.length > 0, 'the first has joined');
    const second = join();
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

  t.test('no other member gets a partition while a record of it is processed', async (t) => {
    const topic = await newTopic(2);
    const weir = start(t);
    await weir.producer({ topic }).sendBatch([0, 1].map((partition) => ({ partition, value: partition })));
    const seen: unknown[] = [];
    const join = (eachRecord: (record: { value?: unknown }) => unknown) => {
      const consumer = weir.consumer({ group: topic, topics: [topic], reset: 'earliest', concurrency: 2 });
      const run = consumer.run({ eachRecord });
      return { consumer, run };
    };
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const first = join(({ value }) => {
      seen.push(value);
      return finished;
    });
    await eventually(() => seen.length === 2, 'both records are being processed');
    let isRevoked = false;
    let isAssigned = false;
    first.consumer.on('revoking', () => {
      isRevoked = true;
    });
    const second = join(({ value }) => void seen.push(value));
    second.consumer.on('assigned', (partitions) => {
      isAssigned ||= partitions.length > 0;
    });
    await eventually(() => isRevoked, 'the first is to hand over one of them');
    t.notOk(isAssigned);
    finish();
    await eventually(() => isAssigned, 'the second has it');
    await weir.producer({ topic }).sendBatch([0, 1].map((partition) => ({ partition, value: `later ${partition}` })));
    await eventually(() => seen.includes('later 0') && seen.includes('later 1'), 'both go on');
    await Promise.all([first.consumer.close(), second.consumer.close()]);
    await Promise.all([first.run, second.run]);
    t.same(seen.map(String).sort(), ['0', '1', 'later 0', 'later 1']);
  });

  t.test(
    'a consumer goes on over lost connections, and processes no record twice while it is the member',
    async (t) => {
      const topic = await newTopic(2);
      const network = await startFaultyNetwork(t, server.url);
      const weir = start(t, network.url);
      const producer = start(t).producer({ topic, linger: 0 });
      const seen: number[] = [];
      const consumer = weir.consumer({ group: topic, topics: [topic], reset: 'earliest' });
      const run = consumer.run({ eachRecord: ({ value }) => void seen.push(value as number) });
      for (let round = 0; round < 4; round += 1) {
        await Promise.all(
          Array.from({ length: 50 }, (_, n) => producer.send({ key: String(n), value: round * 50 + n })),
        );
        await eventually(() => seen.length > round * 50, 'it reads');
        network.cut();
      }
      await eventually(() => new Set(seen).size === 200, 'all are processed');
      await consumer.close();
      await run;
      t.equal(seen.length, 200);
    },
  );

  t.test('a handler that throws stops the consumer, and its batch comes again', async (t) => {
    const topic = await newTopic();
    const weir = start(t);
    await weir.producer({ topic }).sendBatch([{ value: 'a' }, { value: 'b' }]);
    const options = { group: topic, topics: [topic], reset: 'earliest' } as const;
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
    const topic = await newTopic();
    const dead = await newTopic();
    const weir = start(t);
    await weir.producer({ topic }).sendBatch([{ value: 1 }, { value: 2, key: 'k' }, { value: 3 }]);
    const seen: unknown[] = [];
    let failures = 0;
    const retrying = weir.consumer({ group: topic, topics: [topic], reset: 'earliest' });
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
    const burying = weir.consumer({ group: `${topic}-bury`, topics: [topic], reset: 'earliest' });
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
    const topic = await newTopic();
    const weir = start(t);
    const producer = weir.producer({ topic });
    await producer.sendBatch(Array.from({ length: 10 }, (_, value) => ({ value })));
    const consumer = weir.consumer({ group: topic, topics: [topic], reset: 'earliest', commit: 'manual' });
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
    const topic = await newTopic();
    const options = { group: topic, topics: [topic], memberId: 'me' };
    const weir = start(t);
    const first = weir.consumer(options).run({ eachBatch: () => {} });
    await eventually(
      async () => (await admin.groups.describe(topic).catch(() => undefined))?.members.length === 1,
      'it has joined',
    );
    const second = weir.consumer(options);
    await t.rejects(first, { code: 'MEMBER_SUPERSEDED' });
    await second.close();
  });

  t.test('a member that was removed joins again, and begins at what is committed', async (t) => {
    const topic = await newTopic();
    let secret = '';
    const weir = start(t, server.url, {
      fetch: (input, init) => {
        secret = (init?.headers as Record<string, string>)['weir-member'] ?? secret;
        return fetch(input, init);
      },
    });
    const consumer = weir.consumer({ group: topic, topics: [topic], reset: 'earliest', memberId: 'removed' });
    let joins = 0;
    consumer.on('assigned', () => {
      joins += 1;
    });
    const batches = consumer[Symbol.asyncIterator]();
    await weir.producer({ topic }).send({ value: 'a' });
    t.same(values((await batches.next()).value!.records), ['a']);
    const removed = `${server.url}/v1/groups/${topic}/members/removed`;
    t.equal((await http(removed, 'DELETE', undefined, { 'weir-member': secret })).status, 204);
    const next = batches.next();
    await eventually(() => joins > 1, 'it joins again');
    await weir.producer({ topic }).send({ value: 'b' });
    const seen = values((await next).value!.records);
    t.same(seen.length > 1 ? seen.slice(1) : values((await batches.next()).value?.records ?? []), ['b']);
    await batches.return();
  });

  t.test('closing ends also where nothing responds any more', async (t) => {
    const topic = await newTopic();
    const network = await startFaultyNetwork(t, server.url);
    const weir = start(t, network.url, { retry: { for: '200ms', minDelay: 10 } });
    await startClient(t, server.url).producer({ topic }).send({ value: 'a' });
    const consumer = weir.consumer({ group: topic, topics: [topic], reset: 'earliest' });
    await consumer.run({
      eachRecord: () => {
        network.block();
        void consumer.close();
      },
    });
    t.match((await admin.groups.describe(topic)).partitions, [{ committed: null }], 'the record comes again');
  });
}

t.test('where no WebSocket opens, all parts of a client use HTTP', async (t) => {
  const topic = await newTopic();
  // As a proxy that knows no WebSockets: it takes the request for another one.
  const webSocket = () => {
    const socket = { onopen: null, onmessage: null, onclose: null, onerror: null, send: () => {}, close: () => {} };
    setImmediate(() => (socket.onclose as unknown as (event: object) => void)({ code: 1006, reason: '' }));
    return socket;
  };
  const weir = startClient(t, server.url, { webSocket });
  const watch = weir.watch('/fallback', { mode: 'recursive' });
  await watch.started;
  await weir.tree.create('/fallback', '', { mode: 'ephemeral' });
  t.match(await watch.next(), { value: { events: [{ type: 'created' }] } });
  await watch.return();
  t.same(await weir.producer({ topic, name: topic }).send({ value: 1 }), { partition: 0, offset: 0 });
  t.same(values(await take(weir.tail(topic, { from: 'earliest' }), 1)), [1]);
  const consumer = weir.consumer({ group: topic, topics: [topic], reset: 'earliest' });
  for await (const { records } of consumer) {
    t.same(values(records), [1]);
    void consumer.close();
  }
  t.match((await admin.groups.describe(topic)).partitions, [{ committed: 1 }]);
  t.match(
    weir.heard.find(({ type }) => type === 'fallback'),
    { reason: /HTTP works/ },
  );
});
