// Sockets that are refused at their handshake. A browser does not show the HTTP response, so the error is sent over the socket.
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import WebSocket from 'ws';
import { problemSchema } from '../../schemas/errors.ts';
import { refusedSocketLimits } from '../../src/ws/limits.ts';
import { eventually, http, startTestServer } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const warnings: string[] = [];
process.on('warning', (warning) => warnings.push(String(warning)));
const server = await startTestServer(t);
await http(`${server.url}/v1/topics`, 'POST', { name: 'topic' });
const paths = ['/v1/watch', '/v1/topics/topic/stream', '/v1/groups/group/stream?topics=topic'];
const metrics = async () => (await http(`${server.url}/metrics`)).body as string;

t.test(
  'each kind of socket is accepted, gets the problem in an error frame, and is closed with 4000 + status',
  async (t) => {
    for (const path of paths) {
      const refused = async (query: string, headers: Record<string, string>, status: number, code: string) => {
        const url = `${server.url}${path}${query && (path.includes('?') ? '&' : '?')}${query}`;
        const socket = await openSocket(t, url, headers);
        t.equal(await socket.closed, 4000 + status, `${path} ${code}`);
        t.match(socket.frames, [{ type: 'error', status, code }]);
        t.ok(problemSchema.safeParse({ ...socket.frames[0], type: 'about:blank' }).success);
      };
      await refused('', { origin: 'https://evil.example' }, 403, 'FORBIDDEN');
      await refused('', { host: 'evil.example' }, 403, 'FORBIDDEN');
      await refused('tpoic=a', {}, 400, 'BAD_REQUEST');
      await refused('', { 'weir-session': 'none' }, 410, 'SESSION_EXPIRED');
    }
    t.match(await metrics(), /weir_sockets_refused_total\{code="FORBIDDEN"\} 6/);
    t.notMatch(await metrics(), /weir_sockets_open\{/, 'refused sockets are not counted as open');
  },
);

t.test('an invalid handshake, or one at a path without a socket, is refused by an HTTP response', async (t) => {
  const ws = new WebSocket(`${server.url.replace('http', 'ws')}/v1/nodes/a`);
  ws.on('error', () => {});
  const [, response] = await once(ws, 'unexpected-response');
  t.equal(response.statusCode, 400);
  const { port } = new URL(server.url);
  const good = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
  const cases: [headers: string, detail: RegExp][] = [
    ['Sec-WebSocket-Version: 13\r\n', /Sec-WebSocket-Key is missing; it must be 16 bytes in base64/],
    ['Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n', /Sec-WebSocket-Key is \\"short\\"/],
    ['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n', /Sec-WebSocket-Version is missing; it must be 13/],
    [good.replace('13', '8'), /Sec-WebSocket-Version is 8; it must be 13/],
    [`${good}Sec-WebSocket-Protocol: a, a\r\n`, /Sec-WebSocket-Protocol is \\"a, a\\"/],
    [`${good}Sec-WebSocket-Protocol: a b\r\n`, /Sec-WebSocket-Protocol is \\"a b\\"/],
  ];
  for (const [headers, detail] of cases) {
    const socket = connect(Number(port), '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.write(
      `GET /v1/watch HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${headers}\r\n`,
    );
    const [response] = await once(socket, 'data');
    t.match(String(response), /^HTTP\/1\.1 400 /);
    t.match(String(response), /content-type: application\/problem\+json/i);
    t.match(String(response), detail);
  }
});

t.test('the number and the time of refused sockets are limited, even if the client does not close them', async (t) => {
  const { port } = new URL(server.url);
  const heads: string[] = [];
  let closed = 0;
  for (let i = 0; i < refusedSocketLimits.openMax + 20; i++) {
    // The client does not reply to the close frame and does not disconnect.
    const socket = connect(Number(port), '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => {
      closed += 1;
    });
    socket.write(
      `GET /v1/watch?x=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    socket.once('data', (data) => heads.push(String(data).slice(0, 12)));
  }
  await eventually(() => heads.length === refusedSocketLimits.openMax + 20, 'each handshake gets a response');
  t.equal(heads.filter((head) => head === 'HTTP/1.1 101').length, refusedSocketLimits.openMax);
  t.equal(heads.filter((head) => head === 'HTTP/1.1 400').length, 20);
  await eventually(() => closed === heads.length, 'all sockets are closed');
  const socket = await openSocket(t, `${server.url}/v1/watch?x=1`);
  t.equal(await socket.closed, 4400, 'a further socket is accepted again');
});

t.test('no socket has so many listeners that Node.js warns of a leak', async (t) => {
  t.same(warnings, []);
});
