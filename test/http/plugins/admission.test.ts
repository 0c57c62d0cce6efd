// No client uses the share of others. Hostile clients come from 127.0.0.2, or from the address of the honest one: even then renewals
// and heartbeats must be served.

import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import { defaultLimits } from '../../../src/app.ts';
import { unrestricted } from '../../../src/core/actor.ts';
import { parseHandle } from '../../../src/store/tree/sessions.ts';
import { eventually, http, startTestServer, type TestServer } from '../../helpers/server.ts';

const { admission, timeouts } = defaultLimits;
const hostile = '127.0.0.2';
const own = '127.0.0.1';

/** A raw connection from an address, for hand-written HTTP. */
function dial(t: Test, { url }: TestServer, localAddress: string) {
  const socket = connect({ port: Number(new URL(url).port), host: own, localAddress });
  t.teardown(() => socket.destroy());
  let received = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    received += text;
  });
  socket.on('error', () => undefined);
  return { socket, received: () => received, isClosed: () => socket.closed };
}

interface Sent {
  status: number;
  body: any;
}

/** One request from an address. */
async function send(
  { url }: { url: string },
  path: string,
  options: {
    localAddress?: string;
    method?: string;
    body?: unknown;
    headers?: Record<string, string>;
    agent?: Agent;
  } = {},
): Promise<Sent> {
  const { body, headers, ...rest } = options;
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const sent = request(url + path, {
    ...rest,
    headers: { ...(text !== undefined && { 'content-type': 'application/json' }), ...headers },
  });
  sent.end(text);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  const received = Buffer.concat(pieces).toString();
  const isJson = /\bjson|\+json/.test(response.headers['content-type'] ?? '');
  return { status: response.statusCode!, body: isJson ? JSON.parse(received) : received };
}

/** The sum of all samples of a metric whose labels match. */
async function metric(server: TestServer, name: string, labels = ''): Promise<number> {
  const { body } = await http(`${server.url}/metrics`);
  const samples = [...body.matchAll(new RegExp(`^weir_${name}({.*${labels}.*})? (\\d+)`, 'gm'))];
  return samples.reduce((sum, [, , value]) => sum + Number(value), 0);
}

/** Keeps all permits taken and the queue full with large requests from an address. @returns a function that stops, with all statuses */
function flood(t: Test, server: TestServer, localAddress: string, senders: number) {
  let isOver = false;
  const agent = new Agent({ keepAlive: true, maxSockets: senders });
  const responses = new Map<number, number>();
  const body = JSON.stringify({ ops: Array.from({ length: 500 }, () => ({ op: 'check', path: '/' })) });
  const loop = async () => {
    while (!isOver) {
      const { status } = await send(server, '/v1/multi', { localAddress, method: 'POST', body, agent });
      responses.set(status, (responses.get(status) ?? 0) + 1);
      // Without a pause the machine would be busy with refusals only. There are enough senders to fill the queue all the same.
      if (status === 429) await pause(200);
    }
  };
  const all = Promise.all(Array.from({ length: senders }, loop));
  const stop = async () => {
    isOver = true;
    await all;
    agent.destroy();
  };
  t.teardown(stop);
  return { stop, responses };
}

const busy = { ...admission, requestsMax: 2, requestsWaitingMax: 30, requestWaitMsMax: 60_000 };

async function createSession(server: TestServer, ttl = '5m'): Promise<string> {
  return (await http(`${server.url}/v1/sessions`, 'POST', { ttl })).body.session;
}

async function createGroup({ url }: TestServer) {
  await http(`${url}/v1/topics`, 'POST', { name: 't' });
  const { body } = await http(`${url}/v1/groups/g/members`, 'POST', { memberId: 'm', topics: ['t'] });
  return { memberEpoch: body.memberEpoch as number, headers: { 'weir-member': body.memberSecret as string } };
}

