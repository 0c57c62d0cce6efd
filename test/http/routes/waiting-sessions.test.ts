// Weir-Session on a request that waits: the session is kept meanwhile, and a waiter whose session has ended is told so.
import t, { type Test } from 'tap';
import { openEventStream } from '../../helpers/event-stream.ts';
import { eventually, http, startTestServer } from '../../helpers/server.ts';

const server = await startTestServer(t);
const { url } = server;
const newSession = async (ttl = '1s') =>
  (await http(`${url}/v1/sessions`, 'POST', { ttl })).body as { session: string; expiresAt: number };
const expiresAt = async (session: string) => (await http(`${url}/v1/sessions/${session}`)).body.expiresAt as number;
const isWaiting = async () => /weir_long_polls_waiting 1\b/.test((await http(`${url}/metrics`)).body);

t.test('a waiter for a lock whose session ends meanwhile gets 410, and not that the lock is free', async (t) => {
  const [holder, waiter] = [await newSession('10m'), await newSession('10m')];
  const { headers } = await http(`${url}/v1/nodes/lock?mode=ephemeral&session=${holder.session}`, 'PUT', 'x');
  for (const view of ['data', 'node', 'stat']) {
    await http(`${url}/v1/nodes/lock?mode=ephemeral&session=${holder.session}`, 'PUT', 'x');
    const { session } = view === 'data' ? waiter : await newSession('10m');
    const tag = (await http(`${url}/v1/nodes/lock?view=${view}`)).headers.get('etag')!;
    const waits = http(`${url}/v1/nodes/lock?view=${view}&wait=1m`, 'GET', undefined, {
      'if-none-match': tag,
      'weir-session': session,
    });
    await eventually(isWaiting, 'it waits');
    await http(`${url}/v1/sessions/${session}`, 'DELETE');
    await http(`${url}/v1/nodes/lock`, 'DELETE');
    const response = await waits;
    t.match(response, { status: 410, body: { status: 410, code: 'SESSION_EXPIRED', detail: /Weir-Session/ } }, view);
    t.match(response.headers.get('content-type'), /^application\/problem\+json/, view);
    t.equal(response.headers.get('etag'), null);
  }
  const { session } = await newSession('10m');
  const headersOf = { 'if-none-match': '"0"', 'weir-session': session };
  const late = fetch(`${url}/v1/nodes/lock?wait=1m&pretty`, { headers: headersOf });
  await eventually(isWaiting, 'it waits');
  await http(`${url}/v1/sessions/${session}`, 'DELETE');
  await http(`${url}/v1/nodes/lock`, 'PUT', '{}', { 'content-type': 'application/json' });
  t.match(await (await late).text(), /^\{\n {2}"type": .*\n\}\n$/s, 'it is indented as any other response');
  t.ok(headers.get('etag'));
});

t.test('a waiter whose session ends learns it before what it waits for happens', async (t) => {
  const { session } = await newSession('600ms');
  const waits = http(`${url}/v1/nodes/absent?wait=5m`, 'GET', undefined, {
    'if-none-match': '"0"',
    'weir-session': session,
  });
  await eventually(isWaiting, 'it waits');
  await http(`${url}/v1/sessions/${session}`, 'DELETE');
  t.match(await waits, { status: 410, body: { code: 'SESSION_EXPIRED', detail: /Weir-Session/ } });
});

t.test('a session lives while a request with it waits, whatever is waited for, and no longer', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'kept' });
  const { body } = await http(`${url}/v1/groups/kept/members`, 'POST', { topics: ['kept'], memberId: 'm' });
  const member: Record<string, string> = body.memberSecret ? { 'weir-member': body.memberSecret } : {};
  const waits = async (t: Test, path: string, headers: Record<string, string> = {}) => {
    const { session } = await newSession('600ms');
    const first = await expiresAt(session);
    const gone = new AbortController();
    t.teardown(() => gone.abort());
    const response = http(url + path, 'GET', undefined, { 'weir-session': session, ...headers }, gone.signal);
    const hasResponse = response.then(
      () => true,
      () => true,
    );
    await eventually(async () => (await expiresAt(session)) > first + 2000, `${path} keeps it`);
    gone.abort();
    t.ok(await hasResponse);
    await eventually(async () => (await http(`${url}/v1/sessions/${session}`)).status === 410, 'it ends after that');
  };
  await waits(t, '/v1/nodes/absent?wait=5m', { 'if-none-match': '"0"' });
  await waits(t, '/v1/topics/kept/partitions/0/records?offset=latest&wait=5m');
  await waits(t, '/v1/groups/kept/members/m/records?wait=5m', member);
  await waits(t, '/v1/watch/a');
  await waits(t, '/v1/topics/kept/stream');
});

t.test('an event stream whose session ends says so in its last message', async (t) => {
  await http(`${url}/v1/topics`, 'POST', { name: 'streamed' });
  for (const path of ['/v1/watch/a', '/v1/topics/streamed/stream']) {
    const { session } = await newSession('600ms');
    const stream = await openEventStream(t, url + path, { 'weir-session': session });
    await stream.message(() => true, 'it has begun');
    await http(`${url}/v1/sessions/${session}`, 'DELETE');
    await stream.end();
    t.match(stream.messages.at(-1), { event: 'problem', data: { type: 'error', code: 'SESSION_EXPIRED' } });
  }
});
