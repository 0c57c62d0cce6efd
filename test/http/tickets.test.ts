// Tickets: with one, an EventSource of a browser, which cannot set headers, opens one event stream.
import { createHash } from 'node:crypto';
import { EventSource } from 'eventsource';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { startServer } from '../../src/server.ts';
import { writePolicy } from '../helpers/access.ts';
import { openEventStream } from '../helpers/event-stream.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, testConfig } from '../helpers/server.ts';
import { openSocket } from '../helpers/socket.ts';

const rules = `
allow:
  - who: ops
    admin: true
  - who: alice
    nodes: { "/app/**": [read, write] }
    topics: { "orders": [read] }
`;
const policy = await writePolicy(t, ['ops', 'alice'], rules);
const target = { socketPath: (await startTestRedis(t)).socketPath };
const lines: string[] = [];
const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });

async function start(t: Test, port = 0) {
  const server = await startServer({ ...testConfig, port, accessFile: policy.file }, target, log);
  t.teardown(() => server.close());
  return server;
}
const [one, two] = [await start(t), await start(t)];
const alice = policy.as('alice');
const call = (headers: Record<string, string>, method: string, path: string, body?: unknown) =>
  http(`${one.url}${path}`, method, body, headers);
await call(policy.as('ops'), 'PUT', '/v1/nodes/app', 'x');
await call(policy.as('ops'), 'POST', '/v1/topics', { name: 'orders' });

const given: string[] = [];
async function ticketFor(path: string, headers: Record<string, string> = alice) {
  const { status, body } = await call(headers, 'POST', '/v1/access/tickets', { path });
  if (status !== 201) throw new Error(JSON.stringify(body));
  given.push(body.ticket);
  return body as { ticket: string; url: string; expires: number };
}
const put = (value: string) => call(alice, 'PUT', '/v1/nodes/app', value);
const watching = 'the stream has begun';
const isWatching = ({ data }: { data: any }) => data.type === 'watching';

const keyOf = (ticket: string) =>
  `{${testConfig.prefix}}:access-ticket:${createHash('sha256').update(ticket).digest('base64url')}`;

/** The time to live of a ticket, ms; negative if there is none. */
function ticketTtlMs(ticket: string): Promise<number> {
  return one.broker.store.connection.command(false, (client) => client.pttl(keyOf(ticket)), keyOf(ticket));
}

t.test('an EventSource opens a stream with a ticket, and comes back by itself through another broker', async (t) => {
  const { url, ticket, expires } = await ticketFor('/v1/watch/app?mode=recursive&data');
  t.equal(url, `/v1/watch/app?mode=recursive&data&ticket=${ticket}`);
  t.ok(expires > Date.now() + 25_000 && expires < Date.now() + 35_000);
  const three = await start(t);
  const source = new EventSource(`${three.url}${url}`);
  t.teardown(() => source.close());
  const frames: any[] = [];
  source.onmessage = ({ data }) => frames.push(JSON.parse(data));
  await eventually(() => frames.some(({ type }) => type === 'watching'), watching);
  await put('1');
  await eventually(() => frames.some(({ type }) => type === 'events'), 'an event');
  t.ok((await ticketTtlMs(ticket)) > 35_000, 'it is good for longer than an unused one');
  await three.close();
  // In the place of the broker comes another one.
  await start(t, Number(new URL(three.url).port));
  await eventually(() => frames.filter(({ type }) => type === 'watching').length === 2, 'it is back');
  await put('2');
  await eventually(() => frames.filter(({ type }) => type === 'events').length === 2, 'it goes on where it was');
});

t.test('a ticket is for one path and query, and for event streams only', async (t) => {
  const { ticket } = await ticketFor('/v1/watch/app');
  for (const path of ['/v1/watch/app/x', '/v1/watch/app?mode=recursive', '/v1/topics/orders/stream']) {
    const { status, body } = await http(`${one.url}${path}${path.includes('?') ? '&' : '?'}ticket=${ticket}`);
    t.match({ status, ...body }, { status: 401, detail: /another path and query/ }, path);
  }
  for (const path of ['/v1/nodes/app', '/v1/access/me', '/v1/topics']) {
    const { status, body } = await http(`${one.url}${path}?ticket=${ticket}`);
    t.match({ status, ...body }, { status: 400, detail: /opens an event stream/ }, path);
  }
  const socket = await openSocket(t, `${one.url}/v1/topics/orders/stream?ticket=${ticket}`);
  t.equal(await socket.closed, 4400);
  for (const wrong of ['', 'x', 'A'.repeat(43)]) {
    const { status, body } = await http(`${one.url}/v1/watch/app?ticket=${wrong}`);
    t.match({ status, ...body }, { status: 401, detail: /unknown, or has expired/ });
  }
  for (const path of [
    '/v1/nodes/app',
    '/v1/watch/app?ticket=x',
    'http://evil.example/v1/watch/app',
    '/v1/watch/a#b',
    '',
    '/v1/topics/a/b/stream',
  ]) {
    t.equal((await call(alice, 'POST', '/v1/access/tickets', { path })).body.code, 'BAD_REQUEST', path);
  }
  const stream = await openEventStream(t, `${one.url}/v1/watch/app?ticket=${ticket}`);
  await stream.message(isWatching, 'after all that the ticket is as it was');
});

t.test('a ticket gives no right that its token does not have', async (t) => {
  const { url } = await ticketFor('/v1/watch/secret');
  t.match((await http(`${one.url}${url}`)).body, { status: 403, detail: /alice needs read on node \/secret/ });
  const topic = await ticketFor('/v1/topics/orders/stream?offset=earliest');
  const stream = await openEventStream(t, `${two.url}${topic.url}`);
  await stream.message(({ data }) => data.type === 'position', watching);
});

