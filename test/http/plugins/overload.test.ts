// A broker under too much load, or with clients that never finish a request: it refuses early with the reason, stays responsive, and
// recovers when they are gone. The limits are small here; the code is that of production.
import { once } from 'node:events';
import { type Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import { defaultLimits } from '../../../src/app.ts';
import { eventually, http, startTestServer, type TestServer } from '../../helpers/server.ts';

const { timeouts } = defaultLimits;
/** No request waits for a permit, except in tests of waiting. */
const admission = { ...defaultLimits.admission, requestsWaitingMax: 0 };
const quick = { ...timeouts, checkIntervalMs: 20 };

/** A raw connection for hand-written HTTP, which records all bytes received. */
function dial(t: Test, { url }: { url: string }) {
  const socket: Socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.teardown(() => socket.destroy());
  let received = '';
  let closed = false;
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    received += chunk;
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closed = true;
  });
  return { socket, received: () => received, closed: () => closed };
}

const post = (path: string, type: string, length: number | 'chunked') =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\n${
    length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`
  }\r\n\r\n`;

/** The sum of all samples of a metric whose labels match. */
async function metric({ url }: TestServer, name: string, labels = ''): Promise<number> {
  const text = (await http(`${url}/metrics`)).body as string;
  const samples = [...text.matchAll(new RegExp(`^weir_${name}({.*${labels}.*})? (\\d+)`, 'gm'))];
  return samples.reduce((sum, [, , value]) => sum + Number(value), 0);
}

const refusals = (server: TestServer, kind: string) => metric(server, 'requests_refused_total', `kind="${kind}"`);
const inFlight = (server: TestServer) => metric(server, 'requests_in_flight', 'kind="requests"');

/** Sends one large request after the other on several connections, until it is stopped. @returns a function that stops it */
function keepBusy(t: Test, { url }: TestServer, senders: number) {
  let isOver = false;
  const ops = Array.from({ length: 2000 }, () => ({ op: 'check', path: '/' }));
  const send = async () => {
    while (!isOver) await http(`${url}/v1/multi`, 'POST', { ops });
  };
  const all = Promise.all(Array.from({ length: senders }, send));
  const stop = async () => {
    isOver = true;
    await all;
  };
  t.teardown(stop);
  return stop;
}

async function createTopic({ url }: TestServer): Promise<string> {
  await http(`${url}/v1/topics`, 'POST', { name: 't' });
  return '/v1/topics/t/records';
}

t.test('requests beyond the limit are refused at once with 429 and Retry-After; health is served', async (t) => {
  const server = await startTestServer(t, {}, undefined, {
    admission: { ...admission, requestsMax: 1 },
    timeouts,
  });
  const stop = keepBusy(t, server, 4);
  const refused = await eventually(async () => {
    const response = await http(`${server.url}/v1/nodes/`);
    return response.status === 429 ? response : undefined;
  }, 'the permit is taken');
  t.match(refused.body, { code: 'TOO_MANY_REQUESTS', retryable: true, detail: /nothing was done/ });
  t.match(refused.headers.get('retry-after'), /^[1-3]$/);
  t.match(refused.headers.get('content-type'), /^application\/problem\+json/);
  for (const path of ['/health/live', '/health/ready', '/metrics']) {
    t.equal((await http(server.url + path)).status, 200, `${path} is served`);
  }
  t.ok((await refusals(server, 'requests')) > 0, 'and they are counted');
  await stop();
  await eventually(async () => (await http(`${server.url}/v1/nodes/`)).status === 200, 'there is room again');
});

t.test('requests beyond the limit wait for a permit, and all get their response', async (t) => {
  const patient = { ...admission, requestsMax: 1, requestsWaitingMax: 100, requestWaitMsMax: 3_600_000 };
  const server = await startTestServer(t, {}, undefined, { admission: patient, timeouts });
  const responses = await Promise.all(
    Array.from({ length: 50 }, (_, n) => http(`${server.url}/v1/nodes/n${n}`, 'PUT', `${n}`)),
  );
  t.ok(responses.every(({ status }) => status === 201));
  t.equal(await metric(server, 'requests_waiting'), 0);
});

t.test(
  'a request whose body is still arriving holds no permit, and one that breaks off releases its permit',
  async (t) => {
    const server = await startTestServer(t, {}, undefined, {
      admission: { ...admission, requestsMax: 1 },
      timeouts,
    });
    const slow = Array.from({ length: 10 }, () => dial(t, server));
    for (const { socket } of slow) socket.write(`${post('/v1/sessions', 'application/json', 10)}{"ttl"`);
    await eventually(async () => (await metric(server, 'body_bytes_in_flight')) === 100, 'all are there');
    t.equal((await http(`${server.url}/v1/nodes/`)).status, 200);
    slow[0]!.socket.write(':90}');
    await eventually(
      () => /HTTP\/1.1 (201|400)/.test(slow[0]!.received()),
      'the first gets its response when its body is complete',
    );
    for (const { socket } of slow) socket.destroy();
    for (let n = 0; n < 20; n += 1) {
      const { socket } = dial(t, server);
      socket.write('GET /v1/nodes/?view=tree HTTP/1.1\r\nHost: localhost\r\n\r\n', () => socket.destroy());
    }
    await eventually(async () => (await inFlight(server)) === 0, 'nothing is under way');
    await eventually(async () => (await metric(server, 'admission_weight')) === 0, 'and no permit is taken');
    t.equal(await metric(server, 'body_bytes_in_flight'), 0);
    await eventually(async () => (await http(`${server.url}/v1/nodes/`)).status === 200, 'and there is room');
  },
);

t.test('long polls and event streams hold no permit, and have a limit of their own', async (t) => {
  const limits = { admission: { ...admission, requestsMax: 1, waitsMax: 2, requestsWaitingMax: 10 }, timeouts };
  const server = await startTestServer(t, { addressShare: 1 }, undefined, limits);
  const gone = new AbortController();
  t.teardown(() => gone.abort());
  await http(`${server.url}/v1/nodes/waited`, 'PUT', 'x');
  const { headers } = await http(`${server.url}/v1/nodes/waited`);
  const tag = { 'if-none-match': headers.get('etag')! };
  const waiting = http(`${server.url}/v1/nodes/waited?wait=5m`, 'GET', undefined, tag, gone.signal).catch(() => 0);
  const stream = get(`${server.url}/v1/watch/waited`, { agent: false as unknown as Agent });
  t.teardown(() => stream.destroy());
  await once(stream, 'response');
  const refused = await eventually(async () => {
    const response = await http(`${server.url}/v1/nodes/waited?wait=1ms`, 'GET', undefined, tag);
    return response.status === 429 ? response : undefined;
  }, 'both permits are taken');
  t.match(refused.body, { code: 'TOO_MANY_REQUESTS', detail: /long polls/ });
  t.equal((await http(`${server.url}/v1/nodes/waited`)).status, 200, 'work goes on');
  stream.destroy();
  await eventually(
    async () => (await http(`${server.url}/v1/nodes/waited?wait=1ms`, 'GET', undefined, tag)).status === 304,
    'the permit of the stream is free',
  );
  gone.abort();
  await waiting;
});

t.test('all bodies share one limit; bytes that are only announced do not count', async (t) => {
  const MiB = 1024 * 1024;
  const limits = { admission: { ...admission, bodiesBytesMax: 4 * MiB }, timeouts };
  const server = await startTestServer(t, { maxBodyBytes: MiB }, undefined, limits);
  const path = await createTopic(server);
  const announced = Array.from({ length: 8 }, () => dial(t, server));
  for (const { socket } of announced) socket.write(post(path, 'application/octet-stream', MiB));
  const octets = { 'content-type': 'application/octet-stream' };
  const kinds = ['chunked', ...Array.from({ length: 8 }, () => MiB)] as const;
  const large = kinds.map((kind) => ({ kind, ...dial(t, server) }));
  for (const { kind, socket } of large) {
    socket.write(post(path, 'application/octet-stream', kind));
    if (kind === 'chunked') socket.write(`${(700_000).toString(16)}\r\n`);
    socket.write(Buffer.alloc(700_000));
  }
  await eventually(
    () => large.filter(({ received }) => /HTTP\/1.1 429/.test(received())).length >= 2,
    'the last are refused',
  );
  t.ok((await refusals(server, 'bodies')) >= 2);
  t.ok(large.filter(({ received }) => received() === '').length >= 4, 'what there is room for goes on');
  for (const { socket } of large) socket.destroy();
  await eventually(
    async () => (await http(server.url + path, 'POST', Buffer.alloc(700_000), octets)).status === 200,
    'there is room again',
  );
});

t.test('WebSockets and streams of records are bounded', async (t) => {
  const limits = { admission: { ...admission, socketsMax: 1, uploadsMax: 1 }, timeouts };
  const server = await startTestServer(t, {}, undefined, limits);
  const path = await createTopic(server);
  const open = new WebSocket(`${server.url.replace('http', 'ws')}/v1/watch`);
  t.teardown(() => open.terminate());
  await once(open, 'open');
  const second = new WebSocket(`${server.url.replace('http', 'ws')}/v1/watch`);
  const [code] = await once(second, 'close');
  t.equal(code, 4429);
  open.terminate();
  await eventually(async () => {
    const again = new WebSocket(`${server.url.replace('http', 'ws')}/v1/watch`);
    t.teardown(() => again.terminate());
    again.on('open', () => again.send('{"type":"ping"}'));
    // Each gets a response: it is served or refused.
    const [frame] = await once(again, 'message');
    return JSON.parse(String(frame)).type === 'pong';
  }, 'the permit of the first is free');

  const upload = dial(t, server);
  upload.socket.write(`${post(path, 'application/x-ndjson', 'chunked')}c\r\n{"value":1}\n\r\n`);
  await eventually(() => /200 OK/.test(upload.received()), 'one stream is under way');
  const refused = await http(server.url + path, 'POST', '{"value":1}\n', { 'content-type': 'application/x-ndjson' });
  t.match(refused.body, { code: 'TOO_MANY_REQUESTS', detail: /streams of records/ });
});

t.test('a body that stalls is refused with 408, also that of a stream, and its permit is released', async (t) => {
  const limits = {
    admission: { ...admission, requestsMax: 1 },
    timeouts: { ...quick, bodyIdleMs: 200, streamIdleMs: 400 },
  };
  const server = await startTestServer(t, {}, undefined, limits);
  const path = await createTopic(server);
  const stalled = dial(t, server);
  stalled.socket.write(`${post(path, 'application/json', 1000)}{"records":[`);
  await eventually(stalled.closed, 'it is refused and closed');
  t.match(stalled.received(), /^HTTP\/1.1 408 Request Timeout\r\n/);
  t.match(stalled.received(), /connection: close\r\n/i);
  t.match(stalled.received(), /"code":"REQUEST_TIMEOUT","detail":"No bytes of the body arrived for 200 ms/);

  const stream = dial(t, server);
  stream.socket.write(`${post(path, 'application/x-ndjson', 'chunked')}c\r\n{"value":1}\n\r\n`);
  await eventually(stream.closed, 'it is refused and closed, too');
  t.match(stream.received(), /"baseOffset":0.*"code":"REQUEST_TIMEOUT"/s, 'after what was appended');
  t.equal((await http(`${server.url}/v1/nodes/`)).status, 200);

  const unread = dial(t, server);
  unread.socket.write(
    `${post(path, 'application/json', 1000).replace('Host: localhost', 'Host: localhost\r\nOrigin: http://other')}{`,
  );
  await eventually(unread.closed, 'one that was refused already is closed');
  t.match(unread.received(), /^HTTP\/1.1 403/);
});

t.test('a body may neither arrive too slowly nor take too long; a stream may', async (t) => {
  const limits = { admission, timeouts: { ...quick, bodyIdleMs: 5000, bodyMs: 300, streamIdleMs: 5000 } };
  const server = await startTestServer(t, {}, undefined, limits);
  const path = await createTopic(server);
  const [body, stream] = [dial(t, server), dial(t, server)];
  body.socket.write(post(path, 'application/json', 1_000_000));
  stream.socket.write(post(path, 'application/x-ndjson', 'chunked'));
  let sent = 0;
  const trickle = setInterval(() => {
    body.socket.write(' ');
    stream.socket.write('c\r\n{"value":1}\n\r\n');
    sent += 1;
  }, 20);
  t.teardown(() => clearInterval(trickle));
  await eventually(body.closed, 'it is refused and closed');
  t.match(body.received(), /"code":"REQUEST_TIMEOUT","detail":"The body took longer than 300 ms/);
  const then = sent;
  await eventually(() => sent > then + 20, 'the stream goes on');
  t.notOk(stream.closed());
  t.notMatch(stream.received(), /REQUEST_TIMEOUT/);
});

t.test('an incomplete head is refused after a time; a connection that sends nothing is closed', async (t) => {
  const server = await startTestServer(t, {}, undefined, { admission, timeouts: { ...quick, headMs: 200 } });
  const [slow, silent] = [dial(t, server), dial(t, server)];
  slow.socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n');
  const drip = setInterval(() => slow.socket.write('X-Slow: 1\r\n'), 20);
  t.teardown(() => clearInterval(drip));
  await eventually(() => slow.closed() && silent.closed(), 'both are closed');
  t.match(slow.received(), /^HTTP\/1.1 408 Request Timeout\r\n.*"code":"REQUEST_TIMEOUT"/s);
  t.equal(silent.received(), '', 'a browser would take a response for that to a later request');
});

t.test(
  'connections beyond the limit are refused, except for health checks, and those far beyond it are dropped',
  async (t) => {
    const server = await startTestServer(t, { maxConnections: 10, addressShare: 1 });
    const idle = Array.from({ length: 10 }, () => dial(t, server));
    await Promise.all(idle.map(({ socket }) => once(socket, 'connect')));
    const late = dial(t, server);
    late.socket.write('GET /v1/nodes/ HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await eventually(late.closed, 'it is refused and closed');
    t.match(late.received(), /^HTTP\/1.1 429 .*connection: close.*"code":"TOO_MANY_REQUESTS"/is);
    const check = dial(t, server);
    check.socket.write('GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await eventually(() => /^HTTP\/1.1 200/.test(check.received()), 'a health check is served');
    const flood = Array.from({ length: 200 }, () => dial(t, server));
    await eventually(() => flood.filter(({ closed }) => closed()).length >= 100, 'the rest is dropped');
    for (const { socket } of [...idle, ...flood]) socket.destroy();
    await eventually(
      async () => (await http(`${server.url}/v1/nodes/`).catch(() => undefined))?.status === 200,
      'there is room again',
    );
  },
);
