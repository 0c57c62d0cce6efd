// A server whose store is not there yet, or not any more, while it starts: it listens, says why it cannot serve, and waits.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { WebSocket } from 'ws';
import { claimEmbeddedRedis } from '../src/embedded-redis/embedded-redis.ts';
import { redisCommand } from '../src/embedded-redis/redis-command.ts';
import { startServer } from '../src/server.ts';
import { installedRedisBinary, quietLog, startRedisNode } from '../testbed/redis-node.ts';
import { freePort, temporaryFolder } from '../testbed/scope.ts';
import { loadingRedis } from './helpers/loading-redis.ts';
import { startServerProcess } from './helpers/process.ts';
import { programToStart } from './helpers/programs.ts';
import { startTestRedis } from './helpers/redis.ts';
import { eventually, http, testConfig } from './helpers/server.ts';

const silent = pino({ level: 'silent' });

t.test('while Redis loads, health, metrics and documentation are served, and the API is LOADING', async (t) => {
  let percent = 12;
  const socketPath = await loadingRedis(t, () => percent);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const stop = new AbortController();
  const config = { ...testConfig, port, storeWaitMs: 3000 };
  const starting = startServer(config, { socketPath }, silent, undefined, { signal: stop.signal });
  const ended = starting.then(
    () => 'served',
    (error: Error) => error.message,
  );
  await eventually(() => http(`${url}/health/live`).catch(() => undefined), 'it listens');
  const refused = await eventually(async () => {
    const response = await http(`${url}/v1/nodes/a`, 'PUT', 'x');
    return response.body.code === 'LOADING' ? response : undefined;
  }, 'it knows that Redis loads');
  t.match(refused, { status: 503, body: { percent: 12, secondsLeft: 7, retryable: true, detail: /12 %, about 7 s/ } });
  t.equal(refused.headers.get('retry-after'), '7');
  percent = 60;
  await eventually(async () => (await http(`${url}/health/ready`)).body.percent === 60, 'the figures are those of now');
  for (const [method, path] of [
    ['GET', '/v1/cluster'],
    ['POST', '/v1/sessions'],
    ['GET', '/v1/watch/a'],
    ['POST', '/v1/topics/t/records'],
    ['GET', '/health/ready'],
  ] as const) {
    // A Redis that does not say in time how far it is counts as one that is away, until it does.
    const response = await eventually(async () => {
      const response = await http(`${url}${path}`, method);
      return response.body.code === 'LOADING' ? response : undefined;
    }, `${method} ${path} is LOADING`);
    t.equal(response.status, 503, `${method} ${path}`);
  }
  for (const path of ['/health/live', '/metrics', '/docs', '/docs/errors', '/openapi.json']) {
    t.equal((await http(url + path)).status, 200, path);
  }
  const stream = await fetch(`${url}/v1/watch/a`, { headers: { accept: 'text/event-stream' } });
  t.equal(stream.status, 200, 'an EventSource would give up after another status');
  t.match(await stream.text(), /^retry: 7000\nevent: problem\ndata: .*"code":"LOADING".*"secondsLeft":7/);
  const socketOutcome = () => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/watch`);
    const outcome = new Promise((resolve) => {
      socket.once('unexpected-response', (_request, response) => resolve(response.statusCode));
      socket.once('message', (data) => resolve(JSON.parse(String(data)).code));
      socket.once('error', () => undefined);
    });
    return outcome.finally(() => socket.terminate());
  };
  await eventually(
    async () => [503, 'LOADING'].includes((await socketOutcome()) as number),
    'a socket is LOADING, too',
  );
  stop.abort(new Error('It was told to stop.'));
  t.match(await ended, /told to stop|is stopping/, 'a stop need not wait for Redis');
});

t.test('the server listens while its private Redis loads, and reports the progress', async (t) => {
  const dataDir = temporaryFolder(t);
  const filling = await startTestRedis(t, { dataDir });
  // While it reads its append-only file Redis replies after every 1024 commands.
  const fill = "for i = 1, 8000 do redis.call('SET', 'k' .. i, 'x') end";
  await redisCommand(filling.socketPath, ['EVAL', fill, '0']);
  await filling.redis.stop();

  const { command, env } = await installedRedisBinary();
  const slow = join(temporaryFolder(t), 'redis-server');
  const slowness = '--key-load-delay 500 --loading-process-events-interval-bytes 1024';
  writeFileSync(slow, `#!/bin/sh\nexec '${command}' "$@" ${slowness}\n`, { mode: 0o700 });
  const redis = await claimEmbeddedRedis({ dataDir, appendfsync: 'no', binary: { command: slow, env }, log: quietLog });
  t.teardown(() => redis.stop());
  const config = { ...testConfig, port: await freePort() };
  const url = `http://127.0.0.1:${config.port}`;
  const start = { startStore: () => redis.start(), loading: () => redis.loading };
  const starting = startServer(config, { socketPath: redis.socketPath, sole: true }, silent, {}, start);
  const response = await eventually(async () => {
    const refused = await http(`${url}/v1/nodes/`).catch(() => undefined);
    return refused?.body.code === 'LOADING' ? refused : undefined;
  }, 'it is LOADING');
  t.ok(response.body.percent < 100);
  t.match((await http(`${url}/metrics`)).body, /weir_store_loading_ratio 0/);
  const server = await starting;
  t.equal((await http(`${url}/health/ready`)).status, 200);
  await server.close();
});

