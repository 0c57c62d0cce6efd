import { PassThrough, Readable } from 'node:stream';
import t from 'tap';
import type { RequestRecords } from '../../../src/core/records/record-input.ts';
import { ServiceError } from '../../../src/core/service-error.ts';
import { runSteps, type Steps } from '../../../src/core/steps.ts';
import { produceStream } from '../../../src/http/produce-stream.ts';
import { eventually, http } from '../../helpers/server.ts';
import { ndjson, startTestBrokers, values } from '../../helpers/topics.ts';

const { server, newTopic } = await startTestBrokers(t);

const countLine = () => undefined;
const inSteps = async <T>(steps: Steps<T>) => runSteps(steps);

t.test('a stream of NDJSON is appended in batches, each reported in a line', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  const count = 5000;
  const lines = Array.from({ length: count }, (_, i) => JSON.stringify({ value: i, partition: i % 2 }));
  const { status, headers, body } = await http(topic.all, 'POST', `${lines.join('\n\n')}\r\n`, ndjson);
  t.equal(status, 200);
  t.equal(headers.get('content-type'), 'application/x-ndjson');
  const results = body
    .trimEnd()
    .split('\n')
    .map((line: string) => JSON.parse(line));
  const next = [0, 0];
  for (const { partition, baseOffset, count: appended } of results) {
    t.equal(baseOffset, next[partition]);
    next[partition] += appended;
  }
  t.same(next, [count / 2, count / 2]);
  const found = values((await http(`${topic.partition(1)}?maxRecords=100000`)).body);
  t.same(
    found,
    Array.from({ length: count / 2 }, (_, i) => 2 * i + 1),
  );
});

t.test('a line is appended and reported when it comes, before the stream has ended', async (t) => {
  const topic = await newTopic(t);
  let push: (line: string) => void = () => undefined;
  let end: () => void = () => undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      push = (line) => controller.enqueue(Buffer.from(line));
      end = () => controller.close();
    },
  });
  const response = fetch(topic.all, { method: 'POST', body, headers: ndjson, duplex: 'half' } as RequestInit);
  push('{"value":1}\n{"val');
  await eventually(async () => (await http(topic.partition(0))).body.endOffset === 1, 'the first record');
  push('ue":2}\n');
  await eventually(async () => (await http(topic.partition(0))).body.endOffset === 2, 'the second record');
  push('{"value":3}');
  end();
  const text = await (await response).text();
  t.same(
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).baseOffset),
    [0, 1, 2],
  );
});

t.test('a bad line ends the stream: what was appended is reported, then the problem with its line', async (t) => {
  const topic = await newTopic(t);
  const good = Array.from({ length: 5000 }, (_, i) => `{"value":${i},"key":"${'k'.repeat(200)}"}`);
  const { status, body } = await http(topic.all, 'POST', [...good, '{"vlaue":1}', '{"value":2}'].join('\n'), ndjson);
  t.equal(status, 200);
  const lines = body
    .trimEnd()
    .split('\n')
    .map((line: string) => JSON.parse(line));
  t.match(lines.at(-1), { code: 'BAD_REQUEST', status: 400, line: 5001, detail: /unknown field 'vlaue'/ });
  const received = lines.slice(0, -1).reduce((sum: number, { count }: { count: number }) => sum + count, 0);
  t.ok(received >= 1000);
  t.equal((await http(topic.partition(0))).body.endOffset, received);
});