t.test('while one address uses all permits, another is served in its turn and never refused', async (t) => {
  const server = await startTestServer(t, {}, undefined, { admission: busy, timeouts });
  const { stop, responses } = flood(t, server, hostile, 40);
  await eventually(
    async () => (await metric(server, 'requests_waiting', 'kind="requests"')) === 30,
    'no more may wait',
  );
  const before = responses.get(200) ?? 0;
  for (let n = 0; n < 20; n += 1) {
    t.equal((await send(server, `/v1/nodes/n${n}`, { method: 'PUT', body: 'x' })).status, 201);
  }
  const served = (responses.get(200) ?? 0) - before;
  t.ok(served < 20 * 6, `${served} of the others were served meanwhile: about as many, and not all that waited`);
  await stop();
  t.notOk(responses.get(503), 'none of them was too much for the store');
  t.ok(responses.get(429), 'some were refused');
  t.ok((await metric(server, 'requests_refused_total', 'kind="requests",reason="total"')) > 0);
});

t.test('renewals and heartbeats never wait behind other work, even of the same address', async (t) => {
  const server = await startTestServer(t, {}, undefined, {
    admission: { ...busy, requestWaitMsMax: 100 },
    timeouts,
  });
  const handle = await createSession(server);
  const { memberEpoch, headers } = await createGroup(server);
  const { stop } = flood(t, server, own, 40);
  await eventually(async () => (await metric(server, 'requests_waiting', 'kind="requests"')) >= 10, 'many wait');
  const { status } = await send(server, '/v1/groups/g/offsets', {
    method: 'POST',
    headers,
    body: { memberId: 'm', memberEpoch, offsets: [{ topic: 't', partition: 0, offset: 0 }] },
  });
  t.equal(status, 200, 'a commit');
  for (let n = 0; n < 10; n += 1) {
    t.equal((await send(server, `/v1/sessions/${handle}`, { method: 'PUT' })).status, 200, 'a renewal');
    const body = { memberEpoch };
    const beat = await send(server, '/v1/groups/g/members/m/heartbeat', { method: 'POST', headers, body });
    t.equal(beat.status, 200, 'a heartbeat');
  }
  const refused = () => metric(server, 'requests_refused_total', 'kind="requests"');
  const before = await refused();
  await stop();
  t.ok(before > 0, 'other requests of that address were refused');
  t.equal(await metric(server, 'requests_refused_total', 'kind="reserved"'), 0);
});

t.test(
  'a request that gets no permit has renewed its session, and a consume call has kept its member alive',
  async (t) => {
    const none = { ...admission, requestsMax: 1, requestsWaitingMax: 0 };
    const server = await startTestServer(t, {}, undefined, { admission: none, timeouts });
    const handle = await createSession(server, '10m');
    const member = await createGroup(server);
    const { store } = server.broker;
    const expiry = async () => (await store.sessions.get(parseHandle(handle, unrestricted))).expiresAt;
    const { stop } = flood(t, server, own, 20);
    const before = await expiry();
    const headers = { 'weir-session': handle };
    await eventually(async () => (await send(server, '/v1/nodes/', { headers })).status === 429, 'it is refused');
    t.ok((await expiry()) > before, 'and its session is renewed');
    const found = () => metric(server, 'reserved_requests_total', 'outcome="alive"');
    const kept = await found();
    await eventually(
      async () => (await send(server, '/v1/groups/g/members/m/records', member)).status === 429,
      'it is refused',
    );
    await eventually(async () => (await found()) > kept, 'and its member is kept alive');
    await stop();
  },
);

t.test(
  'a client that sends unknown handles loses its part of the reserved capacity, and no other client does',
  async (t) => {
    const strict = { ...busy, requestsWaitingMax: 0, unknownHandlesMax: 5, unknownHandlesPerSecond: 0 };
    const server = await startTestServer(t, {}, undefined, { admission: strict, timeouts });
    const [mine, late] = [await createSession(server), await createSession(server)];
    const renew = (handle: string, localAddress = own) =>
      send(server, `/v1/sessions/${handle}`, { method: 'PUT', localAddress });
    t.equal((await renew(mine)).status, 200);
    const guess = (n: number) => `${n.toString(16).padStart(16, '0')}.AAAAAAAAAAAAAAAAAAAAAA`;
    for (let n = 0; n < 8; n += 1) {
      t.equal((await renew(guess(n))).status, 410);
      t.equal((await renew(guess(n), hostile)).status, 410);
    }
    const { stop } = flood(t, server, own, 20);
    await eventually(async () => (await renew(guess(9), hostile)).status === 429, 'guesses are refused like any work');
    for (let n = 0; n < 20; n += 1)
      t.equal((await renew(mine)).status, 200, 'a session that was renewed before goes on');
    for (let n = 0; n < 20; n += 1) t.equal((await renew(late, '127.0.0.3')).status, 200, 'so does any of others');
    await stop();
  },
);

