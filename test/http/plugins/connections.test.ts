// Several requests on one connection: malformed bodies, pipelined requests, and bytes after the end. Each response is sent whole and in
// order, and nothing is written into another one.
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { defaultConnectionLimits } from '../../../src/http/limits.ts';
import { openRaw, responsesIn } from '../../helpers/raw-connection.ts';
import { eventually, http, startTestServer, type TestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const { url } = server;
const host = `Host: ${new URL(url).host}`;
await http(`${url}/v1/topics`, 'POST', { name: 'lines' });

const statuses = (received: string) => responsesIn(received).map(({ status }) => status);
const endOffset = async () => (await http(`${url}/v1/topics/lines/partitions/0/records`)).body.endOffset;
const inFlight = async (kind: string, of: TestServer = server) =>
  Number(
    new RegExp(`weir_requests_in_flight\\{kind="${kind}"\\} (\\d+)`).exec((await http(`${of.url}/metrics`)).body)?.[1],
  );

t.test(
  'a body longer than its Content-Length: the request gets its response, and the connection is closed',
  async (t) => {
    const text = 'héllo wörld €uro';
    const before = await endOffset();
    for (const type of ['text/plain', 'application/x-ndjson']) {
      const body = Buffer.from(type === 'text/plain' ? text : `{"value":"${text}"}\n`);
      // As sent by clients that count characters in place of bytes.
      const length = body.toString().length;
      const connection = openRaw(t, url);
      const head = [
        'POST /v1/topics/lines/records HTTP/1.1',
        host,
        `Content-Type: ${type}`,
        `Content-Length: ${length}`,
      ];
      connection.socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]));
      const [first, ...more] = responsesIn(await connection.end());
      t.same(more, [], `${type}: there is one response`);
      if (type === 'text/plain') t.match(first, { status: 200, body: /"baseOffset"/ });
      else t.match(first, { status: 400, body: /"BAD_REQUEST"/ });
    }
    t.equal(await endOffset(), before + 1);
  },
);

t.test('requests followed by garbage still get their responses', async (t) => {
  const garbage = ['\x01\x02\x03 garbage\r\n\r\n', 'NOPE / HTTP/1.1\r\n\r\n', 'GET /é HTTP/1.1\r\n\r\n'];
  for (const behind of garbage) {
    const connection = openRaw(t, url);
    connection.send('GET /v1/nodes/?view=stat HTTP/1.1', host, '', 'GET /v1/cluster HTTP/1.1', host, '', behind);
    t.same(statuses(await connection.end()), [200, 200]);
  }
  // A long poll as the last request is not ended by it either.
  await http(`${url}/v1/nodes/polled`, 'PUT', 'a');
  const { headers } = await http(`${url}/v1/nodes/polled`);
  const connection = openRaw(t, url);
  connection.send(
    'GET /v1/nodes/polled?wait=60s HTTP/1.1',
    host,
    `If-None-Match: ${headers.get('etag')}`,
    '',
    '\x01\x02',
  );
  await eventually(async () => (await inFlight('waits')) === 1, 'it waits');
  await http(`${url}/v1/nodes/polled`, 'PUT', 'b');
  const [polled] = responsesIn(await connection.end());
  t.match(polled, { status: 200, body: 'b', head: /connection: close/i });
});