t.test('a broker that is started before its Redis waits, says for what, and serves once Redis is there', async (t) => {
  const redis = await startRedisNode(t, []);
  await redis.kill();
  const port = await freePort();
  const starting = startServerProcess(t, {
    WEIR_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    WEIR_PORT: String(port),
  });
  const response = await eventually(
    () => http(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined),
    'it listens',
  );
  t.match(response, {
    status: 503,
    body: { code: 'STORE_UNAVAILABLE', detail: /waits for its store: .*ECONNREFUSED/ },
  });
  for (let i = 0; i < 5; i++) await http(`http://127.0.0.1:${port}/health/ready`);
  await redis.start();
  const server = await starting;
  t.equal((await http(`${server.url}/v1/nodes/a`, 'PUT', 'x')).status, 201);
  for (let i = 0; i < 5; i++) t.equal((await http(`${server.url}/health/ready`)).status, 200);
  const health = () => server.log.filter(({ route }) => route === '/health/ready');
  await eventually(() => health().length > 1, 'the log tells that the check succeeds again');
  t.match(
    health(),
    [
      { level: 40, status: 503, msg: /^The health check fails/ },
      { level: 30, status: 200, msg: /succeeds again$/ },
    ],
    'a balancer that asks again and again does not fill the log',
  );
  t.equal(health().length, 2);
  t.same(
    server.log.filter(({ level }) => Number(level) >= 50),
    [],
    'nothing of it was an error',
  );
});

t.test('a start waits for a Redis that becomes unreachable in the middle of it', async (t) => {
  const redis = await startRedisNode(t, []);
  const config = { ...testConfig, port: await freePort(), storeWaitMs: 30_000 };
  const url = `http://127.0.0.1:${config.port}`;
  for (const step of ['SCAN', 'registration'] as const) {
    // Nothing replies any more from the first moment at which the server is connected.
    const pausing = eventually(async () => {
      const clients = String(await redis.ask('CLIENT', 'LIST')).split('\n').length;
      return clients > (step === 'SCAN' ? 1 : 2);
    }, 'the server is connected').then(() => redis.kill());
    const starting = startServer(config, { url: `redis://127.0.0.1:${redis.port}` }, silent);
    await pausing;
    await eventually(() => http(`${url}/health/live`).catch(() => undefined), 'it listens');
    await redis.start();
    const server = await starting;
    await eventually(async () => (await http(`${server.url}/health/ready`)).status === 200, 'it serves');
    await server.close();
  }
});

t.test('an error that waiting cannot fix ends the start at once', async (t) => {
  const redis = await startRedisNode(t, ['databases 2']);
  await redis.ask('CONFIG', 'SET', 'requirepass', 'secret');
  const plain = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end('-ERR no TLS here\r\n');
  });
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  t.teardown(() => plain.close());
  const at = (access: string, db = '') => `redis://${access}127.0.0.1:${redis.port}${db}`;
  const cases: [Record<string, string>, RegExp][] = [
    [{ WEIR_REDIS_URL: at('default:wrong@') }, /user or password in its URL is wrong/],
    [{ WEIR_REDIS_URL: at('') }, /user or password in its URL is wrong/],
    [{ WEIR_REDIS_URL: at('default:secret@', '/9') }, /no database of the number/],
    [{ WEIR_REDIS_URL: `rediss://127.0.0.1:${(plain.address() as AddressInfo).port}` }, /does not speak TLS/],
  ];
  const env = { WEIR_STORE_WAIT: '10m' };
  await Promise.all(cases.map(([more, message]) => t.rejects(startServerProcess(t, { ...env, ...more }), { message })));
});

t.test('a port in use is reported before a private Redis is started', async (t) => {
  const holder = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
  t.teardown(() => holder.close());
  const dataDir = temporaryFolder(t);
  const message = new RegExp(
    `^weir: Port ${port} of 127\\.0\\.0\\.1 is in use by another program\\. .*--port\\.$`,
    'm',
  );
  await t.rejects(startServerProcess(t, { WEIR_DATA_DIR: dataDir, WEIR_PORT: String(port) }), { message });
  const { socketPath } = await startTestRedis(t, { dataDir });
  t.equal(await redisCommand(socketPath, ['DBSIZE']), 0, 'the directory is free, and nothing was written');
});

t.test('a first start, and a restart with topics, log no error and nothing that did not happen', async (t) => {
  const redis = await startRedisNode(t, []);
  const env = { WEIR_REDIS_URL: `redis://127.0.0.1:${redis.port}`, WEIR_DRAIN_DELAY: '0s', WEIR_BROKER_ID: '7' };
  const first = await startServerProcess(t, env);
  const topic = { name: 't', partitions: 2, config: { 'retention.ms': 1 } };
  t.equal((await http(`${first.url}/v1/topics`, 'POST', topic)).status, 201);
  for (let i = 0; i < 5; i++) await http(`${first.url}/v1/topics/t/records`, 'POST', { records: [{ value: i }] });
  t.notOk(first.log.some(({ msg }) => /Outage detected/.test(String(msg))));
  first.child.kill('SIGTERM');
  t.equal(await first.exited, 0);
  const second = await startServerProcess(t, env);
  const led = async () => /weir_partitions_led 2/.test((await http(`${second.url}/metrics`)).body);
  await eventually(led, 'it leads what it led');
  const bad = [...first.log, ...second.log].filter(({ level }) => Number(level) >= 50);
  t.same(bad, []);
});

t.test('SIGTERM ends a start that waits, and nothing is left behind', async (t) => {
  const program = programToStart('server');
  const port = await freePort();
  const own = { WEIR_PORT: String(port), WEIR_REDIS_URL: 'redis://127.0.0.1:1' };
  const env = { PATH: process.env.PATH ?? '', ...program.env, ...own };
  const child = spawn(process.execPath, [program.file], { env, stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));
  await eventually(() => http(`http://127.0.0.1:${port}/health/live`).catch(() => undefined), 'it listens');
  child.kill('SIGTERM');
  t.equal(await exited, 0);
});
