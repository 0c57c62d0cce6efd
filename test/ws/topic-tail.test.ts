import t from 'tap';
import { topicTailServerFrame } from '../../schemas/topic-tail.ts';
import { startLossyRedis } from '../helpers/lossy-redis.ts';
import { eventually, http, metric, startTestServer } from '../helpers/server.ts';
import { openSocket, type TestSocket } from '../helpers/socket.ts';
import { startTestBrokers } from '../helpers/topics.ts';

const { server, other, newTopic } = await startTestBrokers(t);

const produce = async (url: string, ...values: unknown[]) =>
  http(url, 'POST', { records: values.map((value) => ({ value })) });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
/** [partition, offset, value] of all records that a socket received. */
const recordsOf = ({ frames }: TestSocket): [number, number, any][] =>
  frames
    .filter(({ type }) => type === 'records')
    .flatMap(({ partition, records }) => records.map(({ offset, value }: any) => [partition, offset, value]));
const positionOf = ({ frames }: TestSocket): string | undefined =>
  frames.findLast(({ position }) => position !== undefined)?.position;
/** Waits for a pong, so that everything that the server sent before has arrived. */
const settled = async (socket: TestSocket) => {
  const pongs = () => socket.frames.filter(({ type }) => type === 'pong').length;
  const before = pongs();
  socket.send({ type: 'ping' });
  await eventually(() => pongs() > before, 'a pong');
};

t.test('the server sends as many records as there is credit, each frame with the next position', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  const socket = await openSocket(t, `${topic.topic}/stream?offset=earliest`);
  const { position } = await socket.frame({ type: 'position' });
  t.match(position, /^[\w-]+@0:0,1:0$/);
  await produce(topic.partition(0, 'other'), ...numbers(10));
  await settled(socket);
  t.same(recordsOf(socket), [], 'without credit no record is sent');
  t.equal(await metric(server, 'weir_records_fetched_total'), 0, 'and no record is read');
  socket.send({ type: 'credit', records: 3 });
  await eventually(() => recordsOf(socket).length === 3, 'three records arrive');
  t.match(positionOf(socket), /@0:3,1:0$/);
  socket.send({ type: 'credit', records: 4 });
  socket.send({ type: 'credit', records: 2 });
  await eventually(() => recordsOf(socket).length === 9, 'six more records arrive');
  await produce(topic.partition(1), 'a', 'b');
  socket.send({ type: 'credit', records: 2 });
  await eventually(() => recordsOf(socket).length === 11, 'two more records arrive');
  await settled(socket);
  t.equal(recordsOf(socket).length, 11);
  socket.send({ type: 'credit', records: 1000 });
  await eventually(() => recordsOf(socket).length === 12, 'all records arrive');
  t.same(
    recordsOf(socket).filter(([partition]) => partition === 0),
    numbers(10).map((i) => [0, i, i]),
  );
  t.match(positionOf(socket), /@0:10,1:2$/);
  const positions = () => socket.frames.filter(({ type }) => type === 'position').length;
  await eventually(() => positions() > 1, 'the position is sent at intervals');
  for (const frame of socket.frames) t.ok(topicTailServerFrame.safeParse(frame).success, JSON.stringify(frame));
  t.equal(await metric(server, 'weir_topic_tails_open{kind="socket"}'), 1);
  t.equal(await metric(server, 'weir_sockets_open{kind="tail"}'), 1);
  t.equal(await metric(server, 'weir_records_streamed_total{kind="socket"}'), 12);
  socket.ws.terminate();
  await eventually(
    async () => (await metric(server, 'weir_topic_tails_open{kind="socket"}')) === 0,
    'a client that disconnects frees it',
  );
});

t.test('an invalid frame gets an error frame, and the socket stays open', async (t) => {
  const topic = await newTopic(t);
  const socket = await openSocket(t, `${topic.topic}/stream?offset=earliest`);
  const wrong = [
    '{',
    { type: 'credits' },
    { type: 'credit' },
    ...[0, -1, 1.5, '1', 1e10].map((records) => ({ type: 'credit', records })),
  ];
  for (const [index, frame] of wrong.entries()) {
    socket.send(frame);
    await eventually(() => socket.frames.filter(({ type }) => type === 'error').length === index + 1, 'an error');
  }
  for (const frame of socket.frames.filter(({ type }) => type === 'error')) {
    t.match(frame, { code: 'BAD_REQUEST', status: 400 });
    t.ok(topicTailServerFrame.safeParse(frame).success);
  }
  socket.send({ type: 'credit', records: 1 });
  await produce(topic.all, 'on');
  await socket.frame({ type: 'records' });
});

