// Upgrade requests: WebSocket is accepted where the route has one, and every other request is served over HTTP/1.1 (RFC 9110, 7.8).
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { openRaw, responsesIn } from '../../helpers/raw-connection.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const run = promisify(execFile);
const { url } = await startTestServer(t);
const host = `Host: ${new URL(url).host}`;
const h2c = [
  'Connection: Upgrade, HTTP2-Settings',
  'Upgrade: h2c',
  'HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
];
const webSocket = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGVhIHRlYSB0ZWEgdGVhIQ==',
];

t.test(
  'an upgrade to another protocol than WebSocket is ignored: the body is read, and the connection stays open',
  async (t) => {
    const connection = openRaw(t, url);
    const { port } = new URL(url);
    t.ok(port);
    const put = ['PUT /v1/nodes/offered HTTP/1.1', host, ...h2c, 'Content-Length: 5', '', 'first'];
    const chunked = [
      'PUT /v1/nodes/offered HTTP/1.1',
      host,
      ...h2c,
      'Transfer-Encoding: chunked',
      '',
      '6\r\nsecond\r\n0\r\n\r\n',
    ];
    const get = ['GET /v1/nodes/offered HTTP/1.1', host, ...h2c, '', ''];
    const plain = ['GET /v1/nodes/offered HTTP/1.1', host, '', ''];
    // One after the other, and pipelined in one write.
    for (const request of [put, get, chunked, plain]) {
      const before = connection.received().length;
      connection.send(...request);
      await eventually(() => {
        const received = connection.received().slice(before);
        return received !== '' && /\r\n\r\n./.test(received);
      }, 'the response');
    }
    connection.socket.write(
      [
        put,
        get,
        chunked,
        get,
        plain,
        ['GET /health/live HTTP/1.1', host, 'Connection: close, Upgrade', 'Upgrade: h2c', '', ''],
      ]
        .map((lines) => lines.join('\r\n'))
        .join(''),
    );
    const responses = responsesIn(await connection.end());
    t.same(
      responses.map(({ status }) => status),
      [201, 200, 200, 200, 200, 200, 200, 200, 200, 200],
    );
    t.same(
      [1, 3, 5, 7, 8].map((i) => responses[i]!.body),
      ['first', 'second', 'first', 'second', 'second'],
    );
  },
);

t.test('the body of an ignored upgrade is read also if it arrives after the head', async (t) => {
  const connection = openRaw(t, url);
  connection.send('PUT /v1/nodes/later HTTP/1.1', host, ...h2c, 'Content-Length: 10', '', 'hello');
  connection.send('again');
  await connection.receives(/HTTP\/1\.1 201 /);
  t.equal((await http(`${url}/v1/nodes/later`)).body, 'helloagain');
});

t.test('an ignored upgrade with Expect gets its 100 Continue', async (t) => {
  const connection = openRaw(t, url);
  connection.send('PUT /v1/nodes/expected HTTP/1.1', host, ...h2c, 'Expect: 100-continue', 'Content-Length: 1', '', '');
  await connection.receives(/^HTTP\/1\.1 100 Continue/);
  connection.send('x');
  await connection.receives(/HTTP\/1\.1 201 /);
});

t.test(
  'a WebSocket opens with any spelling of Upgrade, also among other protocols and after pipelined requests',
  async (t) => {
    for (const upgrade of ['websocket', 'WebSocket', 'h2c, websocket']) {
      const connection = openRaw(t, url);
      connection.socket.write(
        [
          ['GET /v1/nodes/?view=stat HTTP/1.1', host, '', ''],
          [
            'GET /v1/watch HTTP/1.1',
            host,
            ...webSocket.filter((line) => !line.startsWith('Upgrade')),
            `Upgrade: ${upgrade}`,
            '',
            '',
          ],
        ]
          .map((lines) => lines.join('\r\n'))
          .join(''),
      );
      await connection.receives(/HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 101 /);
      connection.socket.destroy();
    }
  },
);

t.test('an invalid WebSocket handshake is refused with the reason', async (t) => {
  const ask = async (...lines: string[]) => {
    const connection = openRaw(t, url);
    connection.send(...lines, host, '', '');
    await connection.receives(/detail/);
    connection.socket.destroy();
    return responsesIn(connection.received())[0]!;
  };
  const nodes = await ask('GET /v1/nodes/ HTTP/1.1', ...webSocket);
  t.match(nodes, { status: 400, body: /\/v1\/nodes\/\* takes no WebSocket; \/v1\/watch, .*do/ });
  // As nginx forwards a handshake by default.
  for (const path of ['/v1/watch', '/v1/topics/t/stream', '/v1/groups/g/stream']) {
    const lost = await ask(`GET ${path} HTTP/1.1`, 'Connection: close', ...webSocket.slice(2));
    t.match(lost, { status: 400, body: /without the header Upgrade: a proxy between may have removed it/ }, path);
  }
  t.match(await ask('GET /v1/watch HTTP/1.1'), { status: 400, body: /a proxy between has removed the header Upgrade/ });
});

t.test("curl's HTTP/2 by upgrade is served in HTTP/1.1", async (t) => {
  const node = `${url}/v1/nodes/curl`;
  const { stdout } = await run('curl', [
    '-s',
    '--http2',
    '-X',
    'PUT',
    '-d',
    'by curl',
    '-w',
    ' %{http_version} %{response_code}',
    node,
  ]);
  t.match(stdout, / 1\.1 201$/);
  t.equal((await http(node)).body, 'by curl');
});

t.test("Java's own HTTP client works with its defaults", async (t) => {
  const java = await run('java', ['-version']).catch(() => undefined);
  if (!java) return t.pass('not tried: this machine has no java');
  const { stdout } = await run('java', ['test/fixtures/JavaClient.java', url], { timeout: 120_000 });
  t.equal(stdout, 'live 200\nready 200\nput 201 HTTP_1_1\nget 200 from Java\nproduce 200\nwatch open\ndelete 204\n');
});
