// Requests that no client library sends: unusual targets, typing errors, secrets in the wrong place, paths made to cause load. The
// server responds with a problem, and serves other clients meanwhile (guarantees E1, E4).
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { startServer } from '../../src/server.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http, startTestServer, testConfig } from '../helpers/server.ts';

const handle = '0123456789abcdef.abcdefghijklmnopqrstuv';

/** Sends one request with its target exactly as given. @returns the whole response as text */
async function raw(t: Test, url: string, method: string, target: string, body = ''): Promise<string> {
  const { port, host } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  t.teardown(() => socket.destroy());
  const head = `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n`;
  socket.write(head + body);
  let received = '';
  for await (const chunk of socket) received += String(chunk);
  return received;
}

t.test('a target names the same node however its prefix is spelt', async (t) => {
  const { url } = await startTestServer(t);
  await http(`${url}/v1/nodes/a`, 'PUT', 'mine');
  for (const target of [`${url}/v1/nodes/a`, '/v1/%6Eodes/a', '/%76%31/nodes/a', `${url}/v1/nodes/%61?view=data`]) {
    t.match(await raw(t, url, 'GET', target), /^HTTP\/1\.1 200 [\s\S]*mine$/, target);
  }
  t.match(await raw(t, url, 'PUT', `${url}/v1/nodes/b`, 'x'), /^HTTP\/1\.1 201 /);
  t.equal((await http(`${url}/v1/nodes/b`)).status, 200);
});

t.test('a query parameter that a route does not know is refused by its name', async (t) => {
  const { url } = await startTestServer(t);
  const routes = [
    ['POST', '/v1/sessions?ttl=60s', 'ttl'],
    ['PUT', `/v1/sessions/${handle}?ttl=60s`, 'ttl'],
    ['GET', `/v1/sessions/${handle}?x`, 'x'],
    ['DELETE', `/v1/sessions/${handle}?forced=true`, 'forced'],
    ['GET', '/v1/cluster?verbose', 'verbose'],
    ['GET', '/v1/brokers/1001?x=1', 'x'],
  ] as const;
  for (const [method, target, name] of routes) {
    const { status, body } = await http(`${url}${target}`, method);
    t.match({ status, body }, { status: 400, body: { code: 'BAD_REQUEST' } }, target);
    t.match(body.detail, `'${name}'`);
  }
  t.equal((await http(`${url}/v1/multi?dryRun=true`, 'POST', { ops: [] })).status, 400);
});

t.test('requests that fail by the thousand, as while the store is away, do not fill the log', async (t) => {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const { socketPath } = await startTestRedis(t);
  const server = await startServer(testConfig, { socketPath }, log);
  t.teardown(() => server.close());
  await redisCommand(socketPath, ['DEL', '{weir}:sessions']);
  await redisCommand(socketPath, ['SET', '{weir}:sessions', 'of the wrong type']);
  const ask = async () => (await http(`${server.url}/v1/sessions`, 'POST', {})).status;
  for (let round = 0; round < 20; round += 1) {
    const statuses = await Promise.all(Array.from({ length: 50 }, ask));
    t.same(new Set(statuses), new Set([500]));
  }
  await redisCommand(socketPath, ['DEL', '{weir}:sessions']);
  for (const message of ['Request', 'Request failed with an internal error']) {
    const told = lines.filter((line) => line.includes(`"msg":"${message}"`)).length;
    t.ok(told >= 200 && told < 1000, `${told} of 1000 are told: ${message}`);
  }
});

t.test('no error and no log line contains the handle of a session', async (t) => {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  const { socketPath } = await startTestRedis(t);
  const server = await startServer(testConfig, { socketPath }, log);
  t.teardown(() => server.close());
  for (const [method, target] of [
    ['PATCH', `/v1/sessions/${handle}`],
    ['GET', `/v1/sessions/${handle}/more`],
    ['GET', `/v1/session/${handle}`],
  ] as const) {
    const { status, body } = await http(`${server.url}${target}`, method);
    t.ok(status === 404 || status === 405);
    t.notOk(JSON.stringify(body).includes('abcdefghijklmnopqrstuv'), `${method} ${target}`);
  }
  // Redis replies with an error: the arguments of the call must not appear in the log with it.
  await redisCommand(socketPath, ['DEL', '{weir}:sessions']);
  await redisCommand(socketPath, ['SET', '{weir}:sessions', 'of the wrong type']);
  const broken = await http(`${server.url}/v1/sessions`, 'POST', {}, { 'idempotency-key': 'carried-along-0001' });
  t.equal(broken.status, 500);
  await redisCommand(socketPath, ['DEL', '{weir}:sessions']);
  await eventually(() => lines.some((line) => line.includes('with an internal error')), 'the failure is logged');
  t.notOk(lines.some((line) => line.includes('carried-along') || line.includes('abcdefghijklmnopqrstuv')));
});

