import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { temporaryFolder } from '../testbed/scope.ts';
import { startServerProcess } from './helpers/process.ts';
import { eventually, http } from './helpers/server.ts';

t.test(
  'kill -9 of the server loses nothing: the next server takes over its private Redis and its broker id',
  async (t) => {
    const dataDir = temporaryFolder(t);
    const first = await startServerProcess(t, { WEIR_DATA_DIR: dataDir });
    await http(`${first.url}/v1/nodes/kept`, 'PUT', 'kept');
    const { body: session } = await http(`${first.url}/v1/sessions`, 'POST', { ttl: '30s' });
    await http(`${first.url}/v1/nodes/alive?mode=ephemeral&session=${session.session}`, 'PUT', '');
    first.child.kill('SIGKILL');
    await first.exited;

    const second = await startServerProcess(t, { WEIR_DATA_DIR: dataDir });
    t.equal((await http(`${second.url}/v1/nodes/kept`)).body, 'kept');
    t.equal((await http(`${second.url}/v1/nodes/alive`)).status, 200, "the outage is not the session's fault");
    t.same((await http(`${second.url}/v1/cluster`)).body.brokers.length, 1, 'the dead broker is not counted twice');

    second.child.kill('SIGTERM');
    t.equal(await second.exited, 0);
    t.notOk(readdirSync(dataDir).includes('weir.lock'), 'a stop in order leaves no lock');
  },
);

t.test('kill -9 of the private Redis: it is restarted with everything that was acknowledged', async (t) => {
  const server = await startServerProcess(t, { WEIR_DATA_DIR: temporaryFolder(t) });
  await http(`${server.url}/v1/nodes/kept`, 'PUT', 'kept');
  const ready = server.log.find(({ msg }) => msg === 'The private Redis is ready')!;
  process.kill(Number(ready.redisPid), 'SIGKILL');
  await eventually(
    () => server.log.filter(({ msg }) => msg === 'The private Redis is ready').length === 2,
    'a new Redis',
  );
  const response = await eventually(async () => {
    const got = await http(`${server.url}/v1/nodes/kept`);
    return got.status === 200 ? got : undefined;
  }, 'it serves again');
  t.equal(response.body, 'kept');
  const { body } = await http(`${server.url}/v1/nodes/after`, 'PUT', '');
  t.ok(body.stat.czxid >= 2 ** 32, 'changes after it stand in a new epoch');
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);
});

t.test('SIGTERM drains: the request in flight gets its response, then the process exits with 0', async (t) => {
  const server = await startServerProcess(t, { WEIR_DATA_DIR: temporaryFolder(t) });
  await http(`${server.url}/v1/topics`, 'POST', { name: 'slow' });
  const waiting = http(`${server.url}/v1/topics/slow/partitions/0/records?offset=0&wait=60s`);
  await eventually(async () => /weir_log_waits 1/.test((await http(`${server.url}/metrics`)).body), 'the fetch waits');
  server.child.kill('SIGTERM');
  t.equal((await waiting).status, 200);
  t.equal(await server.exited, 0);
});

t.test('the log contains no session handle, at any level', async (t) => {
  const server = await startServerProcess(t, { WEIR_DATA_DIR: temporaryFolder(t), WEIR_LOG_LEVEL: 'trace' });
  const { body } = await http(`${server.url}/v1/sessions`, 'POST', { ttl: '1s' });
  const handle: string = body.session;
  await http(`${server.url}/v1/sessions/${handle}`, 'PUT');
  await http(`${server.url}/v1/nodes/secret?mode=ephemeral&session=${handle}`, 'PUT', '');
  await http(`${server.url}/v1/nodes/?session=${handle}`);
  await http(`${server.url}/v1/nowhere/${handle}`);
  for (const path of [`/v1/sessions/${handle}`, `/v1/nodes/?session=${handle}`, `/v1/nowhere/${handle}`]) {
    const refused = new WebSocket(`${server.url.replace('http', 'ws')}${path}`);
    await new Promise((resolve) => refused.once('error', resolve).once('close', resolve));
  }
  await http(`${server.url}/v1/nodes/x`, 'GET', undefined, { 'weir-session': `${handle}x` });
  await eventually(async () => (await http(`${server.url}/v1/nodes/secret`)).status === 404, 'the session expired');
  const secret = handle.split('.')[1]!;
  t.ok(server.log.length > 10);
  t.notOk(JSON.stringify(server.log).includes(secret));
  t.notOk((await http(`${server.url}/metrics`)).body.includes(secret));
});

t.test('a start that fails prints the reason and the remedy in one line', async (t) => {
  const dataDir = temporaryFolder(t);
  const holder = await startServerProcess(t, { WEIR_DATA_DIR: dataDir });
  t.equal(typeof JSON.parse(readFileSync(join(dataDir, 'weir.lock'), 'utf8')), 'object');
  const { port } = new URL(holder.url);
  const attempts: [Record<string, string>, RegExp][] = [
    [{ WEIR_DATA_DIR: dataDir }, /in use by another server.*WEIR_DATA_DIR/],
    [{ WEIR_DATA_DIR: '/proc/x' }, /directory \/proc\/x cannot be made: .*WEIR_DATA_DIR/],
    [{ WEIR_DATA_DIR: '/dev/null/x' }, /directory \/dev\/null\/x cannot be made: ENOTDIR/],
    [{ WEIR_DATA_DIR: '/dev/null' }, /directory \/dev\/null cannot be made: \/dev\/null is not a folder/],
    [{ WEIR_PROT: '1' }, /WEIR_PROT is unknown; did you mean WEIR_PORT/],
    [{ WEIR_DATA_DIR: temporaryFolder(t), WEIR_PORT: port }, /Port \d+ of 127\.0\.0\.1 is in use.*WEIR_PORT/],
    [
      { WEIR_DATA_DIR: temporaryFolder(t), WEIR_HOST: '192.0.2.1', WEIR_INSECURE: 'true' },
      /192\.0\.2\.1 is not an address of this machine/,
    ],
    [{ WEIR_REDIS_URL: 'redis://127.0.0.1:1', WEIR_STORE_WAIT: '1s' }, /cannot be reached: .*ECONNREFUSED/],
  ];
  await Promise.all(attempts.map(([env, message]) => t.rejects(startServerProcess(t, env), { message })));
});
