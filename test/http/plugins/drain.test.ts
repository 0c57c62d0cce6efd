import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { Config } from '../../../src/config/config.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

/** A raw connection for hand-written HTTP, which records all bytes received. */
function openConnection(t: Test, url: string): { socket: Socket; received: () => string } {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.teardown(() => socket.destroy());
  let received = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    received += chunk;
  });
  socket.on('error', () => undefined);
  return { socket, received: () => received };
}

const refusesConnections = (url: string) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });

/** A connection with an incomplete request while the server stops. */
async function requestDuringStop(t: Test, start: string, config: Partial<Config> = {}) {
  const server = await startTestServer(t, config);
  const connection = openConnection(t, server.url);
  connection.socket.write('GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await eventually(() => /"ok"/.test(connection.received()), 'the first request of the connection has its response');
  connection.socket.write(start);
  // The server reads the start no later than this request: a connection without one is idle, and a stop closes it.
  await fetch(`${server.url}/health/live`);
  const stopped = server.close();
  await eventually(() => refusesConnections(server.url), 'the server stops');
  return { ...connection, stopped };
}

t.test('a request that arrives while the server stops is refused with a problem', async (t) => {
  const { socket, received, stopped } = await requestDuringStop(
    t,
    'PUT /v1/nodes/late HTTP/1.1\r\nhost: localhost\r\n',
  );
  socket.write('content-length: 1\r\n\r\nx');
  await eventually(() => /503 Service Unavailable/.test(received()), 'the late request gets a response');
  const [, response] = received().split(/(?=HTTP\/1\.1 503)/);
  t.match(response, /content-type: application\/problem\+json/i);
  t.match(response, /retry-after: [1-3]\r/i);
  t.match(response, /connection: close/i);
  t.match(response, /"code":"STORE_UNAVAILABLE".*"retryable":true/);
  await stopped;
});

t.test(
  'a preflight that arrives while the server stops is answered, so that its page can read the refusal',
  async (t) => {
    const head = 'OPTIONS /v1/nodes/late HTTP/1.1\r\nhost: localhost\r\norigin: https://page.example\r\n';
    const { socket, received, stopped } = await requestDuringStop(t, head, { corsOrigins: ['https://page.example'] });
    socket.write('access-control-request-method: PUT\r\n\r\n');
    await eventually(() => /HTTP\/1\.1 204/.test(received()), 'the preflight gets its response');
    t.match(received().split('HTTP/1.1 204')[1], /access-control-allow-origin: https:\/\/page\.example/);
    await stopped;
  },
);

t.test('an EventSource that reconnects while the server stops gets a stream, so that it comes back', async (t) => {
  const { socket, received, stopped } = await requestDuringStop(t, 'GET /v1/watch/es HTTP/1.1\r\nhost: localhost\r\n');
  socket.write('accept: text/event-stream\r\n\r\n');
  await eventually(() => /event: problem\n.*\n\n/.test(received()), 'the late request gets a response');
  const response = received().slice(received().lastIndexOf('HTTP/1.1'));
  t.match(response, /^HTTP\/1\.1 200 OK\r/);
  t.match(response, /content-type: text\/event-stream/i);
  t.match(response, /\r\n\r\nretry: [1-3]000\nevent: problem\ndata: \{.*"code":"STORE_UNAVAILABLE".*\}\n\n$/);
  await stopped;
});

t.test('a WebSocket handshake while the server stops does not keep it from stopping', async (t) => {
  const { socket, stopped } = await requestDuringStop(t, 'GET /v1/watch HTTP/1.1\r\nhost: localhost\r\n');
  const closed = new Promise((resolve) => socket.on('close', resolve));
  const key = Buffer.alloc(16).toString('base64');
  socket.write(
    `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
  );
  await closed;
  await stopped;
  t.pass('it has stopped');
});

t.test('neither an unused connection nor an idle one keeps the server from stopping', async (t) => {
  const server = await startTestServer(t);
  const { hostname, port } = new URL(server.url);
  let closed = 0;
  const open = () => {
    const socket = connect(Number(port), hostname);
    t.teardown(() => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => {
      closed += 1;
    });
    return socket;
  };
  open();
  let response = '';
  open()
    .on('data', (chunk) => {
      response += chunk;
    })
    .write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await eventually(() => response.includes('ok'), 'the second one is used, and idle now');
  await eventually(
    () => new Promise<boolean>((resolve) => server.app.server.getConnections((_error, count) => resolve(count >= 2))),
    'both are open',
  );
  t.equal((await http(`${server.url}/health/live`)).status, 200);
  await server.close();
  await eventually(() => closed === 2, 'both are closed');
  await t.rejects(http(`${server.url}/health/live`), 'the port is closed');
});

t.test(
  'a server that is told to stop is no longer ready, still serves requests, and closes their connections',
  async (t) => {
    const server = await startTestServer(t, { brokerId: 1 });
    const other = await startTestServer(t, { brokerId: 2 }, server.target);
    await http(`${server.url}/v1/topics`, 'POST', { name: 'served' });
    const waiting = http(`${server.url}/v1/topics/served/partitions/0/records?offset=0&wait=60s`);
    await eventually(
      async () => /weir_log_waits 1/.test((await http(`${server.url}/metrics`)).body),
      'the fetch waits',
    );
    let drained = () => {};
    const stopped = server.close(
      () =>
        new Promise((resolve) => {
          drained = resolve;
        }),
    );
    await eventually(async () => (await http(`${server.url}/health/ready`)).status === 503, 'it is not ready');
    t.equal((await http(`${server.url}/health/live`)).status, 200);
    await eventually(async () => (await http(`${other.url}/v1/brokers/1`)).status === 404, 'it has deregistered');
    const { socket, received } = openConnection(t, server.url);
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.write('PUT /v1/nodes/late HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx');
    await closed;
    t.match(
      received(),
      /^HTTP\/1.1 201 .*connection: close/is,
      'a late request is served, and is the last of its connection',
    );
    t.equal((await http(`${server.url}/v1/topics/served/records`, 'POST', { records: [{ value: 1 }] })).status, 200);
    t.equal((await waiting).body.records.length, 1, 'what waited before goes on waiting');
    drained();
    await stopped;
    t.ok(await refusesConnections(server.url));
  },
);