t.test('the response to an unsupported method names the supported ones', async (t) => {
  const { url } = await startTestServer(t);
  const response = await http(`${url}/v1/nodes/a`, 'PATCH');
  t.equal(response.status, 405);
  t.equal(response.headers.get('allow'), 'GET, HEAD, PUT, POST, DELETE');
  t.equal((await http(`${url}/v1/watch/a`, 'PUT', '')).headers.get('allow'), 'GET');
  // Also with a malformed session handle, and for rare methods.
  for (const method of ['OPTIONS', 'SEARCH', 'QUERY']) {
    const seldom = await http(`${url}/health/live`, method, undefined, { 'weir-session': 'no handle' });
    t.match(seldom, { status: 405, body: { code: 'METHOD_NOT_ALLOWED' } }, method);
    t.equal(seldom.headers.get('allow'), 'GET, HEAD', method);
  }
  t.match(await http(`${url}/nothing`, 'QUERY'), { status: 404, body: { code: 'NOT_FOUND' } });
  t.match(await http(`${url}/docs/static/nothing.js`), { status: 404, body: { code: 'NOT_FOUND' } });
});

t.test('a multi names the operation that failed, also for a malformed session handle', async (t) => {
  const { url } = await startTestServer(t);
  const create = { op: 'create', path: '/x', mode: 'ephemeral', session: 'no handle' };
  const multi = (...ops: unknown[]) => http(`${url}/v1/multi`, 'POST', { ops });
  t.match(await multi({ op: 'check', path: '/' }, create), {
    status: 410,
    body: { code: 'SESSION_EXPIRED', failed: 1, results: ['OK', 'SESSION_EXPIRED'] },
  });
  t.match(await multi({ op: 'check', path: '/none' }, create), { status: 404, body: { code: 'NO_NODE', failed: 0 } });
  for (const contentType of ['a\nb', 'тип', '', 'x'.repeat(257)]) {
    const response = await multi({ op: 'create', path: '/x', contentType });
    const body = { code: 'BAD_REQUEST', detail: /contentType/ };
    t.match(response, { status: 400, body }, JSON.stringify(contentType.slice(0, 9)));
  }
});

t.test('a path of thousands of levels is refused before it delays other requests', async (t) => {
  const { url } = await startTestServer(t);
  const deep = `/v1/nodes${'/a'.repeat(5000)}`;
  for (const response of [
    await http(`${url}${deep}?parents=true`, 'PUT', 'x'),
    await http(`${url}${deep}-?parents=true`, 'POST', 'x'),
    await http(`${url}${deep}`),
  ]) {
    t.match(response, { status: 400, body: { code: 'INVALID_PATH' } });
    t.match(response.body.detail, /128 levels/);
  }
  t.equal((await http(`${url}/v1/nodes${'/a'.repeat(128)}?parents=true`, 'PUT', 'x')).status, 201);
});