t.test('a topic tail that fails ends with an error frame and a close code that contains the status', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  await produce(topic.partition(0), ...numbers(5));
  const ends = async (socket: TestSocket, status: number, problem: object) => {
    t.match(await socket.frame({ type: 'error' }), { status, ...problem });
    t.equal(await socket.closed, 4000 + status);
  };
  const open = (query: string) => openSocket(t, `${topic.topic}/stream${query}`);
  await ends(await openSocket(t, `${server.url}/v1/topics/none/stream`), 404, { code: 'UNKNOWN_TOPIC' });
  await ends(await open('?partition=9'), 404, { code: 'UNKNOWN_PARTITION' });
  await ends(await open('?offset=3'), 400, { code: 'BAD_REQUEST' });
  await ends(await open('?offset=0:6'), 416, { code: 'OFFSET_OUT_OF_RANGE', logStartOffset: 0, endOffset: 5 });

  await ends(await open('?ofset=1'), 400, { code: 'BAD_REQUEST', detail: /'ofset'/ });

  // A deleted topic is reported at once, even without credit. Removed records are reported when they would be read.
  const behind = await open('?offset=earliest');
  behind.send({ type: 'credit', records: 2 });
  await behind.frame({ type: 'records' });
  await http(`${topic.partition(0)}?before=4`, 'DELETE');
  behind.send({ type: 'credit', records: 1 });
  await ends(behind, 416, { code: 'OFFSET_OUT_OF_RANGE', partition: 0, offset: 2, logStartOffset: 4, endOffset: 5 });
  const idle = await open('');
  await idle.frame({ type: 'position' });
  await http(topic.otherTopic, 'DELETE');
  await ends(idle, 404, { code: 'UNKNOWN_TOPIC' });
});

t.test('readers that reconnect again and again through two brokers get each record once, in order', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  let stop = false;
  const writers = [0, 1, 2, 3].map(async (n) => {
    for (let i = 0; !stop; i++) {
      const url = topic.partition((i + n) % 3, n % 2 === 0 ? undefined : 'other');
      await produce(url, ...numbers(1 + (i % 5)).map((k) => `${n}-${i}-${k}`));
    }
  });
  const readers = numbers(4).map(() => ({ received: [] as [number, number, unknown][], position: 'earliest' }));
  /** Reads for a while with at most `most` credit, and then breaks its connection. */
  const read = async (
    reader: (typeof readers)[number],
    round: number,
    most: number,
    enough: (count: number) => boolean,
  ) => {
    const through = round % 2 === 0 ? topic.topic : topic.otherTopic;
    const socket = await openSocket(t, `${through}/stream?offset=${reader.position}`);
    let credit = 0;
    await eventually(() => {
      const count = recordsOf(socket).length;
      t.ok(count <= credit, 'there are never more records than credit');
      if (credit - count < most / 2) {
        socket.send({ type: 'credit', records: most });
        credit += most;
      }
      return enough(reader.received.length + count);
    }, `round ${round}`);
    socket.ws.terminate();
    await socket.closed;
    reader.received.push(...recordsOf(socket));
    reader.position = positionOf(socket) ?? reader.position;
  };
  await Promise.all(
    readers.map(async (reader, n) => {
      for (let round = 0; round < 8; round++) {
        const goal = reader.received.length + 1 + 30 * Math.random();
        await read(reader, round + n, 1 + n * 20, (count) => count >= goal);
      }
    }),
  );
  stop = true;
  await Promise.all(writers);
  const log: [number, number, unknown][] = [];
  for (const partition of [0, 1, 2]) {
    const { records } = (await http(`${topic.partition(partition)}?offset=0&maxRecords=100000&maxBytes=16777216`)).body;
    for (const { offset, value } of records) log.push([partition, offset, value]);
  }
  await Promise.all(readers.map((reader, n) => read(reader, n, 500, (count) => count >= log.length)));
  for (const { received } of readers) {
    for (const partition of [0, 1, 2]) {
      const of = (records: [number, number, unknown][]) => records.filter(([p]) => p === partition);
      t.same(of(received), of(log));
    }
  }
});