t.test('a stream that is bad before anything was appended is refused with a status', async (t) => {
  const topic = await newTopic(t, { config: { 'max.message.bytes': 1000 } });
  const cases: [body: string | Buffer, status: number, line: number | undefined][] = [
    ['', 400, undefined],
    ['\n \r\n', 400, undefined],
    ['{"value":1}\n{', 400, 2],
    ['{"value":1}\n{"value":2}\n7\n', 400, 3],
    [Buffer.concat([Buffer.from('{"value":"'), Buffer.from([0xff]), Buffer.from('"}\n')]), 400, 1],
    [`{"value":"${'x'.repeat(100_000)}"}`, 413, 1],
    [`{"value":"${'x'.repeat(1000)}"}`, 413, 1],
    ['\n\n{"value":1,"partition":4}', 404, 3],
  ];
  for (const [body, status, line] of cases) {
    const response = await http(topic.all, 'POST', body, ndjson);
    t.equal(response.status, status, String(body).slice(0, 40));
    t.equal(response.body.line, line, String(body).slice(0, 40));
  }
  t.equal((await http(`${server.url}/v1/topics/none/records`, 'POST', '{}\n', ndjson)).body.code, 'UNKNOWN_TOPIC');
  t.equal((await http(topic.partition(0))).body.endOffset, 0);
});

/** The problem: the whole response, or its last line. */
const lastOf = (body: unknown): any => (typeof body === 'string' ? JSON.parse(body.trim().split('\n').at(-1)!) : body);

t.test('whatever is wrong with a line names it, counted over the whole stream with its blank lines', async (t) => {
  const topic = await newTopic(t, { config: { 'max.message.bytes': 2000, 'cleanup.policy': 'compact' } });
  const good = '{"key":"k","value":1}';
  const before = [...Array.from({ length: 700 }, () => good), '', ' \r', ...Array.from({ length: 797 }, () => good)];
  const cases: [line: string, code: string, detail: RegExp][] = [
    ['{"value":1}', 'BAD_REQUEST', /^line 1500 has no key/],
    ['{"key":"k","partition":7}', 'UNKNOWN_PARTITION', /^line 1500: Topic .* has no partition 7/],
    [
      `{"key":"k","value":"${'x'.repeat(2000)}"}`,
      'TOO_LARGE',
      /^line 1500: the record has \d+ bytes as JSON; max\.message\.bytes/,
    ],
    ['{"key":"k","value":1}x', 'BAD_REQUEST', /^line 1500 is not JSON/],
    ['{"key":"a","key":"b"}', 'BAD_REQUEST', /^line 1500: the field key occurs twice/],
    ['{"key":"k","headers":{"a":"1","a":"2"}}', 'BAD_REQUEST', /^line 1500\.headers has the field a twice/],
  ];
  for (const [line, code, detail] of cases) {
    const { body } = await http(topic.all, 'POST', [...before, line, good].join('\n'), ndjson);
    const last = lastOf(body);
    t.match(last, { code, line: 1500, detail }, line.slice(0, 40));
    t.notMatch(last.detail, /nothing was written/);
  }
  const asked = await http(
    `${topic.topic}/partitions/0/records`,
    'POST',
    `${good}\n\n{"key":"k","partition":1}`,
    ndjson,
  );
  t.match(asked.body, { code: 'BAD_REQUEST', line: 3, detail: /^line 3 has the partition 1/ });
});

t.test('what the store refuses later on does not say that nothing was written', async (t) => {
  const topic = await newTopic(t, { partitions: 2 });
  const { logs } = server.broker.store;
  const append = logs.append.bind(logs);
  let calls = 0;
  logs.append = async (...args) => {
    calls += 1;
    if (calls > 1) throw new ServiceError('STORE_FULL', 'The store is at its memory limit; nothing was written.');
    return append(...args);
  };
  t.teardown(() => {
    logs.append = append;
  });
  const lines = Array.from({ length: 1500 }, (_, i) => `{"value":${i},"partition":0}`).join('\n');
  const { body } = await http(topic.all, 'POST', lines, ndjson);
  const last = lastOf(body);
  t.match(last, { code: 'STORE_FULL', detail: /nothing more was written/ });
});

