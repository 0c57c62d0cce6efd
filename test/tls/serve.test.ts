// TLS of the port: requests, sockets and streams as without it; what clients get that do not speak it; limits on connections.
import { execFile } from 'node:child_process';
import { connect as connectPlain } from 'node:net';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import t from 'tap';
import { WebSocket } from 'ws';
import { defaultConnectionLimits, defaultHttpTimeouts } from '../../src/http/limits.ts';
import { eventually } from '../helpers/server.ts';
import { makeTlsFiles, startTlsServer, type TlsServer } from '../helpers/tls.ts';

const files = await makeTlsFiles(t);
const server = await startTlsServer(t, files);
const { ask, url } = server;
const { port } = new URL(url);
const ca = files.authority.cert;

async function metric(name: string, of: Pick<TlsServer, 'ask'> = server): Promise<number> {
  const { body } = await of.ask('GET', '/metrics');
  return Number(
    (body as string)
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')[1] ?? 'NaN',
  );
}

/** What a connection receives until it is closed. */
function received(
  socket: NodeJS.ReadableStream & { on(event: string, listener: () => void): unknown },
): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

t.test('requests are served by https, and the broker advertises it', async (t) => {
  t.match(url, /^https:/);
  t.equal((await ask('PUT', '/v1/nodes/secure', { body: 'x' })).status, 201);
  t.equal((await ask('GET', '/v1/nodes/secure')).body, 'x');
  const { brokers } = (await ask('GET', '/v1/cluster')).body;
  t.match(brokers, [{ endpoints: [url] }]);
  t.equal((await ask('GET', '/health/ready')).status, 200);
});

t.test('curl is a full client with --cacert', async (t) => {
  const curl = async (...args: string[]) =>
    (await promisify(execFile)('curl', ['-sS', '--cacert', files.caFile, ...args])).stdout;
  t.match(JSON.parse(await curl('-X', 'PUT', '-d', 'by curl', `${url}/v1/nodes/curl`)), { path: '/curl' });
  t.equal(await curl(`${url}/v1/nodes/curl`), 'by curl');
  await t.rejects(promisify(execFile)('curl', ['-sS', `${url}/health/live`]), { message: /certificate/ });
});

t.test('a WebSocket works by wss, also behind a request on its connection', async (t) => {
  const ws = new WebSocket(`${url.replace('https', 'wss')}/v1/watch`, { ca });
  t.teardown(() => ws.terminate());
  await new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
  const frames: any[] = [];
  ws.on('message', (data) => frames.push(JSON.parse(String(data))));
  ws.send(JSON.stringify({ type: 'watch', id: 'w', path: '/watched', mode: 'node' }));
  await eventually(() => frames.some(({ type }) => type === 'watching'), 'the watch is set');
  await ask('PUT', '/v1/nodes/watched', { body: 'x' });
  await eventually(() => frames.some(({ type }) => type === 'events'), 'an event');
});