t.test('hundreds of slow bodies of one address do not delay others, and are refused', async (t) => {
  const slow = { ...timeouts, bodyGraceMs: 1000, bodyBytesPerSecondMin: 500, checkIntervalMs: 50 };
  const server = await startTestServer(t, {}, undefined, {
    admission: { ...admission, requestsMax: 10 },
    timeouts: slow,
  });
  const handle = await createSession(server, '30s');
  const senders = Array.from({ length: 400 }, () => dial(t, server, hostile));
  for (const { socket } of senders) {
    socket.write(
      'POST /v1/nodes/slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n',
    );
  }
  const trickle = setInterval(() => {
    for (const { socket } of senders) if (socket.writable) socket.write('x');
  }, 100);
  t.teardown(() => clearInterval(trickle));
  await eventually(async () => (await metric(server, 'body_bytes_in_flight')) > 50_000, 'many are under way');
  let renewals = 0;
  await eventually(async () => {
    t.equal((await send(server, `/v1/sessions/${handle}`, { method: 'PUT' })).status, 200);
    t.equal((await send(server, '/v1/nodes/honest', { method: 'PUT', body: 'x' })).status < 300, true);
    renewals += 1;
    return senders.every(({ isClosed }) => isClosed());
  }, 'they are closed');
  t.ok(renewals > 0);
  t.match(
    senders[0]!.received(),
    /^HTTP\/1.1 408.*"code":"REQUEST_TIMEOUT".*the average must be at least \d+\. The request was given up/s,
  );
  t.equal(await metric(server, 'slow_senders_cut_total'), 400);
  t.equal((await send(server, `/v1/sessions/${handle}`)).status, 200);
});

t.test('idle NDJSON uploads of one address leave room for those of others, and hold no permit', async (t) => {
  const few = { ...admission, requestsMax: 1, uploadsMax: 8 };
  const server = await startTestServer(t, {}, undefined, { admission: few, timeouts });
  await http(`${server.url}/v1/topics`, 'POST', { name: 't' });
  const head =
    'POST /v1/topics/t/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n';
  const uploads = Array.from({ length: 8 }, () => dial(t, server, hostile));
  for (const { socket } of uploads) socket.write(head);
  await eventually(
    () => uploads.filter(({ received }) => /429/.test(received())).length === 4,
    'half of them are refused',
  );
  const refused = uploads.find(({ received }) => /429/.test(received()))!.received();
  t.match(refused, /streams of records in flight of 127.0.0.2: it has 4, and 4 of at most 8 are free/);
  t.match(refused, /WEIR_ADDRESS_SHARE.*WEIR_TRUST_PROXY/s);
  const headers = { 'content-type': 'application/x-ndjson' };
  for (let n = 0; n < 5; n += 1) {
    const honest = await send(server, '/v1/topics/t/records', { method: 'POST', body: `{"value":${n}}\n`, headers });
    t.equal(honest.status, 200);
    t.match(honest.body, /"baseOffset"/);
  }
  const accepted = uploads.filter(({ received }) => !/429/.test(received()));
  for (const { socket } of accepted) socket.write('c\r\n{"value":1}\n\r\n');
  await eventually(
    () => accepted.every(({ received }) => /"baseOffset"/.test(received())),
    'their records are appended when they arrive',
  );
  t.equal(await metric(server, 'admission_weight'), 0);
});

t.test('large bodies that arrive slowly make room for those of others', async (t) => {
  const KiB = 1024;
  const few = { ...admission, bodiesBytesMax: 1024 * KiB };
  const server = await startTestServer(t, { maxBodyBytes: 256 * KiB }, undefined, {
    admission: few,
    timeouts,
  });
  const senders = Array.from({ length: 32 }, () => dial(t, server, hostile));
  for (const { socket } of senders) {
    socket.write('PUT /v1/nodes/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\nx');
  }
  await eventually(async () => (await metric(server, 'body_bytes_in_flight')) === 1024 * KiB, 'there is no room left');
  for (let n = 0; n < 3; n += 1) {
    const honest = await send(server, `/v1/nodes/n${n}`, { method: 'PUT', body: 'x'.repeat(200 * KiB) });
    t.equal(honest.status, 201);
  }
  const handle = await createSession(server);
  t.equal((await send(server, `/v1/sessions/${handle}`, { method: 'PUT', body: '{}' })).status < 429, true);
  t.ok(
    senders.some(({ received }) => /429/.test(received())),
    'for which some were refused',
  );
});