t.test('a compressed body, and JSON that is not UTF-8, are refused rather than stored', async (t) => {
  const { url } = await startTestServer(t);
  const packed = { 'content-encoding': 'gzip', 'content-type': 'text/plain' };
  for (const [method, path] of [
    ['PUT', '/v1/nodes/packed'],
    ['POST', '/v1/topics/none/records'],
  ] as const) {
    const response = await http(url + path, method, 'x', packed);
    t.match(response, { status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE', detail: /gzip/ } }, path);
    t.equal(response.headers.get('accept-encoding'), 'identity');
  }
  const noText = Buffer.from('{"ops":[{"op":"create","path":"/text","data":"\xff"}]}', 'latin1');
  const multi = await fetch(`${url}/v1/multi`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: noText,
  });
  t.match(await multi.json(), { status: 400, code: 'BAD_REQUEST', detail: /UTF-8/ });
  for (const path of ['packed', 'text']) t.equal((await http(`${url}/v1/nodes/${path}`)).status, 404);
});

t.test('optional parts of HTTP that the server does not support are refused with a problem', async (t) => {
  const { url } = await startTestServer(t);
  const { host, hostname, port } = new URL(url);
  const ask = async (head: string) => {
    const socket = connect(Number(port), hostname);
    socket.end(`${head}\r\nHost: ${host}\r\n\r\n`);
    return (await text(socket)).split('\r\n\r\n')[1];
  };
  t.match(await ask('POST /v1/sessions HTTP/1.1\r\nExpect: tea'), /BAD_REQUEST.*Expect: tea/);
  const upgrade =
    'GET /v1/watch HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGVhIHRlYSB0ZWEgdGVhIQ==';
  t.match(await ask(`${upgrade}\r\nSec-WebSocket-Version: 7`), /BAD_REQUEST.*Sec-WebSocket-Version is 7/);
});

t.test(
  'a client that disconnects before the first line of a streamed response is not logged as an internal error',
  async (t) => {
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const { socketPath } = await startTestRedis(t);
    const server = await startServer(testConfig, { socketPath }, log);
    t.teardown(() => server.close());
    const { logs } = server.broker.store;
    await server.broker.topicAdmin.create({ name: 'left', partitions: 1, replicationFactor: 1, config: {} });
    const append = logs.append.bind(logs);
    let goOn: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let begun = false;
    logs.append = async (...batches) => {
      begun = true;
      await held;
      return append(...batches);
    };
    const { port, host } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `POST /v1/topics/left/records HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/x-ndjson\r\nContent-Length: 12\r\n\r\n{"value":1}\n`,
    );
    await eventually(() => begun, 'the append is under way');
    socket.destroy();
    const open = () => new Promise((resolve) => server.app.server.getConnections((_, count) => resolve(count)));
    await eventually(async () => (await open()) === 0, 'the connection is gone');
    goOn();
    await eventually(async () => {
      const { body } = await http(`${server.url}/v1/topics/left/partitions/0/records`);
      return body.endOffset === 1;
    }, 'the record is there nevertheless');
    t.notOk(lines.find((line) => line.includes('internal error')));
  },
);

t.test('malformed JSON is refused with the position, and a member such as __proto__ with its name', async (t) => {
  const { url } = await startTestServer(t);
  const said = async (body: string) => {
    const response = await fetch(`${url}/v1/multi`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    const { code, detail } = (await response.json()) as { code: string; detail: string };
    t.equal(`${response.status} ${code}`, '400 BAD_REQUEST', body);
    return detail;
  };
  t.match(await said('{"ops":['), /^The body is not JSON: Unexpected end/);
  t.match(await said("{'ops':[]}"), /^The body is not JSON: .*position 1/);
  t.match(await said(''), /^The body is empty/);
  t.notMatch(await said(`{"session":"${handle}"`), /abcdefghijklmnopqrstuv/);
  for (const body of ['{"__proto__":1}', '{"ops":[{"\\u005f_proto__":1}]}', '{"constructor":{"prototype":1}}']) {
    t.match(await said(body), /^The body has a field '__proto__'/, body);
  }
  t.match(await said('{"ops":[],"constructor":1}'), /unknown field 'constructor'/);
});

t.test('a URL with a slash too many or too few, or without /v1, is refused with the correct URL', async (t) => {
  const { url } = await startTestServer(t);
  const detail = async (path: string) => (await http(`${url}${path}`)).body.detail;
  t.match(await detail('/v1/nodes'), /^There is nothing at \/v1\/nodes; you may mean \/v1\/nodes\/\.$/);
  t.match(await detail('/v1/cluster/'), /; you may mean \/v1\/cluster\.$/);
  t.match(await detail('/v1/topics/'), /^There is nothing at \/v1\/topics\/; you may mean \/v1\/topics\.$/);
  t.match(await detail('/v1/groups/'), /; you may mean \/v1\/groups\.$/);
  t.match(await detail('/v1/topics/t/partitions'), /; you may mean \/v1\/topics\/t\/partitions\/\{partition\}\.$/);
  for (const path of [
    '/v1/topics//records',
    '/v1/brokers/',
    '/v1/groups//members',
    '/v1/topics/t/partitions//records',
  ]) {
    t.match(await http(`${url}${path}`), { status: 404, body: { code: 'NOT_FOUND' } }, path);
  }
  t.match(await detail('/v1/'), /; you may mean \/v1\.$/);
  t.match(await detail('/nodes/a?view=stat'), /^There is nothing at \/nodes\/a; you may mean \/v1\/nodes\/a\.$/);
  t.match(await detail('/health'), /; the health checks are \/health\/live and \/health\/ready\.$/);
  for (const path of ['/v2', '/v1/node/a']) t.match(await detail(path), /\/docs describes all routes/, path);
});