t.test('a newer stream takes the ticket of an older one, which ends', async (t) => {
  const { url } = await ticketFor('/v1/watch/app?data');
  const first = await openEventStream(t, `${one.url}${url}`);
  await first.message(isWatching, watching);
  const second = await openEventStream(t, `${two.url}${url}`);
  await second.message(isWatching, watching);
  await first.end();
  t.match(first.messages.at(-1), { event: 'problem', data: { code: 'AUTH_REQUIRED', detail: /newer event stream/ } });
  await put('3');
  await second.message(({ data }) => data.type === 'events', 'the newer one goes on');
});

t.test('a ticket that was not used in time is of no use, nor one long after its stream', async (t) => {
  const unused = await ticketFor('/v1/watch/app');
  t.ok((await ticketTtlMs(unused.ticket)) <= 30_000);
  const used = await ticketFor('/v1/watch/app');
  const stream = await openEventStream(t, `${one.url}${used.url}`);
  await stream.message(isWatching, watching);
  stream.cut();
  await eventually(async () => {
    const ttl = await ticketTtlMs(used.ticket);
    return ttl > 0 && ttl <= 60_000;
  }, 'it is given back');
  for (const { ticket, url } of [unused, used]) {
    const key = keyOf(ticket);
    await one.broker.store.connection.command(true, (client) => client.pexpire(key, 1), key);
    await eventually(async () => (await ticketTtlMs(ticket)) < 0, 'its time is over');
    t.match((await http(`${two.url}${url}`)).body, { code: 'AUTH_REQUIRED', detail: /unknown, or has expired/ });
  }
});

t.test('an identity has ten thousand tickets at most, and the others have theirs', async (t) => {
  const { connection } = one.broker.store;
  const key = `{${testConfig.prefix}}:access-tickets:ops`;
  const far = Date.now() + 3_600_000;
  const fill = Array.from({ length: 10_000 }, (_, n) => [far, `t${n}`]).flat();
  await connection.command(true, (client) => client.zadd(key, ...fill), key);
  const full = await call(policy.as('ops'), 'POST', '/v1/access/tickets', { path: '/v1/watch/app' });
  t.match(
    { status: full.status, ...full.body },
    { code: 'TOO_MANY_REQUESTS', detail: /10000 tickets for event streams of ops/ },
  );
  await ticketFor('/v1/watch/app');
  await connection.command(true, (client) => client.del(key), key);
  t.equal((await call(policy.as('ops'), 'POST', '/v1/access/tickets', { path: '/v1/watch/app' })).status, 201);
  t.ok((await connection.command(false, (client) => client.pttl(key), key)) > 20_000, 'the list ends with its tickets');
});

t.test('a ticket ends with its token', async (t) => {
  const { body: derived } = await call(alice, 'POST', '/v1/access/tokens', {
    allow: [{ nodes: { '/app': ['read'] } }],
  });
  const { url } = await ticketFor('/v1/watch/app', { authorization: `Bearer ${derived.token}` });
  const wide = await ticketFor('/v1/topics/orders/stream', { authorization: `Bearer ${derived.token}` });
  t.equal((await http(`${one.url}${wide.url}`)).status, 403, 'a derived token gives only what it has');
  const streams = [];
  for (const { url: at } of [one, two]) {
    const again = await ticketFor('/v1/watch/app', { authorization: `Bearer ${derived.token}` });
    streams.push(await openEventStream(t, `${at}${again.url}`));
  }
  for (const stream of streams) await stream.message(isWatching, watching);
  t.equal((await call(alice, 'DELETE', `/v1/access/tokens/${derived.id}`)).status, 204);
  for (const stream of streams) {
    await stream.end();
    t.match(stream.messages.at(-1), { event: 'problem', data: { code: 'AUTH_REQUIRED', detail: /revoked/ } });
  }
  const mine = await ticketFor('/v1/watch/app');
  const stream = await openEventStream(t, `${two.url}${mine.url}`);
  await stream.message(isWatching, watching);
  await policy.change(rules, ['alice']);
  t.teardown(() => policy.change(rules));
  await stream.end();
  t.match(stream.messages.at(-1), { event: 'problem', data: { code: 'AUTH_REQUIRED' } });
  await eventually(() => one.broker.access.policy?.hash === two.broker.access.policy?.hash, 'both use the policy');
  for (const each of [url, mine.url]) t.equal((await http(`${one.url}${each}`)).status, 401);
});

t.test('no ticket and no token reaches a log, a metric or the store', async (t) => {
  await http(`${one.url}/v1/watch/%zz?ticket=${given[0]}`);
  await http(`${one.url}/none?a=1&ticket=${given[0]}`);
  const metrics = (await call(policy.as('ops'), 'GET', '/metrics')).body;
  const { connection } = one.broker.store;
  const root = `{${testConfig.prefix}}:root`;
  const stored = [];
  for (const key of await connection.command(false, (client) => client.keys('*'), root)) {
    const dump = await connection.command(false, (client) => client.dumpBuffer(key), root);
    stored.push(key, dump?.toString('latin1') ?? '');
  }
  t.ok(lines.length > 30, 'the log has lines');
  t.ok(stored.length > 20, 'the store has keys');
  for (const secret of [...given, policy.tokens.alice!.token, policy.tokens.ops!.token]) {
    t.notOk(
      [...lines, metrics, ...stored].some((text) => text.includes(secret)),
      'it is nowhere',
    );
  }
});