t.test('connections, WebSockets and long polls of one address leave room for others', async (t) => {
  const few = { ...admission, socketsMax: 4, waitsMax: 4 };
  const server = await startTestServer(t, { maxConnections: 40 }, undefined, { admission: few, timeouts });
  const idle = Array.from({ length: 60 }, () => dial(t, server, hostile));
  await eventually(
    () => idle.filter(({ isClosed }) => isClosed()).length === 30,
    'those beyond its spare ones are dropped',
  );
  t.equal((await metric(server, 'connections_dropped_total', 'reason="address"')) >= 30, true);
  const last = idle.findLast(({ isClosed }) => !isClosed())!;
  last.socket.write('GET /v1/nodes/ HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await eventually(last.isClosed, 'a connection beyond the share is refused');
  t.match(last.received(), /^HTTP\/1.1 429 .*connection: close.*connections of 127.0.0.2: it has 20/is);
  const check = idle.filter(({ isClosed }) => !isClosed()).at(-1)!;
  check.socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await eventually(() => /^HTTP\/1.1 200/.test(check.received()), 'but for health');
  t.equal((await send(server, '/v1/nodes/')).status, 200);
  for (const { socket } of idle) socket.destroy();
  await eventually(async () => (await metric(server, 'connections_open')) < 10, 'they are gone');

  const open = async (localAddress: string) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/watch`, { localAddress });
    t.teardown(() => socket.terminate());
    socket.on('error', () => undefined);
    socket.on('open', () => socket.send('{"type":"ping"}'));
    const closed = once(socket, 'close').then(([code]) => code as number);
    const taken = once(socket, 'message').then(([text]) => (/"pong"/.test(String(text)) ? 101 : closed));
    return Promise.race([taken, closed]);
  };
  const statuses: number[] = [];
  for (let n = 0; n < 4; n += 1) statuses.push(await open(hostile));
  t.same(statuses, [101, 101, 4429, 4429]);
  t.equal(await open(own), 101);

  await http(`${server.url}/v1/nodes/polled`, 'PUT', 'x');
  const tag = (await http(`${server.url}/v1/nodes/polled`)).headers.get('etag')!;
  const polls = Array.from({ length: 2 }, () => dial(t, server, hostile));
  for (const { socket } of polls) {
    socket.write(`GET /v1/nodes/polled?wait=5m HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: ${tag}\r\n\r\n`);
  }
  const wait = { headers: { 'if-none-match': tag } };
  await eventually(async () => (await metric(server, 'requests_in_flight', 'kind="waits"')) === 2, 'both wait');
  t.match(await send(server, '/v1/nodes/polled?wait=1ms', { ...wait, localAddress: hostile }), {
    status: 429,
    body: { code: 'TOO_MANY_REQUESTS', detail: /long polls and event streams of 127.0.0.2: it has 2/ },
  });
  t.equal((await send(server, '/v1/nodes/polled?wait=1ms', wait)).status, 304);
});

t.test('watches on the sockets of one address leave room for those of others, and are released', async (t) => {
  const server = await startTestServer(t, {}, undefined, { admission: { ...admission, watchesMax: 4 }, timeouts });
  const open = async (localAddress: string) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/watch`, { localAddress });
    t.teardown(() => socket.terminate());
    const frames: { type: string; id?: string; detail?: string }[] = [];
    socket.on('message', (text) => frames.push(JSON.parse(String(text))));
    await once(socket, 'open');
    const ask = (frame: { id: string; type: string; path?: string; mode?: string; once?: boolean }) => {
      socket.send(JSON.stringify(frame));
      return eventually(() => frames.findLast(({ id }) => id === frame.id), `a response to ${frame.id}`);
    };
    const watch = (id: string, once = false) => ask({ type: 'watch', id, path: '/', mode: 'children', once });
    return { socket, frames, ask, watch };
  };
  await eventually(async () => (await http(`${server.url}/v1/nodes/controller`)).status === 200, 'a controller');
  const [one, two, honest] = [await open(hostile), await open(hostile), await open(own)];
  t.match(await one.watch('a'), { type: 'watching' });
  t.match(await two.watch('b', true), { type: 'watching' });
  t.match(await two.watch('c'), {
    type: 'error',
    code: 'TOO_MANY_REQUESTS',
    detail: /watches on sockets of 127.0.0.2: it has 2, and 2 of at most 4 are free/,
  });
  t.match(await honest.watch('d'), { type: 'watching' });
  await honest.ask({ type: 'unwatch', id: 'd' });
  await http(`${server.url}/v1/nodes/n`, 'PUT', 'x');
  await eventually(() => two.frames.some(({ type, id }) => type === 'events' && id === 'b'), 'it has sent its event');
  t.match(await two.watch('e'), { type: 'watching' }, 'one that was for one event has made room');
  one.socket.terminate();
  let next = 0;
  await eventually(async () => (await two.watch(`f${next++}`)).type === 'watching', 'so has a socket that is closed');
});