t.test('the size of a record is given by what it is a part of', async (t) => {
  const topic = await newTopic(t, { config: { 'max.message.bytes': 1000 } });
  const big = JSON.stringify('x'.repeat(1000));
  const small = JSON.stringify('x'.repeat(400));
  const json = { 'content-type': 'application/json' };
  const cases: [body: string, headers: Record<string, string>, detail: RegExp][] = [
    [
      `{"records":[{"value":${big}}]}`,
      json,
      /^The record has 1012 bytes as JSON; .* is 1000\. Send a smaller record, or raise the limit; nothing was written\.$/,
    ],
    [big, { 'content-type': 'text/plain' }, /^The record has \d+ bytes/],
    [
      `{"records":[${Array(3).fill(`{"value":${small}}`).join()}]}`,
      json,
      /^The 3 records for partition 0 together have 1238 bytes as JSON; .*Send fewer records per request, or stream/,
    ],
    [
      `{"value":1}\n{"value":${big}}`,
      ndjson,
      /^line 2: the record has 1012 bytes as JSON; .*Send a smaller record, or raise the limit\.$/,
    ],
  ];
  for (const [body, headers, detail] of cases) {
    const response = await http(topic.all, 'POST', body, headers);
    t.match(lastOf(response.body), { status: 413, code: 'TOO_LARGE', detail });
  }
});

t.test('a stream that is repeated with its Idempotency-Key is appended once', async (t) => {
  const topic = await newTopic(t, { partitions: 3 });
  const lines = Array.from({ length: 3000 }, (_, i) => `{"key":"k${i}","value":${i}}`).join('\n');
  const headers = { ...ndjson, 'idempotency-key': 'stream' };
  const first = await http(topic.all, 'POST', lines, headers);
  const again = await http(topic.otherAll, 'POST', lines, headers);
  t.equal(again.body, first.body.replaceAll('}\n', ',"replayed":true}\n'), 'each result says that it is a replay');
  const ends = (await http(`${topic.topic}/offsets`)).body.partitions.map(({ offset }: { offset: number }) => offset);
  t.equal(
    ends.reduce((a: number, b: number) => a + b),
    3000,
  );
  const changed = await http(topic.all, 'POST', `{"value":0}\n${lines}`, headers);
  t.match(changed, { status: 422, body: { code: 'IDEMPOTENCY_KEY_REUSED' } });
});

t.test('a stream whose connection is lost is no fault of the server', async (t) => {
  const source = new PassThrough();
  source.write('{"value":1}\n{"val');
  const append = () => Promise.reject(new Error('Nothing is to be appended'));
  const options = {
    batchBytesMax: 1000,
    offsets: false,
    deduplicationKey: undefined,
    countLine,
    inSteps,
    hasArrived: () => true,
    append,
  };
  const first = produceStream(source, options).next();
  source.destroy(new Error('aborted'));
  await t.rejects(first, { code: 'BAD_REQUEST' });
});

t.test('a long stream is read no faster than it is appended', async (t) => {
  const lines = Buffer.from(`${JSON.stringify({ value: 'x'.repeat(115) })}\n`.repeat(512));
  const streamed = 48 * 1024 * 1024;
  let given = 0;
  let appended = 0;
  let waitingMax = 0;
  const source = new Readable({
    highWaterMark: lines.length,
    read() {
      if (given >= streamed) this.push(null);
      else {
        given += lines.length;
        this.push(lines);
      }
    },
  });
  const append = async (records: RequestRecords, bytes: number) => {
    waitingMax = Math.max(waitingMax, given - appended);
    // The store takes its time; meanwhile the source could give as much as it likes.
    await new Promise((resolve) => setImmediate(resolve));
    waitingMax = Math.max(waitingMax, given - appended);
    const count = records.kind === 'separate' ? records.records.length : records.count;
    appended += bytes + count;
    return { results: [{ partition: 0, count }], partitions: [], replayed: false };
  };
  const options = {
    batchBytesMax: 1024 * 1024,
    offsets: false,
    deduplicationKey: undefined,
    countLine,
    inSteps,
    hasArrived: () => false,
    append,
  };
  let results = 0;
  for await (const _ of produceStream(source, options)) results += 1;
  t.equal(appended, given);
  t.ok(given >= streamed && results > 100);
  t.ok(waitingMax <= 512 * 1024, `at most ${waitingMax} bytes lay in memory`);
});
