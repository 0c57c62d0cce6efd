import { connect } from 'node:net';
import { EventSource } from 'eventsource';
import t, { type Test } from 'tap';
import { topicTailEvent } from '../../../schemas/topic-tail.ts';
import { openEventStream, type StreamMessage } from '../../helpers/event-stream.ts';
import { eventually, http, metric, startTestServer, type TestServer } from '../../helpers/server.ts';
import { startTestBrokers, type TestTopic } from '../../helpers/topics.ts';

const brokers = await startTestBrokers(t);
const { server, other, newTopic } = brokers;

const produce = async (url: string, ...values: unknown[]) =>
  http(url, 'POST', { records: values.map((value) => ({ value })) });
const isRecords = ({ data }: StreamMessage) => data.type === 'records';
/** [partition, offset, value] of all records in messages. */
const recordsOf = (messages: StreamMessage[]): [number, number, any][] =>
  messages
    .filter(isRecords)
    .flatMap(({ data }) => data.records.map((record: any) => [data.partition, record.offset, record.value]));
const hasValue = (value: unknown) => (message: StreamMessage) =>
  isRecords(message) && message.data.records.some((record: any) => record.value === value);
const openOn = (on: TestServer) => metric(on, 'weir_topic_tails_open{kind="sse"}');

t.test('a stream begins with its position, and has the records of all partitions as they come', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  await produce(topic.partition(0), 'before');
  const stream = await openEventStream(t, `${topic.topic}/stream`);
  t.equal(stream.response.status, 200);
  t.match(stream.response.headers.get('content-type'), /^text\/event-stream/);
  const first = await stream.message(() => true, 'the first message');
  t.match(first, { data: { type: 'position', position: first.id } });
  t.match(first.id, /^[\w-]+@0:1,1:0$/);
  await produce(topic.partition(1, 'other'), 'a', 'b');
  await stream.message(hasValue('b'), 'what came through the other broker');
  await produce(topic.partition(0), 'c');
  const last = await stream.message(hasValue('c'), 'the last');
  t.match(last.id, /^[\w-]+@0:2,1:2$/);
  t.same(recordsOf(stream.messages), [
    [1, 0, 'a'],
    [1, 1, 'b'],
    [0, 1, 'c'],
  ]);
  const before = stream.messages.length;
  await eventually(() => stream.messages.length > before, 'a heartbeat');
  t.match(stream.messages.at(-1), { id: last.id, data: { type: 'position', position: last.id } });
  for (const { data } of stream.messages) t.ok(topicTailEvent.safeParse(data).success, JSON.stringify(data));
  t.equal(await openOn(server), 1);
  t.equal(await metric(server, 'weir_records_streamed_total{kind="sse"}'), 3);
  stream.cut();
  await eventually(async () => (await openOn(server)) === 0, 'a client that goes frees it');
  t.equal(await metric(server, 'weir_log_waits'), 0, 'and nobody waits for it');
});

t.test('it begins where it is asked to', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  for (const p of [0, 1, 2]) {
    await http(topic.partition(p), 'POST', {
      records: [10, 20, 30].map((timestamp) => ({ value: `${p}-${timestamp}`, timestamp })),
    });
  }
  const read = async (query: string, count: number, headers: Record<string, string> = {}) => {
    const stream = await openEventStream(t, `${topic.topic}/stream?${query}`, headers);
    await eventually(() => recordsOf(stream.messages).length >= count, query);
    stream.cut();
    return recordsOf(stream.messages)
      .map(([, , value]) => value)
      .sort();
  };
  const all = [0, 1, 2].flatMap((p) => [10, 20, 30].map((at) => `${p}-${at}`));
  t.same(await read('offset=earliest', 9), all);
  t.same(
    await read('offset=earliest&partition=2,0', 6),
    all.filter((value) => !value.startsWith('1')),
  );
  t.same(await read('offset=2&partition=1', 1), ['1-30']);
  t.same(await read('offset=0:2,1:3,2:1', 3), ['0-30', '2-20', '2-30']);
  t.same(
    await read('offset=1:1', 8),
    all.filter((value) => value !== '1-10'),
    'a partition not named is new',
  );
  t.same(await read('timestamp=25', 3), ['0-30', '1-30', '2-30']);
  const { topicId } = (await http(topic.topic)).body;
  t.same(await read('offset=earliest', 1, { 'last-event-id': `${topicId}@0:3,1:3,2:2` }), ['2-30'], 'the id wins');
  t.same(await read('offset=earliest', 9, { 'last-event-id': '' }), all, 'an empty id is none');
});