t.test('a busy partition does not delay the others', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  for (let i = 0; i < 5; i++) await produce(topic.partition(0), ...numbers(1000));
  await produce(topic.partition(1), 'quiet');
  const socket = await openSocket(t, `${topic.topic}/stream?offset=earliest`);
  socket.send({ type: 'credit', records: 1000 });
  await eventually(() => recordsOf(socket).length === 1000, 'the credit is used up');
  t.ok(
    recordsOf(socket).some(([, , value]) => value === 'quiet'),
    'the other partition was read, too',
  );
});

t.test('a reader that stops reading affects no other, and gets everything once it reads again', async (t) => {
  const topic = await newTopic(t);
  const slow = await openSocket(t, `${topic.topic}/stream`);
  const quick = await openSocket(t, `${topic.topic}/stream`);
  for (const socket of [slow, quick]) {
    await socket.frame({ type: 'position' });
    socket.send({ type: 'credit', records: 1_000_000 });
  }
  await settled(slow);
  slow.ws.pause();
  const streamed = () => metric(server, 'weir_records_streamed_total{kind="socket"}');
  const before = await streamed();
  const value = 'x'.repeat(100_000);
  for (let i = 0; i < 200; i++) await produce(topic.otherAll, `${i}-${value}`);
  await eventually(() => recordsOf(quick).length === 200, 'the other reader has all records');
  t.ok((await streamed()) < before + 400, 'the slow reader was not sent everything');
  slow.ws.resume();
  await eventually(() => recordsOf(slow).length === 200, 'the slow reader has all records');
  t.same(recordsOf(slow), recordsOf(quick));
});

t.test('a topic tail waits while the store is unavailable, and then resumes', async (t) => {
  const redis = await startLossyRedis(t);
  const one = await startTestServer(t, {}, redis);
  await http(`${one.url}/v1/topics`, 'POST', { name: 'away' });
  const all = `${one.url}/v1/topics/away/records`;
  const socket = await openSocket(t, `${one.url}/v1/topics/away/stream`);
  await socket.frame({ type: 'position' });
  socket.send({ type: 'credit', records: 100 });
  await produce(all, 'before');
  await eventually(() => recordsOf(socket).length === 1, 'the first record arrives');
  redis.backUp();
  await redis.killAndRestore();
  await eventually(async () => (await produce(all, 'after')).status === 200, 'the store serves again');
  await eventually(() => recordsOf(socket).some(([, , value]) => value === 'after'), 'the topic tail resumes');
  t.same(recordsOf(socket)[0], [0, 0, 'before']);
  t.same(
    recordsOf(socket).map(([, offset]) => offset),
    numbers(recordsOf(socket).length),
  );
});

t.test('when the store has lost records that a reader got, the reader gets an error', async (t) => {
  const redis = await startLossyRedis(t);
  const one = await startTestServer(t, {}, redis);
  await http(`${one.url}/v1/topics`, 'POST', { name: 'lost' });
  const socket = await openSocket(t, `${one.url}/v1/topics/lost/stream`);
  await socket.frame({ type: 'position' });
  socket.send({ type: 'credit', records: 100 });
  redis.backUp();
  await produce(`${one.url}/v1/topics/lost/records`, 1, 2, 3);
  await eventually(() => recordsOf(socket).length === 3, 'all three records arrive');
  await redis.killAndRestore();
  t.match(await socket.frame({ type: 'error' }), { code: 'OFFSET_OUT_OF_RANGE', offset: 3, endOffset: 0 });
  t.equal(await socket.closed, 4416);
});

t.test('sockets are closed with 1001 when the server stops, and the reader resumes through another one', async (t) => {
  const topic = await newTopic(t);
  const one = await startTestServer(t, { brokerId: 1003 }, server.target);
  const socket = await openSocket(t, `${one.url}/v1/topics/${topic.name}/stream`);
  await socket.frame({ type: 'position' });
  socket.send({ type: 'credit', records: 1 });
  await produce(topic.all, 'a', 'b');
  await socket.frame({ type: 'records' });
  await one.close();
  t.equal(await socket.closed, 1001);
  t.same(recordsOf(socket), [[0, 0, 'a']]);
  const again = await openSocket(t, `${other.url}/v1/topics/${topic.name}/stream?offset=${positionOf(socket)}`);
  again.send({ type: 'credit', records: 10 });
  await again.frame({ type: 'records' });
  t.same(recordsOf(again), [[0, 1, 'b']]);
});
