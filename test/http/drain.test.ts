import { connect } from 'node:net';
import t from 'tap';
import { eventually, http, startTestServer } from '../helpers/server.ts';

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
  let answer = '';
  open()
    .on('data', (chunk) => {
      answer += chunk;
    })
    .write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
  await eventually(() => answer.includes('ok'), 'the second one is used, and idle now');
  await eventually(
    () => new Promise<boolean>((resolve) => server.app.server.getConnections((_error, count) => resolve(count >= 2))),
    'both are open',
  );
  t.equal((await http(`${server.url}/health/live`)).status, 200);
  await server.close();
  await eventually(() => closed === 2, 'both are closed');
  await t.rejects(http(`${server.url}/health/live`), 'nobody listens any more');
});