t.test('an event stream is sent as it comes', async (t) => {
  const socket = connect({ port: Number(port), host: '127.0.0.1', ca });
  t.teardown(() => socket.destroy());
  let text = '';
  socket.on('data', (piece) => {
    text += String(piece);
  });
  socket.write('GET /v1/watch/?mode=recursive HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await eventually(() => /watching/.test(text), 'the stream has begun');
  await ask('PUT', '/v1/nodes/streamed', { body: 'x' });
  await eventually(() => /\/streamed/.test(text), 'the event');
});

t.test('an offer of another protocol than WebSocket is ignored, and its request served', async (t) => {
  const socket = connect({ port: Number(port), host: '127.0.0.1', ca });
  const text = received(socket);
  socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: upgrade, close\r\n\r\n');
  t.match(await text, /^HTTP\/1\.1 200 .*"status":"ok"/s);
});

t.test('a client that closes its half still gets its response', async (t) => {
  const socket = connect({ port: Number(port), host: '127.0.0.1', ca, allowHalfOpen: true } as object);
  const text = received(socket);
  socket.on('end', () => socket.destroy());
  socket.end('GET /v1/cluster HTTP/1.1\r\nHost: localhost\r\n\r\n');
  t.match(await text, /^HTTP\/1\.1 200 /);
});

t.test('plain HTTP is refused with a problem that says what to use', async (t) => {
  const before = await metric('weir_tls_handshakes_failed_total{reason="plain_http"}');
  const socket = connectPlain(Number(port), '127.0.0.1');
  const text = received(socket);
  socket.write('GET /v1/nodes/secure HTTP/1.1\r\nHost: localhost\r\n\r\n');
  t.match(await text, /^HTTP\/1\.1 400 .*problem\+json.*"BAD_REQUEST".*Use https:\/\//s);
  t.equal(await metric('weir_tls_handshakes_failed_total{reason="plain_http"}'), (before || 0) + 1);
});

t.test('TLS before 1.2 is refused, and 1.2 and 1.3 are taken', async (t) => {
  const versionOf = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
    new Promise<string | null>((resolve, reject) => {
      const options = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
      const socket = connect({ port: Number(port), host: '127.0.0.1', ca, ...options }, () => {
        resolve(socket.getProtocol());
        socket.destroy();
      });
      socket.on('error', reject);
    });
  t.equal(await versionOf('TLSv1.3'), 'TLSv1.3');
  t.equal(await versionOf('TLSv1.2'), 'TLSv1.2');
  await t.rejects(versionOf('TLSv1.1'));
  await eventually(async () => (await metric('weir_tls_handshakes_failed_total{reason="version"}')) >= 1, 'counted');
});

t.test('a client that does not trust the certificate is counted', async () => {
  const socket = connect({ port: Number(port), host: '127.0.0.1' });
  await received(socket);
  const name = 'weir_tls_handshakes_failed_total{reason="certificate_refused"}';
  await eventually(async () => (await metric(name)) >= 1, 'counted');
});

t.test('connections without a handshake are closed in time, and count in the share of their address', async (t) => {
  const small = await startTlsServer(
    t,
    files,
    { maxConnections: 10, addressShare: 0.5 },
    {
      target: server.target,
      limits: {
        timeouts: { ...defaultHttpTimeouts, headMs: 1000, checkIntervalMs: 100 },
        connections: { ...defaultConnectionLimits, spare: { total: 10, ofClient: 2 } },
      },
    },
  );
  const silent = Array.from({ length: 12 }, () => connectPlain(Number(new URL(small.url).port), '127.0.0.1'));
  t.teardown(() => {
    for (const socket of silent) socket.destroy();
  });
  const closed = Promise.all(silent.map((socket) => received(socket)));
  // Beyond its share a request gets a refusal, or its connection is dropped; health is served by the spare ones.
  await closed;
  t.equal((await small.ask('GET', '/v1/cluster')).status, 200, 'the places are free again');
  t.ok((await metric('weir_tls_handshakes_failed_total{reason="timeout"}', small)) >= 1);
  t.ok((await metric('weir_connections_dropped_total{reason="address"}', small)) >= 1);
});

t.test('a connection beyond the share of its address is refused by a problem', async (t) => {
  const small = await startTlsServer(t, files, { maxConnections: 10, addressShare: 0.2 }, { target: server.target });
  const open = Array.from({ length: 4 }, () =>
    connect({ port: Number(new URL(small.url).port), host: '127.0.0.1', ca }),
  );
  t.teardown(() => {
    for (const socket of open) socket.destroy();
  });
  await Promise.all(open.map((socket) => new Promise((resolve) => socket.once('secureConnect', resolve))));
  const { status, body } = await small.ask('GET', '/v1/cluster');
  t.equal(status, 429);
  t.match(body.detail, /too many connections of 127\.0\.0\.1/);
  t.equal((await small.ask('GET', '/health/live')).status, 200);
});

t.test('a response that its client does not read is cut', async (t) => {
  const slow = await startTlsServer(
    t,
    files,
    { maxNodeBytes: 16 * 1024 * 1024 },
    {
      target: server.target,
      limits: { timeouts: { ...defaultHttpTimeouts, responseIdleMs: 300, checkIntervalMs: 50 } },
    },
  );
  await slow.ask('PUT', '/v1/nodes/large', { body: 'x'.repeat(15 * 1024 * 1024) });
  const socket = connect({ port: Number(new URL(slow.url).port), host: '127.0.0.1', ca });
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.write('GET /v1/nodes/large HTTP/1.1\r\nHost: localhost\r\n\r\n');
  socket.pause();
  await eventually(
    async () => (await metric('weir_responses_cut_total{reason="stalled"}', slow)) === 1,
    'the response is cut',
  );
});