t.test('a request with an incomplete or malformed body gets one response, whether or not it has begun', async (t) => {
  const chunked = ['POST /v1/topics/lines/records HTTP/1.1', host, 'Transfer-Encoding: chunked'];
  const breaks: [name: string, (socket: ReturnType<typeof openRaw>['socket']) => void, RegExp][] = [
    ['a bad chunk', (socket) => socket.write('zz\r\n'), /Invalid character in chunk size/],
    ['a closed half', (socket) => socket.end(), /last chunk is missing/],
  ];
  for (const [name, breakOff, said] of breaks) {
    const begun = openRaw(t, url);
    begun.send(...chunked, 'Content-Type: application/x-ndjson', '', 'c\r\n{"value":1}\n\r\n');
    await begun.receives(/"baseOffset"/);
    breakOff(begun.socket);
    const received = await begun.end();
    const [stream, ...more] = responsesIn(received);
    t.same(more, [], `${name}: one response`);
    t.match(stream, { status: 200, body: said }, `${name}: its last line says what was wrong`);
    t.match(received, /\r\n0\r\n\r\n$/, `${name}: and it ends as it should`);

    for (const type of ['text/plain', 'application/x-ndjson']) {
      const early = openRaw(t, url);
      early.send(...chunked, `Content-Type: ${type}`, '', '3\r\nabc\r\n');
      await eventually(() => early.socket.bytesWritten > 0 && !early.socket.connecting, 'it is sent');
      breakOff(early.socket);
      const responses = responsesIn(await early.end());
      t.match(responses, [{ status: 400, body: said }], `${name}, ${type}: refused`);
      t.equal(responses.length, 1);
    }
  }
});

t.test('nothing is written into an event stream', async (t) => {
  for (const breakOff of ['\x01\x02 garbage', '']) {
    const connection = openRaw(t, url);
    connection.send('GET /v1/watch/ HTTP/1.1', host, '', '');
    await connection.receives(/"watching"/);
    if (breakOff === '') connection.socket.end();
    else connection.send(breakOff);
    await http(`${url}/v1/nodes/seen`, 'PUT', 'x');
    t.equal((await connection.end()).match(/HTTP\/1\.1 /g)?.length, 1);
  }
});

t.test(
  'a write begins once earlier requests of its connection have a response, and later ones wait for it',
  async (t) => {
    const connection = openRaw(t, url);
    const put = (value: string) => [`PUT /v1/nodes/order HTTP/1.1`, host, 'Content-Length: 1', '', value].join('\r\n');
    const get = ['GET /v1/nodes/order HTTP/1.1', host, '', ''].join('\r\n');
    const del = ['DELETE /v1/nodes/order HTTP/1.1', host, '', ''].join('\r\n');
    connection.socket.write(`${put('a')}${del}${get}${put('b')}${get}${get}${put('c')}${get}${del}`);
    await connection.receives(/(1\.1 204[\s\S]*){2}/);
    const responses = responsesIn(connection.received());
    t.same(
      responses.map(({ status }) => status),
      [201, 204, 404, 201, 200, 200, 200, 200, 204],
    );
    t.same(
      [4, 5, 7].map((i) => responses[i]!.body),
      ['b', 'b', 'c'],
    );
  },
);

t.test('a write waits for the long poll before it, and is dropped if the client disconnects', async (t) => {
  const before = await http(`${url}/v1/nodes/`, 'HEAD');
  t.equal(before.status, 200);
  for (const leaves of [false, true]) {
    await http(`${url}/v1/nodes/held`, 'PUT', 'a');
    const { headers } = await http(`${url}/v1/nodes/held`);
    const connection = openRaw(t, url);
    const poll = ['GET /v1/nodes/held?wait=60s HTTP/1.1', host, `If-None-Match: ${headers.get('etag')}`, '', ''];
    const put = [`PUT /v1/nodes/late-${leaves} HTTP/1.1`, host, 'Content-Length: 1', '', 'x'];
    connection.socket.write(poll.join('\r\n') + poll.join('\r\n') + put.join('\r\n'));
    await eventually(async () => (await inFlight('waits')) === 2, 'both polls wait');
    t.equal((await http(`${url}/v1/nodes/late-${leaves}`)).status, 404, 'the write has not begun');
    if (leaves) {
      connection.socket.destroy();
      await eventually(
        async () => (await inFlight('waits')) === 0,
        'a response without a waiting client does not count',
      );
    } else {
      await http(`${url}/v1/nodes/held`, 'PUT', 'b');
      await connection.receives(/201 Created/);
    }
    t.equal((await http(`${url}/v1/nodes/late-${leaves}`)).status, leaves ? 404 : 200);
  }
});

