// Starts of servers with several workers that fail, each told once, and workers that cannot be replaced.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { installedRedisBinary, startRedisNode } from '../../testbed/redis-node.ts';
import { freePort, temporaryFolder, within } from '../../testbed/scope.ts';
import { startServerProcess } from '../helpers/process.ts';
import { programToStart } from '../helpers/programs.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually, http } from '../helpers/server.ts';
import { startWorkers } from '../helpers/workers.ts';

/** Runs a server that is expected to end by itself. */
async function run(
  t: Test,
  env: Record<string, string>,
): Promise<{ code: number | null; stderr: string; stdout: string }> {
  const program = programToStart('server');
  const child = spawn(process.execPath, [program.file], {
    env: { PATH: process.env.PATH ?? '', WEIR_PORT: '0', WEIR_WORKERS: '2', ...program.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const code = await within(closed, 'the server ends', { evidence: () => `${stdout}${stderr}` });
  return { code, stderr, stdout };
}

t.test(
  'a start that fails is told once, with the reason and the remedy, and the exit code tells wrong options',
  async (t) => {
    const holder = createServer();
    const port = await freePort();
    await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
    t.teardown(() => holder.close());
    const dataDir = temporaryFolder(t);
    const cases: [Record<string, string>, RegExp, code: number][] = [
      [
        { WEIR_DATA_DIR: dataDir, WEIR_PORT: String(port) },
        /^weir: Port \d+ of 127\.0\.0\.1 is in use.*--port\.\n$/,
        1,
      ],
      [{ WEIR_REDIS_URL: 'redis://127.0.0.1:1', WEIR_STORE_WAIT: '1s' }, /^weir: [^\n]*ECONNREFUSED[^\n]*\n$/, 1],
      [
        { WEIR_WORKERS: 'many' },
        /^weir: WEIR_WORKERS is "many".* from 1 to 256, or auto[^\n]*\nSee --help for all options\.\n$/,
        2,
      ],
      [
        { WEIR_WORKERS: '4', WEIR_MAX_CONNECTIONS: '30' },
        /4 workers need at least 40: 10 each\nSee --help[^\n]*\n$/,
        2,
      ],
      [
        { WEIR_BROKER_ID: '2147483647', WEIR_WORKERS: '3' },
        /the last one has the id 2147483649; the highest is 2147483647\nSee --help[^\n]*\n$/,
        2,
      ],
    ];
    for (const [env, message, exitCode] of cases) {
      const { code, stderr } = await run(t, env);
      t.match(stderr, message);
      t.equal(code, exitCode);
    }
    const { socketPath } = await startTestRedis(t, { dataDir });
    t.equal(
      await redisCommand(socketPath, ['DBSIZE']),
      0,
      'with the port in use the directory is free, and nothing was written',
    );
  },
);

t.test('a data directory in use is reported before any worker starts', async (t) => {
  const dataDir = temporaryFolder(t);
  await startServerProcess(t, { WEIR_DATA_DIR: dataDir });
  const { code, stderr, stdout } = await run(t, { WEIR_DATA_DIR: dataDir });
  t.match(stderr, /^weir: The data directory [^\n]* is in use by another server[^\n]*\n$/);
  t.equal(code, 1);
  t.notMatch(stdout, /"worker":/);
});

t.test('a worker whose process dies three times before it serves ends the server, with what is known', async (t) => {
  const crash = join(temporaryFolder(t), 'crash.mjs');
  writeFileSync(crash, "import cluster from 'node:cluster';\nif (cluster.worker?.id) process.exit(7);\n");
  const redis = await startRedisNode(t, []);
  const { code, stderr, stdout } = await run(t, {
    WEIR_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    NODE_OPTIONS: `--import=${crash}`,
  });
  t.match(stderr, /^weir: Worker \d could not be started, 3 times within 30 s: its process ended with code 7\n$/);
  t.equal(code, 1);
  t.match(stdout, /A worker ended with code 7 before it served; it is started again/);
});

t.test('a server that cannot replace a worker any more ends with the reason', async (t) => {
  const folder = temporaryFolder(t);
  const crash = join(folder, 'crash.mjs');
  writeFileSync(crash, '');
  const server = await startWorkers(t, { NODE_OPTIONS: `--import=${crash}` });
  // From now on a process of a worker ends at once.
  writeFileSync(crash, "import cluster from 'node:cluster';\nif (cluster.worker?.id) process.exit(7);\n");
  process.kill(server.workers()[0]!.pid, 'SIGKILL');
  t.equal(await server.exited, 1);
  const fatal = server.log.filter(({ level, worker }) => level === 60 && worker === undefined);
  t.match(fatal, [
    { msg: /stopping: Worker 1 could not be started, 3 times within 30 s: its process ended with code 7$/ },
  ]);
});

t.test('a server whose broker id another server has taken ends, with all its workers', async (t) => {
  const redis = await startRedisNode(t, []);
  const env = {
    WEIR_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    WEIR_BROKER_SESSION_TTL: '1s',
    WEIR_DRAIN_DELAY: '0s',
  };
  const other = await startServerProcess(t, { ...env, WEIR_BROKER_ID: '8' });
  const { code, stderr } = await run(t, { ...env, WEIR_BROKER_ID: '7' });
  t.match(stderr, /^weir: Broker id 8 is in use by another server that is alive[^\n]*\n$/);
  t.equal(code, 1);
  t.equal((await http(`${other.url}/health/ready`)).status, 200);
});

t.test('workers report how far the private Redis has loaded its data', async (t) => {
  const dataDir = temporaryFolder(t);
  const filling = await startTestRedis(t, { dataDir });
  const fill = "for i = 1, 8000 do redis.call('SET', 'k' .. i, 'x') end";
  await redisCommand(filling.socketPath, ['EVAL', fill, '0']);
  await filling.redis.stop();
  const { command, env } = await installedRedisBinary();
  const bin = temporaryFolder(t);
  const slowness = '--key-load-delay 1000 --loading-process-events-interval-bytes 1024';
  const settings = Object.entries(env).map(([name, value]) => `export ${name}='${value}'`);
  const script = [
    '#!/bin/sh',
    ...settings,
    `[ "$1" = --version ] || set -- "$@" ${slowness}`,
    `exec '${command}' "$@"`,
    '',
  ];
  writeFileSync(join(bin, 'redis-server'), script.join('\n'), { mode: 0o700 });
  const port = await freePort();
  const starting = startServerProcess(t, {
    PATH: `${bin}:${process.env.PATH}`,
    WEIR_DATA_DIR: dataDir,
    WEIR_PORT: String(port),
    WEIR_WORKERS: '2',
  });
  const response = await eventually(async () => {
    const refused = await http(`http://127.0.0.1:${port}/v1/nodes/`).catch(() => undefined);
    return refused?.body.code === 'LOADING' ? refused : undefined;
  }, 'it is LOADING');
  t.ok(response.body.percent < 100);
  const server = await starting;
  t.equal((await http(`${server.url}/health/ready`)).status, 200);
});