t.test('when all connections are taken, an idle one of the address with most is closed for a new one', async (t) => {
  const server = await startTestServer(t, { maxConnections: 12, addressShare: 1 });
  const idle = Array.from({ length: 12 }, () => dial(t, server, hostile));
  await eventually(() => idle.every(({ socket }) => !socket.connecting), 'they are open');
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  for (let n = 0; n < 3; n += 1) t.equal((await send(server, '/v1/nodes/', { agent })).status, 200);
  await eventually(() => idle.some(({ isClosed }) => isClosed()), 'one of theirs is closed');
});

t.test('X-Forwarded-For counts only from a trusted proxy', async (t) => {
  const few = { ...admission, waitsMax: 4 };
  const server = await startTestServer(t, { trustProxy: [hostile, '10.0.0.0/8'] }, undefined, {
    admission: few,
    timeouts,
  });
  await http(`${server.url}/v1/nodes/polled`, 'PUT', 'x');
  const tag = (await http(`${server.url}/v1/nodes/polled`)).headers.get('etag')!;
  const ask = (localAddress: string, forwardedFor: string, wait = '5m') => {
    const { socket, received } = dial(t, server, localAddress);
    socket.write(
      `GET /v1/nodes/polled?wait=${wait} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: ${tag}\r\nX-Forwarded-For: ${forwardedFor}\r\n\r\n`,
    );
    return received;
  };
  const poll = (localAddress: string, forwardedFor: string) => {
    const received = ask(localAddress, forwardedFor, '1ms');
    return eventually(() => /^HTTP\/1.1 \d+/.exec(received())?.[0].slice(-3), 'it has a response');
  };
  const waiting = () => metric(server, 'requests_in_flight', 'kind="waits"');
  for (let n = 0; n < 2; n += 1) ask(own, `192.0.2.${n}`);
  await eventually(async () => (await waiting()) === 2, 'both wait');
  t.equal(await poll(own, '192.0.2.9'), '429', 'any other speaks for itself, whatever it sends');
  t.equal(await poll(hostile, '192.0.2.9'), '304', 'the proxy speaks for a client');
  t.equal(await poll(hostile, `192.0.2.9, ${own}, 10.1.1.1`), '429', 'the last that is no proxy is the client');
  ask(hostile, 'made up, 2001:db8::1');
  await eventually(async () => (await waiting()) === 3, 'one more waits');
  t.equal(await poll(hostile, '2001:db8::2'), '429', 'a network of IPv6 is one client');
  t.equal(await poll(hostile, '2001:db8:0:1::2'), '304');
});

t.test(
  'fifty multis of thousands of checks at once are done one after the other, and none overloads the store',
  async (t) => {
    const server = await startTestServer(t, {}, undefined, {
      admission: { ...admission, requestWaitMsMax: 60_000 },
      timeouts,
    });
    const body = JSON.stringify({ ops: Array.from({ length: 5000 }, () => ({ op: 'check', path: '/' })) });
    const agent = new Agent({ maxSockets: 50 });
    t.teardown(() => agent.destroy());
    const responses = await Promise.all(
      Array.from({ length: 50 }, () => send(server, '/v1/multi', { method: 'POST', body, agent })),
    );
    const others = responses.filter(({ status }) => status !== 200 && status !== 429);
    t.same(others, []);
  },
);