t.test('what is wrong before the stream is a problem', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  await produce(topic.partition(0), 1, 2, 3);
  await http(`${topic.partition(0)}?before=2`, 'DELETE');
  const refused = async (query: string, status: number, body: object, headers: Record<string, string> = {}) =>
    t.match(await http(`${topic.topic}/stream?${query}`, 'GET', undefined, headers), { status, body }, query);
  await refused('ofset=1', 400, { code: 'BAD_REQUEST', detail: /'ofset'/ });
  for (const offset of ['x', '-1', '0:', '0:1,', 'a:1', '0:1;1:2', '@0:1']) {
    await refused(`offset=${offset}`, 400, { code: 'BAD_REQUEST', detail: /query\.offset/ });
  }
  await refused('offset=0', 400, { code: 'BAD_REQUEST', detail: /one partition/ });
  await refused('offset=0:3,0:3', 400, { code: 'BAD_REQUEST', detail: /twice/ });
  await refused('offset=0:3&partition=1', 400, { code: 'BAD_REQUEST', detail: /partition 0/ });
  await refused('offset=latest&timestamp=1', 400, { code: 'BAD_REQUEST', detail: /not both/ });
  await refused('partition=x', 400, { code: 'BAD_REQUEST', detail: /query\.partition/ });
  await refused('partition=2', 404, { code: 'UNKNOWN_PARTITION', partition: 2 });
  await refused('offset=7:0', 404, { code: 'UNKNOWN_PARTITION', partition: 7 });
  const bounds = { logStartOffset: 2, endOffset: 3, partition: 0 };
  const lost = async (query: string, position: string, problem: object, headers: Record<string, string> = {}) => {
    const stream = await openEventStream(t, `${topic.topic}/stream?${query}`, headers);
    await stream.end();
    t.equal(stream.response.status, 200, 'an EventSource can read it');
    t.match(stream.messages, [{ event: 'problem', id: `lost:${position}`, data: { type: 'error', ...problem } }]);
    const again = { 'last-event-id': `lost:${position}` };
    t.equal((await http(`${topic.topic}/stream?${query}`, 'GET', undefined, again)).status, 204, 'which stops it');
  };
  await lost('offset=1&partition=0', '1', { code: 'OFFSET_OUT_OF_RANGE', offset: 1, ...bounds });
  await lost('offset=0:4,1:0', '0:4,1:0', { code: 'OFFSET_OUT_OF_RANGE', offset: 4, ...bounds });
  const id = (text: string) => ({ 'last-event-id': text });
  await refused('', 400, { code: 'BAD_REQUEST', detail: /last-event-id/ }, id('0:3'));
  await lost('', 'anotherTopic@0:3', { code: 'UNKNOWN_TOPIC', detail: /earlier topic/ }, id('anotherTopic@0:3'));
  t.match(await http(`${server.url}/v1/topics/none/stream`), { status: 404, body: { code: 'UNKNOWN_TOPIC' } });
  t.equal((await http(`${topic.topic}/stream`, 'HEAD')).status, 405);
  const large = await newTopic(t, { partitions: 501 });
  t.match(await http(`${large.topic}/stream`), { status: 400, body: { detail: /at most 500 partitions/ } });
});