t.test('the number of requests that wait on one connection is limited', async (t) => {
  const limited = await startTestServer(t, {}, undefined, {
    connections: { ...defaultConnectionLimits, pipelinedMax: 3 },
  });
  await http(`${limited.url}/v1/nodes/held`, 'PUT', 'a');
  const { headers } = await http(`${limited.url}/v1/nodes/held`);
  const own = `Host: ${new URL(limited.url).host}`;
  const connection = openRaw(t, limited.url);
  const put = (i: number) => [`PUT /v1/nodes/n${i} HTTP/1.1`, own, 'Content-Length: 1', '', 'x'].join('\r\n');
  const poll = ['GET /v1/nodes/held?wait=60s HTTP/1.1', own, `If-None-Match: ${headers.get('etag')}`, '', ''];
  connection.socket.write(poll.join('\r\n') + [1, 2, 3, 4, 5].map(put).join(''));
  await eventually(async () => (await inFlight('waits', limited)) === 1, 'the poll waits');
  await http(`${limited.url}/v1/nodes/held`, 'PUT', 'b');
  const responses = responsesIn(await connection.end());
  t.same(
    responses.map(({ status }) => status),
    [200, 201, 201, 201, 429],
    'the connection ends with the first one that is refused',
  );
  t.match((await http(`${limited.url}/metrics`)).body, /weir_pipelined_requests_refused_total 2/);
  t.match(responses[4]!.body, /More than 3 requests wait on this connection/);
  for (const i of [4, 5])
    t.equal((await http(`${limited.url}/v1/nodes/n${i}`)).status, 404, 'and none behind it is done');
});

