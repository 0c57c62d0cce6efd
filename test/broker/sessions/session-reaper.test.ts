import t from 'tap';
import { freePort } from '../../../testbed/scope.ts';
import { startServerProcess } from '../../helpers/process.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

t.test('after an outage of all brokers every session gets its full TTL again', async (t) => {
  const first = await startTestServer(t);
  const { body: session } = await http(`${first.url}/v1/sessions`, 'POST', { ttl: '1500ms' });
  await http(`${first.url}/v1/nodes/forgiven?mode=ephemeral&session=${session.session}`, 'PUT', '');
  await first.close();
  await eventually(() => Date.now() > session.expiresAt + 300, 'the deadline passes while no broker runs');

  const second = await startTestServer(t, {}, first.target);
  const { body: mark } = await http(`${second.url}/v1/nodes/mark`, 'PUT', '');
  t.equal((await http(`${second.url}/v1/nodes/forgiven`)).status, 200, "it is not the client's fault");
  await eventually(
    async () => (await http(`${second.url}/v1/nodes/forgiven`)).status === 404,
    'then the session expires',
  );
  const { body: end } = await http(`${second.url}/v1/nodes/end`, 'PUT', '');
  t.ok(end.stat.ctime - mark.stat.ctime > 1000, "by the store's clock, after about its full time");
});

t.test(
  'if the only broker hangs, sessions are extended; if one of two hangs, the other ends them in time',
  async (t) => {
    const port = await freePort();
    await startTestRedis(t, { port });
    const env = { WEIR_REDIS_URL: `redis://127.0.0.1:${port}`, WEIR_BROKER_SESSION_TTL: '1s' };
    const hung = await startServerProcess(t, env);
    const newSession = async (node: string) => {
      const { body } = await http(`${hung.url}/v1/sessions`, 'POST', { ttl: '1500ms' });
      await http(`${hung.url}/v1/nodes/${node}?mode=ephemeral&session=${body.session}`, 'PUT', '');
      return body;
    };
    const first = await newSession('forgiven');
    hung.child.kill('SIGSTOP');
    await eventually(
      () => Date.now() > first.expiresAt + 300,
      'the deadline passes while no broker could renew the session',
    );
    hung.child.kill('SIGCONT');
    t.equal((await http(`${hung.url}/v1/sessions/${first.session}`, 'PUT')).status, 200);
    t.equal((await http(`${hung.url}/v1/nodes/forgiven`)).status, 200);
    t.match((await http(`${hung.url}/metrics`)).body, /weir_outage_extensions_total [1-9]/);

    const other = await startServerProcess(t, env);
    const second = await newSession('ended');
    hung.child.kill('SIGSTOP');
    await eventually(async () => (await http(`${other.url}/v1/nodes/ended`)).status === 404, 'the session ends');
    hung.child.kill('SIGCONT');
    t.match(
      await http(`${hung.url}/v1/sessions/${second.session}`, 'PUT'),
      { status: 410 },
      'and the other broker also reports it as expired',
    );
  },
);

t.test('an outage of Redis also extends sessions', async (t) => {
  const { socketPath, redis } = await startTestRedis(t, { appendfsync: 'always' });
  const { url } = await startTestServer(t, { storeTimeoutMs: 2000 }, { socketPath });
  const { body: session } = await http(`${url}/v1/sessions`, 'POST', { ttl: '1500ms' });
  await http(`${url}/v1/nodes/forgiven?mode=ephemeral&session=${session.session}`, 'PUT', '');
  // SIGSTOP, not SIGKILL: Redis sends no reply and does not exit until SIGCONT.
  process.kill(redis.pid, 'SIGSTOP');
  t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
  const refused = await http(`${url}/v1/nodes/forgiven`);
  t.match(refused, { status: 503, body: { code: 'STORE_UNAVAILABLE', retryable: true } });
  t.ok(refused.headers.get('retry-after'));
  await eventually(() => Date.now() > session.expiresAt + 300, 'the deadline passes');
  process.kill(redis.pid, 'SIGCONT');
  await eventually(async () => (await http(`${url}/health/ready`)).status === 200, 'the broker is ready again');
  t.equal((await http(`${url}/v1/sessions/${session.session}`, 'PUT')).status, 200, 'the session can be renewed');
  t.equal((await http(`${url}/v1/nodes/forgiven`)).status, 200);
});

t.test('a write whose result is unknown reports that, and a retry with the same key is safe', async (t) => {
  const { socketPath, redis } = await startTestRedis(t);
  const { url } = await startTestServer(t, { storeTimeoutMs: 2000 }, { socketPath });
  await http(`${url}/v1/nodes/fate`, 'PUT', '');
  process.kill(redis.pid, 'SIGSTOP');
  t.teardown(() => process.kill(redis.pid, 'SIGCONT'));
  const headers = { 'idempotency-key': 'fate-1' };
  const lost = await http(`${url}/v1/nodes/fate/n-`, 'POST', '', headers);
  t.match(lost, { status: 503, body: { code: 'STORE_UNAVAILABLE', detail: /unknown/ } });
  process.kill(redis.pid, 'SIGCONT');
  const again = await eventually(async () => {
    const response = await http(`${url}/v1/nodes/fate/n-`, 'POST', '', headers);
    return response.status === 201 ? response : undefined;
  }, 'the retry succeeds');
  t.equal(again.body.path, '/fate/n-0000000000');
  t.equal((await http(`${url}/v1/nodes/fate?view=stat`)).body.stat.numChildren, 1, 'and only one node was created');
});
