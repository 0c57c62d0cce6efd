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
/** [partition, offset, value] of all records that a socket was sent. */
const recordsOf = ({ frames }: TestSocket): [number, number, any][] =>
  frames
    .filter(({ type }) => type === 'records')
    .flatMap(({ partition, records }) => records.map(({ offset, value }: any) => [partition, offset, value]));
const positionOf = ({ frames }: TestSocket): string | undefined =>
  frames.findLast(({ position }) => position !== undefined)?.position;
/** What a round trip of its own shows to be all that the server sent so far. */
const settled = async (socket: TestSocket) => {
  const pongs = () => socket.frames.filter(({ type }) => type === 'pong').length;
  const before = pongs();
  socket.send({ type: 'ping' });
  await eventually(() => pongs() > before, 'a pong');
};

t.test('records come as far as the credit goes, each frame with the position behind it', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  const socket = await openSocket(t, `${topic.topic}/stream?offset=earliest`);
  const { position } = await socket.frame({ type: 'position' });
  t.match(position, /^[\w-]+@0:0,1:0$/);
  await produce(topic.partition(0, 'other'), ...numbers(10));
  await settled(socket);
  t.same(recordsOf(socket), [], 'nothing comes without credit');
  t.equal(await metric(server, 'weir_records_fetched_total'), 0, 'and nothing is read');
  socket.send({ type: 'credit', records: 3 });
  await eventually(() => recordsOf(socket).length === 3, 'three come');
  t.match(positionOf(socket), /@0:3,1:0$/);
  socket.send({ type: 'credit', records: 4 });
  socket.send({ type: 'credit', records: 2 });
  await eventually(() => recordsOf(socket).length === 9, 'six more come');
  await produce(topic.partition(1), 'a', 'b');
  socket.send({ type: 'credit', records: 2 });
  await eventually(() => recordsOf(socket).length === 11, 'two more come');
  await settled(socket);
  t.equal(recordsOf(socket).length, 11);
  socket.send({ type: 'credit', records: 1000 });
  await eventually(() => recordsOf(socket).length === 12, 'all come');
  t.same(
    recordsOf(socket).filter(([partition]) => partition === 0),
    numbers(10).map((i) => [0, i, i]),
  );
  t.match(positionOf(socket), /@0:10,1:2$/);
  const positions = () => socket.frames.filter(({ type }) => type === 'position').length;
  await eventually(() => positions() > 1, 'the position is told now and then');
  for (const frame of socket.frames) t.ok(topicTailServerFrame.safeParse(frame).success, JSON.stringify(frame));
  t.equal(await metric(server, 'weir_record_streams_open{kind="socket"}'), 1);
  t.equal(await metric(server, 'weir_sockets_open{kind="tail"}'), 1);
  t.equal(await metric(server, 'weir_records_streamed_total{kind="socket"}'), 12);
  socket.ws.terminate();
  await eventually(
    async () => (await metric(server, 'weir_record_streams_open{kind="socket"}')) === 0,
    'a client that goes frees it',
  );
});

t.test('a wrong frame is answered with an error frame, and the socket stays open', async (t) => {
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

t.test('what ends a stream is an error frame, and a close code that has its status', async (t) => {
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

  // Without credit, too, a reader is told at once that the topic is gone; of what was removed when it would read it.
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

t.test('readers that are cut off again and again have each record once, in order, through two brokers', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  let stop = false;
  const writers = [0, 1, 2, 3].map(async (n) => {
    for (let i = 0; !stop; i++) {
      const url = topic.partition((i + n) % 3, n % 2 === 0 ? undefined : 'other');
      await produce(url, ...numbers(1 + (i % 5)).map((k) => `${n}-${i}-${k}`));
    }
  });
  const readers = numbers(4).map(() => ({ heard: [] as [number, number, unknown][], position: 'earliest' }));
  /** Reads a while, never holding more credit than `most`, and then is gone without a word. */
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
      t.ok(count <= credit, 'never more than the credit');
      if (credit - count < most / 2) {
        socket.send({ type: 'credit', records: most });
        credit += most;
      }
      return enough(reader.heard.length + count);
    }, `round ${round}`);
    socket.ws.terminate();
    await socket.closed;
    reader.heard.push(...recordsOf(socket));
    reader.position = positionOf(socket) ?? reader.position;
  };
  await Promise.all(
    readers.map(async (reader, n) => {
      for (let round = 0; round < 8; round++) {
        const goal = reader.heard.length + 1 + 30 * Math.random();
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
  for (const { heard } of readers) {
    for (const partition of [0, 1, 2]) {
      const of = (records: [number, number, unknown][]) => records.filter(([p]) => p === partition);
      t.same(of(heard), of(log));
    }
  }
});

t.test('a busy partition does not keep the others back', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  for (let i = 0; i < 5; i++) await produce(topic.partition(0), ...numbers(1000));
  await produce(topic.partition(1), 'quiet');
  const socket = await openSocket(t, `${topic.topic}/stream?offset=earliest`);
  socket.send({ type: 'credit', records: 1000 });
  await eventually(() => recordsOf(socket).length === 1000, 'the credit is used up');
  t.ok(
    recordsOf(socket).some(([, , value]) => value === 'quiet'),
    'the other partition had its turn',
  );
});

t.test('a reader that reads nothing hurts nobody, and has everything once it reads', async (t) => {
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
  await eventually(() => recordsOf(quick).length === 200, 'the other one has all');
  t.ok((await streamed()) < before + 400, 'the slow one was not sent all of it');
  slow.ws.resume();
  await eventually(() => recordsOf(slow).length === 200, 'it has all');
  t.same(recordsOf(slow), recordsOf(quick));
});

t.test('while the store is away a stream waits, and then goes on', async (t) => {
  const redis = await startLossyRedis(t);
  const one = await startTestServer(t, {}, redis);
  await http(`${one.url}/v1/topics`, 'POST', { name: 'away' });
  const all = `${one.url}/v1/topics/away/records`;
  const socket = await openSocket(t, `${one.url}/v1/topics/away/stream`);
  await socket.frame({ type: 'position' });
  socket.send({ type: 'credit', records: 100 });
  await produce(all, 'before');
  await eventually(() => recordsOf(socket).length === 1, 'the first');
  redis.backUp();
  await redis.killAndRestore();
  await eventually(async () => (await produce(all, 'after')).status === 200, 'the store is back');
  await eventually(() => recordsOf(socket).some(([, , value]) => value === 'after'), 'it goes on');
  t.same(recordsOf(socket)[0], [0, 0, 'before']);
  t.same(
    recordsOf(socket).map(([, offset]) => offset),
    numbers(recordsOf(socket).length),
  );
});

t.test('when the store has lost records that a reader was sent, it says so', async (t) => {
  const redis = await startLossyRedis(t);
  const one = await startTestServer(t, {}, redis);
  await http(`${one.url}/v1/topics`, 'POST', { name: 'lost' });
  const socket = await openSocket(t, `${one.url}/v1/topics/lost/stream`);
  await socket.frame({ type: 'position' });
  socket.send({ type: 'credit', records: 100 });
  redis.backUp();
  await produce(`${one.url}/v1/topics/lost/records`, 1, 2, 3);
  await eventually(() => recordsOf(socket).length === 3, 'all three');
  await redis.killAndRestore();
  t.match(await socket.frame({ type: 'error' }), { code: 'OFFSET_OUT_OF_RANGE', offset: 3, endOffset: 0 });
  t.equal(await socket.closed, 4416);
});

t.test('sockets end with 1001 when the server stops, and the reader goes on through another one', async (t) => {
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