t.test('bytes that are not HTTP/1.1 are refused with the name of the protocol or the fault', async (t) => {
  const cases: [what: string, sent: Buffer | string, said: RegExp][] = [
    ['TLS', Buffer.from('16030100c8010000c40303', 'hex'), /TLS handshake.*http:\/\/ or ws:\/\//],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /This is HTTP\/2.*--http1\.1/],
    ['unencoded UTF-8', Buffer.from(`GET /v1/nodes/é HTTP/1.1\r\n${host}\r\n\r\n`), /holds the byte 0xc3.*%C3%A9/],
    ['a space in the URL', `GET /v1/nodes/a b HTTP/1.1\r\n${host}\r\n\r\n`, /A space in a URL is written %20/],
    ['Redis', 'PING\r\n', /does not begin with a known HTTP\/1.1 method/],
    ['a header without a name', `GET / HTTP/1.1\r\n: x\r\n${host}\r\n\r\n`, /not a valid HTTP\/1\.1 request: /],
    ['two lengths', `PUT / HTTP/1.1\r\n${host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n`, /Content-Length/],
  ];
  for (const [what, sent, said] of cases) {
    const connection = openRaw(t, url);
    connection.socket.write(sent);
    t.match(responsesIn(await connection.end()), [{ status: 400, body: said }], what);
  }
});

async function refusedWhileSending(t: Test, target: string, lines: string[], limited = server) {
  const connection = openRaw(t, limited.url, { allowHalfOpen: true });
  connection.send(`POST ${target} HTTP/1.1`, `Host: ${new URL(limited.url).host}`, ...lines, '', '');
  let resets = 0;
  connection.socket.on('error', () => {
    resets += 1;
  });
  return { ...connection, resets: () => resets };
}

t.test('a client that is refused while it sends may finish: its response is not lost to a reset', async (t) => {
  const lingering = { ...defaultConnectionLimits.lingering, ms: 60_000 };
  const small = await startTestServer(t, { maxBodyBytes: 64 * 1024 }, undefined, {
    connections: { ...defaultConnectionLimits, lingering },
  });
  const piece = Buffer.alloc(64 * 1024, 'x');
  const pieces = 100;
  const cases: [target: string, lines: string[], status: number, chunked: boolean][] = [
    ['/v1/topics/none/records', [`Content-Length: ${pieces * piece.length}`], 413, false],
    ['/v1/topics/none/records', ['Transfer-Encoding: chunked'], 413, true],
    ['/v1/nothing', [`Content-Length: ${pieces * piece.length}`], 404, false],
    ['/v1/topics/none/records', ['Transfer-Encoding: chunked', 'Origin: http://evil.example'], 403, true],
  ];
  for (const [target, lines, status, chunked] of cases) {
    const sender = await refusedWhileSending(t, target, lines, small);
    const write = (bytes: Buffer | string) =>
      new Promise<void>((resolve) => void sender.socket.write(bytes, () => resolve()));
    for (let i = 0; i < pieces; i++) {
      if (chunked) await write(`${piece.length.toString(16)}\r\n`);
      await write(piece);
      if (chunked) await write('\r\n');
      if (i === 5) await sender.receives(/HTTP\/1\.1 4/);
    }
    if (chunked) await write('0\r\n\r\n');
    t.equal(responsesIn(sender.received())[0]?.status, status, target);
    t.equal(sender.resets(), 0, `${target}: nothing is reset`);
    sender.socket.end();
    await sender.end();
  }
});

t.test('a connection on which many requests were refused keeps no state of them', async (t) => {
  const connection = openRaw(t, url);
  const accepted = new Promise<Socket>((resolve) => server.app.server.once('connection', resolve));
  const socket = await accepted;
  for (let i = 1; i <= 20; i++) {
    connection.send('POST /v1/nothing HTTP/1.1', host, 'Content-Length: 1', '', '');
    await eventually(
      () => connection.received().split('HTTP/1.1 404').length === i + 1,
      'it is refused before its body',
    );
    connection.send('x');
  }
  await eventually(() => socket.listenerCount('close') < 15, 'no listeners stay');
});

t.test('bytes, time and number of connections that are read to their end are limited', async (t) => {
  const lingering = { ms: 60_000, bytes: 256 * 1024, connections: 1 };
  const open = async (limits: typeof lingering) => {
    const limited = await startTestServer(t, { maxBodyBytes: 1024 }, undefined, {
      connections: { ...defaultConnectionLimits, lingering: limits },
    });
    const sender = await refusedWhileSending(t, '/v1/topics/none/records', ['Content-Length: 99999999'], limited);
    await sender.receives(/HTTP\/1\.1 413 [\s\S]*connection: close/i);
    return { limited, sender };
  };
  const { limited, sender } = await open(lingering);
  const lingers = async (count: number) =>
    eventually(
      async () => (await http(`${limited.url}/metrics`)).body.includes(`weir_connections_lingering ${count}`),
      `${count} linger`,
    );
  await lingers(1);
  const second = await refusedWhileSending(t, '/v1/topics/none/records', ['Content-Length: 99999999'], limited);
  await second.receives(/HTTP\/1\.1 413 /);
  await lingers(1);
  const sendOn = async ({ socket }: typeof sender) => {
    while (!socket.destroyed) {
      socket.write(Buffer.alloc(16 * 1024));
      await pause(5);
    }
  };
  await sendOn(sender);
  await lingers(0);
  const slow = await open({ ...lingering, ms: 50, bytes: 32 * 1024 * 1024 });
  await sendOn(slow.sender);
  t.pass('neither does one stay open that has sent too much, nor one that takes too long');
});

t.test('100 Continue is sent when the body will be read, and not if the request is refused', async (t) => {
  const ask = (target: string, ...lines: string[]) => {
    const connection = openRaw(t, url);
    connection.send(`POST ${target} HTTP/1.1`, host, 'Expect: 100-continue', ...lines, '', '');
    return connection;
  };
  const body = '{"value":1}\n';
  for (const type of ['text/plain', 'application/x-ndjson']) {
    const wanted = ask('/v1/topics/lines/records', `Content-Type: ${type}`, `Content-Length: ${body.length}`);
    await wanted.receives(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    wanted.send(body);
    await wanted.receives(/HTTP\/1\.1 200 /);
    wanted.socket.destroy();
  }
  const refused: [target: string, lines: string[], status: number][] = [
    ['/v1/topics/lines/records', ['Content-Length: 99999999'], 413],
    [
      '/v1/topics/lines/records',
      ['Content-Type: application/x-ndjson', 'Content-Length: 9', 'Origin: http://x.y'],
      403,
    ],
    ['/v1/topics/none/records', ['Content-Type: application/x-ndjson', 'Content-Length: 9'], 404],
    ['/v1/topics/lines/records?akcs=1', ['Content-Length: 9'], 400],
    ['/v1/topics/lines/partitions/x/records', ['Content-Length: 9'], 400],
    ['/v1/sessions', ['Content-Length: 9', 'Content-Type: text/html'], 415],
    ['/v1/nothing', ['Content-Length: 9'], 404],
    ['/v1/cluster', ['Content-Length: 9'], 405],
  ];
  for (const [target, lines, status] of refused) {
    const connection = ask(target, ...lines);
    const [response] = responsesIn(await connection.end());
    t.match(response, { status, head: /connection: close/i }, target);
  }
});

t.test('a client that closes its half of the connection gets the responses to all its requests', async (t) => {
  const put = (name: string, body: string) => [
    `PUT /v1/nodes/${name} HTTP/1.1`,
    host,
    'Content-Type: text/plain',
    `Content-Length: ${body.length}`,
    '',
    body,
  ];
  const cases: [what: string, lines: string[], expected: number[]][] = [
    ['a read', ['GET /v1/nodes/?view=stat HTTP/1.1', host, '', ''], [200]],
    ['a large read', ['GET /metrics HTTP/1.1', host, '', ''], [200]],
    ['a write', put('half', 'a'), [201]],
    [
      'pipelined writes',
      [
        `${put('half-1', 'a').join('\r\n')}${put('half-1', 'b').join('\r\n')}DELETE /v1/nodes/half-1 HTTP/1.1`,
        host,
        '',
        '',
      ],
      [201, 200, 204],
    ],
    ['a refusal', ['GET /v1/nodes/absent HTTP/1.1', host, '', ''], [404]],
    [
      'a stream of records',
      [
        'POST /v1/topics/lines/records HTTP/1.1',
        host,
        'Content-Type: application/x-ndjson',
        'Transfer-Encoding: chunked',
        '',
        'c',
        '{"value":1}\n',
        '0',
        '',
        '',
      ],
      [200],
    ],
  ];
  for (const [what, lines, expected] of cases) {
    const connection = openRaw(t, url, { allowHalfOpen: true });
    connection.socket.on('end', () => connection.socket.destroy());
    connection.socket.end(lines.join('\r\n'), 'latin1');
    t.same(statuses(await connection.end()), expected, what);
  }
});

t.test('a long poll ends when its client closes its half of the connection', async (t) => {
  await http(`${url}/v1/nodes/left`, 'PUT', 'a');
  const { headers } = await http(`${url}/v1/nodes/left`);
  const waits = [
    ['GET /v1/nodes/left?wait=60s HTTP/1.1', host, `If-None-Match: ${headers.get('etag')}`, '', ''],
    ['GET /v1/watch/left HTTP/1.1', host, 'Accept: text/event-stream', '', ''],
  ];
  for (const lines of waits) {
    const connection = openRaw(t, url, { allowHalfOpen: true });
    connection.socket.on('end', () => connection.socket.destroy());
    connection.send(...lines);
    await eventually(async () => (await inFlight('waits')) === 1, 'it waits');
    connection.socket.end();
    await connection.end();
    await eventually(async () => (await inFlight('waits')) === 0, 'it waits no more');
  }
  // The half may be closed before the wait begins.
  const connection = openRaw(t, url, { allowHalfOpen: true });
  connection.socket.on('end', () => connection.socket.destroy());
  connection.socket.end(waits[0]!.join('\r\n'));
  await connection.end();
  t.equal(await inFlight('waits'), 0);
});
