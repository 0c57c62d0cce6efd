// Which names in Host the server accepts, against pages whose own name resolves to the loopback (DNS rebinding).
import { request } from 'node:http';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import t from 'tap';
import { WebSocket } from 'ws';
import { startServer } from '../../../src/server.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { http, startTestServer, testConfig } from '../../helpers/server.ts';

/** The status of a read whose Host is not the address that it is sent to. */
function statusFor(url: string, host: string, path = '/v1/nodes/?view=stat'): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}${path}`, { headers: { host } }, (reply) => {
      reply.resume();
      resolve(reply.statusCode!);
    });
    asked.on('error', reject).end();
  });
}

t.test('on the loopback a server accepts its own names and addresses, and no other name', async (t) => {
  const { url } = await startTestServer(t, { advertisedUrl: 'http://weir.example:7070' });
  const { port } = new URL(url);
  for (const name of [
    'localhost',
    'app.localhost',
    hostname(),
    '127.0.0.1',
    '127.8.8.8',
    '[::1]',
    '10.1.2.3',
    'Weir.Example',
  ]) {
    for (const host of [name, `${name}:${port}`]) t.equal(await statusFor(url, host), 200, host);
  }
  for (const host of ['evil.example', `evil.example:${port}`, 'localhost.evil.example', '127.0.0.1.evil.example']) {
    t.equal(await statusFor(url, host), 403, `"${host}"`);
  }
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/watch`, {
    headers: { host: `evil.example:${port}`, origin: `http://evil.example:${port}` },
  });
  const refused = await new Promise((resolve) => socket.on('close', resolve));
  t.equal(refused, 4403, 'nor does a socket stay open');
});

t.test('the host of a target counts, as to a proxy, and not Host beside it', async (t) => {
  const { url } = await startTestServer(t);
  const { host, port, hostname: address } = new URL(url);
  const statusOf = async (target: string, header: string) => {
    const socket = connect(Number(port), address);
    socket.end(`GET ${target} HTTP/1.1\r\nHost: ${header}\r\nConnection: close\r\n\r\n`);
    return Number((await text(socket)).split(' ')[1]);
  };
  const path = '/v1/nodes/?view=stat';
  t.equal(await statusOf(`http://${host}${path}`, 'evil.example'), 200);
  t.equal(await statusOf(`HTTP://${host}${path}`, 'evil.example'), 200);
  t.equal(await statusOf(`http://evil.example${path}`, host), 403);
  t.equal(await statusOf(`http://user@${host}${path}`, host), 400);
});

t.test('WEIR_ALLOWED_HOSTS adds names, and * accepts every name', async (t) => {
  const named = await startTestServer(t, { allowedHosts: ['proxy.example'] });
  t.equal(await statusFor(named.url, 'PROXY.example:80'), 200);
  t.equal(await statusFor(named.url, 'evil.example'), 403);
  const any = await startTestServer(t, { allowedHosts: ['*'] });
  t.equal(await statusFor(any.url, 'evil.example'), 200);
});

t.test('wherever a server listens, a name that is not its own is refused, counted, and logged once', async (t) => {
  const lines: { host?: string }[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const { socketPath } = await startTestRedis(t);
  const server = await startServer(
    { ...testConfig, host: '0.0.0.0', allowedHosts: ['.inner.example'] },
    { socketPath },
    log,
  );
  t.teardown(() => server.close());
  const url = server.url.replace('0.0.0.0', '127.0.0.1');
  for (const host of [hostname(), 'localhost', 'localhost.', '10.1.2.3', 'weir-0.inner.example']) {
    t.equal(await statusFor(url, host), 200, host);
  }
  for (const host of ['evil.example', 'EVIL.example:80', 'inner.example', `${hostname()}.evil.example`]) {
    t.equal(await statusFor(url, host), 403, host);
  }
  t.equal(await statusFor(url, 'balancer.example', '/health/live'), 200, 'a health check may use any name');
  t.equal(await statusFor(url, 'balancer.example', '/metrics'), 403);
  t.match((await http(`${url}/metrics`)).body, /weir_hosts_refused_total 5/);
  t.equal(lines.filter(({ host }) => host === 'evil.example').length, 1);
  for (let i = 0; i < 150; i++) await statusFor(url, `evil-${i}.example`);
  const about = lines.filter(({ host }) => host !== undefined);
  t.equal(about.length, 100, 'a client that sends ever new names does not fill the log');
});

t.test('a request has exactly one Host, and HTTP/1.0 may do without', async (t) => {
  for (const allowedHosts of [[], ['*']]) {
    const { url } = await startTestServer(t, { allowedHosts });
    const { host, port } = new URL(url);
    const response = async (version: string, ...lines: string[]) => {
      const socket = connect(Number(port), '127.0.0.1');
      socket.write([`GET /health/live HTTP/${version}`, ...lines, 'Connection: close', '', ''].join('\r\n'));
      return text(socket);
    };
    const own = `Host: ${host}`;
    t.match(await response('1.1', own), /^HTTP\/1\.1 200 /);
    t.match(await response('1.0'), /^HTTP\/1\.1 200 /);
    for (const other of ['host: evil.example', `HOST: ${host}`]) {
      t.match(await response('1.1', own, other), /^HTTP\/1\.1 400 [\s\S]*"BAD_REQUEST".*has 2 headers Host/, other);
    }
    t.match(await response('1.0', own, own), /^HTTP\/1\.1 400 .*/);
    t.match(await response('1.1'), /^HTTP\/1\.1 400 [\s\S]*"BAD_REQUEST".*has no header Host/);
  }
});

t.test('a Host that is neither a name nor an address is refused as malformed', async (t) => {
  const { url } = await startTestServer(t);
  for (const host of ['a b', 'a/b:c', ':']) t.equal(await statusFor(url, host), 400, host);
});