t.test('what goes wrong later is an error message, and the end', async (t) => {
  await t.test('the topic is deleted, and one of its name made anew', async (t) => {
    const topic = await newTopic(t);
    await produce(topic.all, 'old');
    const stream = await openEventStream(t, `${topic.topic}/stream?offset=earliest`);
    const { id } = await stream.message(hasValue('old'), 'a record');
    await http(topic.otherTopic, 'DELETE');
    await http(`${other.url}/v1/topics`, 'POST', { name: topic.name });
    await produce(topic.otherAll, 'new');
    await stream.end();
    t.match(stream.messages.at(-1), { event: 'problem', data: { type: 'error', code: 'UNKNOWN_TOPIC', status: 404 } });
    t.ok(topicTailEvent.safeParse(stream.messages.at(-1)!.data).success);
    t.notOk(stream.messages.some(hasValue('new')));
    const resumed = await openEventStream(t, `${topic.topic}/stream`, { 'last-event-id': id! });
    await resumed.end();
    t.match(resumed.messages, [{ event: 'problem', data: { code: 'UNKNOWN_TOPIC', detail: /earlier topic/ } }]);
  });

  await t.test('what comes next was removed while the reader was away, or slow', async (t) => {
    const topic = await newTopic(t);
    const value = 'x'.repeat(200_000);
    const { hostname, port } = new URL(server.url);
    const raw = connect(Number(port), hostname);
    t.teardown(() => raw.destroy());
    raw.pause();
    raw.write(`GET /v1/topics/${topic.name}/stream HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
    await eventually(async () => (await openOn(server)) === 1, 'the stream is open');
    // More than the connection holds waits in the log, and not in the server.
    for (let i = 0; i < 100; i++) await produce(topic.all, value);
    const { endOffset } = (await http(`${topic.all.replace('/records', '')}/partitions/0/records?offset=latest`)).body;
    t.equal(endOffset, 100);
    await http(`${topic.partition(0)}?before=latest`, 'DELETE');
    let text = '';
    raw.on('data', (chunk) => {
      text += chunk;
    });
    raw.resume();
    await eventually(() => text.includes('event: problem'), 'the error');
    t.match(text, /"code":"OFFSET_OUT_OF_RANGE".*"logStartOffset":100,"endOffset":100/);
    await eventually(async () => (await openOn(server)) === 0, 'it has ended');
  });
});

t.test('a slow reader is waited for, and has everything in the end', async (t) => {
  const topic = await newTopic(t);
  const value = 'y'.repeat(100_000);
  const { hostname, port } = new URL(server.url);
  const raw = connect(Number(port), hostname);
  t.teardown(() => raw.destroy());
  raw.pause();
  raw.write(`GET /v1/topics/${topic.name}/stream?offset=earliest HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  await eventually(async () => (await openOn(server)) === 1, 'the stream is open');
  const streamed = () => metric(server, 'weir_records_streamed_total{kind="sse"}');
  const before = await streamed();
  for (let i = 0; i < 200; i++) await produce(topic.all, `${i}${value}`);
  const quick = await openEventStream(t, `${topic.topic}/stream?offset=earliest`);
  await eventually(() => recordsOf(quick.messages).length === 200, 'another reader has all');
  t.ok((await streamed()) < before + 400, 'the slow one was not sent all of it');
  let text = '';
  raw.on('data', (chunk) => {
    text += chunk;
  });
  raw.resume();
  await eventually(() => text.includes(`"value":"199y`), 'it has the last one');
  const offsets = [...text.matchAll(/\{"offset":(\d+),/g)].map((match) => Number(match[1]));
  t.same(
    offsets,
    Array.from({ length: 200 }, (_, i) => i),
  );
});

t.test('partitions that are added later are read from their beginning, also by who was away', async (t) => {
  const topic = await newTopic(t);
  const stream = await openEventStream(t, `${topic.topic}/stream`);
  const one = await openEventStream(t, `${topic.topic}/stream?partition=0`);
  const away = await stream.message(() => true, 'the first position');
  await http(topic.otherTopic, 'PATCH', { partitions: 2 });
  await produce(topic.partition(1, 'other'), 'first');
  await produce(topic.partition(0, 'other'), 'zero');
  await stream.message(hasValue('first'), 'the new partition');
  await one.message(hasValue('zero'), 'the old one');
  t.same(recordsOf(one.messages), [[0, 0, 'zero']]);
  const resumed = await openEventStream(t, `${topic.otherTopic}/stream`, { 'last-event-id': away.id! });
  await resumed.message(hasValue('first'), 'the new partition');
  await resumed.message(hasValue('zero'), 'the old one');
  t.equal(recordsOf(resumed.messages).length, 2);
});

/** Writes to a topic through both brokers until it is stopped, then says what the log has. */
function writeTo(topic: TestTopic, partitions: number) {
  let stop = false;
  const writers = [0, 1, 2, 3].map(async (n) => {
    for (let i = 0; !stop; i++) {
      const url = topic.partition((i + n) % partitions, n % 2 === 0 ? undefined : 'other');
      await produce(url, ...Array.from({ length: 1 + (i % 5) }, (_, k) => `${n}-${i}-${k}`));
    }
  });
  return async () => {
    stop = true;
    await Promise.all(writers);
    const log: [number, number, unknown][] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const { records } = (await http(`${topic.partition(partition)}?offset=0&maxRecords=100000&maxBytes=16777216`))
        .body;
      for (const { offset, value } of records) log.push([partition, offset, value]);
    }
    return log;
  };
}

t.test('readers that are cut off again and again have each record once, in order, through two brokers', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  const stop = writeTo(topic, 3);
  const readers = Array.from({ length: 4 }, () => ({ received: [] as [number, number, unknown][], id: '' }));
  const read = async (reader: (typeof readers)[number], round: number, enough: () => boolean | Promise<boolean>) => {
    const through = round % 2 === 0 ? topic.topic : topic.otherTopic;
    const stream = await openEventStream(t, `${through}/stream?offset=earliest`, { 'last-event-id': reader.id });
    const count = reader.received.length;
    await eventually(async () => {
      reader.received = [...reader.received.slice(0, count), ...recordsOf(stream.messages)];
      return enough();
    }, `round ${round}`);
    stream.cut();
    // Nothing is received from here on: what was received, and its last id, belong together.
    reader.received = [...reader.received.slice(0, count), ...recordsOf(stream.messages)];
    reader.id = stream.messages.at(-1)?.id ?? reader.id;
  };
  await Promise.all(
    readers.map(async (reader, n) => {
      for (let round = 0; round < 8; round++) {
        const goal = reader.received.length + 1 + 30 * Math.random();
        await read(reader, round + n, () => reader.received.length >= goal);
      }
    }),
  );
  const log = await stop();
  t.ok(log.length > 100, `${log.length} records were written`);
  await Promise.all(readers.map((reader, n) => read(reader, n, () => reader.received.length >= log.length)));
  for (const { received } of readers) {
    for (const partition of [0, 1, 2]) {
      const of = (records: [number, number, unknown][]) => records.filter(([p]) => p === partition);
      t.same(of(received), of(log));
    }
  }
});

t.test('many readers at the end of a partition share one read', async (t) => {
  const topic = await newTopic(t);
  const { logs } = server.broker.store;
  const plain = logs.read.bind(logs);
  let reads = 0;
  logs.read = (...args) => {
    reads += 1;
    return plain(...args);
  };
  t.teardown(() => {
    logs.read = plain;
  });
  const streams = [];
  for (let i = 0; i < 50; i++) streams.push(await openEventStream(t, `${topic.topic}/stream`));
  const rounds = 10;
  for (let i = 0; i < rounds; i++) {
    await eventually(async () => (await metric(server, 'weir_log_waits')) === 50, 'all wait');
    await produce(topic.otherAll, i);
    await Promise.all(streams.map((stream) => stream.message(hasValue(i), `record ${i}`)));
  }
  // News may be late for a turn; that must not become a read for each.
  t.ok(reads <= 2 * rounds, `${reads} reads for ${rounds} appends and 50 readers`);
  for (const { messages } of streams) t.equal(recordsOf(messages).length, rounds);
});

t.test("a browser's EventSource goes on by itself where it was, through another server", async (t) => {
  const topic = await newTopic(t);
  const one = await startTestServer(t, { brokerId: 1003 }, server.target);
  const { port } = new URL(one.url);
  const source = new EventSource(`${one.url}/v1/topics/${topic.name}/stream`);
  t.teardown(() => source.close());
  const received: number[] = [];
  let begun = false;
  source.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    begun = true;
    if (frame.type === 'records') received.push(...frame.records.map((record: any) => record.value));
  };
  await eventually(() => begun, 'it reads');
  await produce(topic.all, 0);
  await eventually(() => received.length === 1, 'the first record arrives');
  await one.close();
  for (let i = 1; i < 4; i++) await produce(topic.all, i);
  await startTestServer(t, { brokerId: 1003, port: Number(port) }, server.target);
  await eventually(() => received.length === 4, 'what was written meanwhile arrives');
  await produce(topic.all, 4);
  await eventually(() => received.length === 5, 'and goes on');
  t.same(received, [0, 1, 2, 3, 4]);
});

t.test('streams end when the server stops', async (t: Test) => {
  const topic = await newTopic(t);
  const one = await startTestServer(t, { brokerId: 1004 }, server.target);
  const stream = await openEventStream(t, `${one.url}/v1/topics/${topic.name}/stream`);
  await stream.message(() => true, 'the position');
  await one.close();
  await stream.end();
  t.notOk(stream.messages.some(({ event }) => event === 'error'));
});
