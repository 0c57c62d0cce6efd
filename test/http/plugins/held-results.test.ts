// When the results of an NDJSON body are sent: not before the end of the body, for clients and proxies that do not read while they send.
import t, { type Test } from 'tap';
import { HeldResults } from '../../../src/http/held-results.ts';
import { defaultConnectionLimits } from '../../../src/http/limits.ts';
import { openRaw, responsesIn } from '../../helpers/raw-connection.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const heldResults = { streamBytesMax: 1000, bytesMax: 1500 };
const { url } = await startTestServer(t, {}, undefined, { connections: { ...defaultConnectionLimits, heldResults } });

const line = '{"value":1}\n';

async function newTopic(name: string): Promise<() => Promise<number>> {
  await http(`${url}/v1/topics`, 'POST', { name });
  return async () => (await http(`${url}/v1/topics/${name}/partitions/0/records`)).body.endOffset;
}

function begin(t: Test, target: string, framing: string) {
  const connection = openRaw(t, url);
  const host = `Host: ${new URL(url).host}`;
  connection.send(`POST ${target} HTTP/1.1`, host, 'Content-Type: application/x-ndjson', framing, '', '');
  const isChunked = framing.startsWith('Transfer');
  return { ...connection, sendLine: () => connection.send(isChunked ? `c\r\n${line}\r\n` : line) };
}

const chunked = 'Transfer-Encoding: chunked';

t.test('with a Content-Length, or results=end, the response begins when the body has been read', async (t) => {
  const cases = [
    ['a', '', `Content-Length: ${2 * line.length}`],
    ['b', '?results=end', chunked],
  ] as const;
  for (const [topic, query, framing] of cases) {
    const endOffset = await newTopic(topic);
    const upload = begin(t, `/v1/topics/${topic}/records${query}`, framing);
    upload.sendLine();
    await eventually(async () => (await endOffset()) === 1, 'the first record is appended when it comes');
    t.equal(upload.received(), '', 'nothing has been sent yet');
    upload.sendLine();
    if (framing === chunked) upload.send('0\r\n\r\n');
    await upload.receives(/"baseOffset":1/);
    t.match(responsesIn(upload.received()), [{ status: 200, body: /"baseOffset":0[\s\S]*"baseOffset":1/ }]);
    upload.socket.destroy();
  }
  t.match((await http(`${url}/metrics`)).body, /weir_held_results_bytes 0/);
});

t.test('with a chunked body, or results=live, results are sent as batches are appended', async (t) => {
  await newTopic('c');
  for (const [query, framing] of [
    ['', chunked],
    ['?results=live', `Content-Length: ${2 * line.length}`],
  ] as const) {
    const upload = begin(t, `/v1/topics/c/records${query}`, framing);
    upload.sendLine();
    await upload.receives(/"baseOffset"/);
    upload.socket.destroy();
  }
});

t.test('a failure after the first batch is sent after the results, one before it as the status', async (t) => {
  const endOffset = await newTopic('d');
  const late = begin(t, '/v1/topics/d/records', `Content-Length: ${line.length + 9}`);
  late.sendLine();
  await eventually(async () => (await endOffset()) === 1, 'the first record is appended');
  late.send('{"wrong"}');
  await late.receives(/"BAD_REQUEST"/);
  t.match(responsesIn(late.received()), [{ status: 200, body: /"baseOffset":0[\s\S]*"line":2/ }]);
  late.socket.destroy();
  const early = begin(t, '/v1/topics/d/records', 'Content-Length: 9');
  early.send('{"wrong"}');
  await early.receives(/"BAD_REQUEST"/);
  t.equal(responsesIn(early.received())[0]!.status, 400);
});

t.test('results beyond a limit are not buffered', async (t) => {
  const endOffset = await newTopic('e');
  const upload = begin(t, '/v1/topics/e/records', 'Content-Length: 100000');
  for (let count = 1; !upload.received(); count++) {
    upload.sendLine();
    await eventually(async () => (await endOffset()) >= count, 'it is appended');
    if (count > 100) break;
  }
  t.match(upload.received(), /^HTTP\/1\.1 200 /);
  upload.socket.destroy();
});

t.test('all streams share one limit, and an aborted stream releases its bytes', async (t) => {
  const results = new HeldResults(heldResults);
  async function* lines(count: number, failure?: Error) {
    for (let i = 0; i < count; i++) yield 'x'.repeat(100);
    if (failure) throw failure;
  }
  const first = await results.hold(lines(9)).next();
  t.equal(first.value?.length, 900, 'held to the end');
  t.equal(results.bytes, 0);
  await t.rejects(results.hold(lines(9, new Error('broken'))).next(), /broken/);
  t.equal(results.bytes, 0);
  let goOn = () => {};
  const waiting = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  async function* stalled() {
    yield* lines(9);
    await waiting;
  }
  const one = results.hold(stalled()).next();
  await eventually(() => results.bytes === 900, 'one stream holds its results');
  const other = results.hold(lines(9));
  t.equal((await other.next()).value?.length, 700, 'another one has the rest');
  t.equal((await other.next()).value?.length, 100, 'and then holds no more');
  goOn();
  t.equal((await one).value?.length, 900);
});

t.test('the parameter results is refused where it has no meaning', async (t) => {
  await newTopic('f');
  const response = await http(`${url}/v1/topics/f/records?results=end`, 'POST', { records: [{ value: 1 }] });
  t.match(response, { status: 400, body: { detail: /results goes with NDJSON/ } });
  t.equal((await http(`${url}/v1/topics/f/records?results=never`, 'POST', { records: [{ value: 1 }] })).status, 400);
});
