import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { type EmbeddedRedisOptions, startEmbeddedRedis } from '../../src/embedded-redis/embedded-redis.ts';
import { identifyProcess, isAlive as isSameAlive } from '../../src/embedded-redis/process-lock.ts';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { installedRedisBinary, quietLog } from '../../testbed/redis-node.ts';
import { freePort, temporaryFolder } from '../../testbed/scope.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually } from '../helpers/server.ts';

/** A server process reduced to its private Redis: says what it got on its standard output, then lives on. */
const ownerProgram = `
  const { startEmbeddedRedis } = await import(process.env.MODULE);
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  try {
    const redis = await startEmbeddedRedis({ ...JSON.parse(process.env.OPTIONS), log });
    console.log(JSON.stringify({ socketPath: redis.socketPath, pid: redis.pid }));
    process.stdin.on('data', () => process.exit(0));
  } catch (error) {
    console.log(JSON.stringify({ problem: error.message }));
  }
`;

interface Owner {
  process: ChildProcess;
  socketPath?: string;
  pid?: number;
  problem?: string;
}

async function startOwner(t: Test, dataDir: string, more: Partial<EmbeddedRedisOptions> = {}): Promise<Owner> {
  const binary = await installedRedisBinary();
  const options = { dataDir, appendfsync: 'always', maxmemoryBytes: 2 ** 28, binary, ...more };
  const child = spawn(process.execPath, ['--input-type=module', '-e', ownerProgram], {
    env: {
      MODULE: new URL('../../src/embedded-redis/embedded-redis.js', import.meta.url).href,
      OPTIONS: JSON.stringify(options),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => killAndWait(child));
  const line = await new Promise<string>((resolve) =>
    createInterface({ input: child.stdout! })
      .once('line', resolve)
      .once('close', () => resolve('{"problem":"it ended without a word"}')),
  );
  const owner: Owner = { process: child, ...(JSON.parse(line) as Omit<Owner, 'process'>) };
  const redis = owner.pid === undefined ? undefined : identifyProcess(owner.pid);
  // Whatever the test was about, nothing is left behind after it.
  t.teardown(() => {
    if (redis && isSameAlive(redis)) process.kill(redis.pid, 'SIGKILL');
  });
  return owner;
}

async function killAndWait(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}

async function get(redis: { socketPath: string }, key: string): Promise<unknown> {
  return redisCommand(redis.socketPath, ['GET', key]);
}

async function set(redis: { socketPath: string }, key: string, value: string): Promise<void> {
  await redisCommand(redis.socketPath, ['SET', key, value]);
}

async function setting(redis: { socketPath: string }, name: string): Promise<unknown> {
  return ((await redisCommand(redis.socketPath, ['CONFIG', 'GET', name])) as unknown[])[1];
}

const isAlive = (pid: number): boolean => identifyProcess(pid) !== undefined;

t.test('a first start uses the settings that keep data safe', async (t) => {
  const { redis, dataDir } = await startTestRedis(t, { appendfsync: 'always', maxmemoryBytes: 123_456_789 });
  t.equal(await setting(redis, 'appendonly'), 'yes');
  t.equal(await setting(redis, 'appendfsync'), 'always');
  t.equal(await setting(redis, 'no-appendfsync-on-rewrite'), 'no');
  t.equal(await setting(redis, 'maxmemory'), '123456789');
  t.equal(await setting(redis, 'maxmemory-policy'), 'noeviction');
  t.match(await setting(redis, 'client-output-buffer-limit'), /^normal 268435456 0 0 slave /);
  t.equal(await setting(redis, 'save'), '');
  t.equal(await setting(redis, 'port'), '0');
  t.equal(await setting(redis, 'unixsocketperm'), '700');
  t.equal(await setting(redis, 'dir'), dataDir);
  t.match(redis.version, /^\d+\.\d+\.\d+/);
  t.equal(identifyProcess(redis.pid)?.pid, redis.pid);
});

t.test('without a configured limit Redis may use at most half of the memory', async (t) => {
  const dataDir = temporaryFolder(t);
  const redis = await startEmbeddedRedis({
    dataDir,
    appendfsync: 'no',
    binary: await installedRedisBinary(),
    log: quietLog,
  });
  t.teardown(() => redis.stop());
  const maxmemory = Number(await setting(redis, 'maxmemory'));
  t.ok(maxmemory > 0 && maxmemory <= totalmem() / 2);
});

t.test('data survives a stop and a start, under every sync policy', async (t) => {
  for (const appendfsync of ['always', 'everysec', 'no'] as const) {
    const dataDir = temporaryFolder(t);
    const first = await startTestRedis(t, { dataDir, appendfsync });
    await set(first.redis, 'kept', appendfsync);
    await first.redis.stop();
    const second = await startTestRedis(t, { dataDir, appendfsync });
    t.equal(await get(second.redis, 'kept'), appendfsync);
  }
});

t.test('stop ends Redis, releases the directory, and may be called again', async (t) => {
  const { redis, dataDir } = await startTestRedis(t);
  const { pid, socketPath } = redis;
  await Promise.all([redis.stop(), redis.stop()]);
  await redis.stop();
  t.equal(isAlive(pid), false);
  t.equal(existsSync(socketPath), false);
  t.same(readdirSync(dataDir), ['appendonlydir']);
});

t.test('the path of a data directory may have any length', async (t) => {
  const dataDir = join(temporaryFolder(t), 'a-long-name'.repeat(20));
  const { redis } = await startTestRedis(t, { dataDir });
  t.ok(Buffer.byteLength(redis.socketPath) < 108);
  t.equal(await redisCommand(redis.socketPath, ['PING']), 'PONG');
});

t.test('a port is opened on request, on the loopback interface', async (t) => {
  const port = await freePort();
  const { redis } = await startTestRedis(t, { port });
  t.equal(await setting(redis, 'bind'), '127.0.0.1');
  const client = connect(port, '127.0.0.1');
  t.teardown(() => client.destroy());
  client.write('PING\r\n');
  const [reply] = await once(client, 'data');
  t.equal(String(reply), '+PONG\r\n');
});

t.test('the output of Redis is written to the log', async (t) => {
  const lines: string[] = [];
  const keep = (_fields: object, text: string): number => lines.push(text);
  const { redis } = await startTestRedis(t, { log: { debug: keep, info: keep, warn: keep, error: keep } as never });
  await eventually(() => lines.some((line) => /^redis: .*ready to accept connections/i.test(line)), 'the greeting');
  t.equal(lines.filter((line) => /^redis: \d+:/.test(line)).length, 0);
  await redis.stop();
  await eventually(() => lines.some((line) => /^redis: .*ready to exit/i.test(line)), 'the farewell');
});

t.test('the Redis of a killed server is taken over with its data and keeps running', async (t) => {
  const dataDir = temporaryFolder(t);
  const owner = await startOwner(t, dataDir);
  await set({ socketPath: owner.socketPath! }, 'kept', 'yes');
  await killAndWait(owner.process);
  t.equal(isAlive(owner.pid!), true);

  const { redis } = await startTestRedis(t, { dataDir, appendfsync: 'everysec', maxmemoryBytes: 2 ** 27 });
  t.equal(redis.pid, owner.pid);
  t.equal(await get(redis, 'kept'), 'yes');
  t.equal(await setting(redis, 'appendfsync'), 'everysec', 'the settings asked for are in force');
  t.equal(await setting(redis, 'maxmemory'), String(2 ** 27));

  // It is watched over like a child.
  let exits = 0;
  redis.onExit(() => exits++);
  process.kill(redis.pid, 'SIGKILL');
  await eventually(
    async () => (await get(redis, 'kept').catch(() => undefined)) === 'yes',
    'Redis is back with its data',
  );
  t.equal(exits, 1);
  t.not(redis.pid, owner.pid);
  await redis.stop();
  t.equal(isAlive(redis.pid), false);
});

t.test('a stop also ends a Redis that was taken over', async (t) => {
  const dataDir = temporaryFolder(t);
  const owner = await startOwner(t, dataDir);
  await killAndWait(owner.process);
  const { redis } = await startTestRedis(t, { dataDir });
  t.equal(redis.pid, owner.pid);
  await redis.stop();
  t.equal(isAlive(owner.pid!), false);
});

t.test('a Redis left behind that cannot be reached is replaced, with its data', async (t) => {
  const dataDir = temporaryFolder(t);
  const owner = await startOwner(t, dataDir);
  await set({ socketPath: owner.socketPath! }, 'kept', 'yes');
  await killAndWait(owner.process);
  rmSync(owner.socketPath!);

  const { redis } = await startTestRedis(t, { dataDir });
  t.not(redis.pid, owner.pid);
  t.equal(isAlive(owner.pid!), false);
  t.equal(await get(redis, 'kept'), 'yes');
});

t.test('a Redis left behind that listens elsewhere is replaced, with its data', async (t) => {
  const dataDir = temporaryFolder(t);
  // As versions before let it, in a temporary folder.
  const socketPath = join(temporaryFolder(t), 'redis.sock');
  const { command, env } = await installedRedisBinary();
  const args = ['--dir', dataDir, '--unixsocket', socketPath, '--port', '0', '--appendonly', 'yes', '--save', ''];
  const left = spawn(command, args, { env, stdio: 'ignore' });
  t.teardown(() => left.kill('SIGKILL'));
  await eventually(
    () =>
      set({ socketPath }, 'kept', 'yes').then(
        () => true,
        () => false,
      ),
    'it serves',
  );
  const dead = { ...identifyProcess(process.pid)!, startTime: '1' };
  const details = { socketPath, redis: identifyProcess(left.pid!) };
  writeFileSync(join(dataDir, 'weir.lock'), JSON.stringify({ id: 'x', holder: dead, details }));

  const { redis } = await startTestRedis(t, { dataDir });
  t.not(redis.socketPath, socketPath);
  t.equal(isAlive(left.pid!), false);
  t.equal(await get(redis, 'kept'), 'yes');
});

t.test('a Redis left behind is found even if the lock file of its server is missing', async (t) => {
  const dataDir = temporaryFolder(t);
  const owner = await startOwner(t, dataDir);
  await set({ socketPath: owner.socketPath! }, 'kept', 'yes');
  await killAndWait(owner.process);
  rmSync(join(dataDir, 'weir.lock'));

  const { redis } = await startTestRedis(t, { dataDir });
  t.equal(redis.pid, owner.pid);
  t.equal(await get(redis, 'kept'), 'yes');
});

t.test('when a server ends without stopping, its Redis ends, too', async (t) => {
  const owner = await startOwner(t, temporaryFolder(t));
  owner.process.stdin!.write('end\n');
  await eventually(() => !isAlive(owner.pid!), 'Redis is gone');
});

t.test('Ctrl-C in the terminal does not reach Redis', async (t) => {
  const { redis } = await startTestRedis(t);
  const fields = readFileSync(`/proc/${redis.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  t.equal(Number(fields[2]), redis.pid, 'it leads a process group of its own');
});

t.test('a killed Redis is restarted with every acknowledged write', async (t) => {
  const { redis } = await startTestRedis(t, { appendfsync: 'always' });
  const exits: unknown[] = [];
  redis.onExit(({ signal }) => exits.push(signal));
  let acknowledged = 0;
  for (let round = 1; round <= 3; round++) {
    const killed = redis.pid;
    const goal = acknowledged + 50;
    try {
      for (;;) {
        await redisCommand(redis.socketPath, ['SET', `key-${acknowledged}`, 'x'.repeat(100)]);
        acknowledged++;
        // The kill goes out while writes go on, so that one of them is cut off.
        if (acknowledged === goal) process.kill(killed, 'SIGKILL');
      }
    } catch {
      await eventually(() => exits.length === round && redis.pid !== killed, 'Redis is started again');
      await eventually(
        () =>
          redisCommand(redis.socketPath, ['PING']).then(
            () => true,
            () => false,
          ),
        'Redis is back',
      );
    }
    const keys = Array.from({ length: acknowledged }, (_, i) => `key-${i}`);
    t.equal(await redisCommand(redis.socketPath, ['EXISTS', ...keys]), acknowledged);
  }
  t.same(exits, ['SIGKILL', 'SIGKILL', 'SIGKILL']);
});

t.test('a stop while Redis is being restarted ends it for good', async (t) => {
  const { redis, dataDir } = await startTestRedis(t);
  const exited = new Promise<void>((resolve) => redis.onExit(() => resolve()));
  process.kill(redis.pid, 'SIGKILL');
  await exited;
  await redis.stop();
  t.equal(isAlive(redis.pid), false);
  t.equal(existsSync(join(dataDir, 'weir.lock')), false);
});

t.test('an AOF with an incomplete last command is loaded up to that command', async (t) => {
  const dataDir = temporaryFolder(t);
  const first = await startTestRedis(t, { dataDir });
  await set(first.redis, 'kept', 'yes');
  await first.redis.stop();
  const folder = join(dataDir, 'appendonlydir');
  const incremental = readdirSync(folder).find((name) => name.endsWith('.incr.aof'))!;
  appendFileSync(join(folder, incremental), '*3\r\n$3\r\nSET\r\n$4\r\nkept\r\n$2\r\nn');

  const second = await startTestRedis(t, { dataDir });
  t.equal(await get(second.redis, 'kept'), 'yes');
});

t.test(
  'data that Redis refuses to load is reported with the text of Redis, and the directory is released',
  async (t) => {
    const dataDir = temporaryFolder(t);
    mkdirSync(join(dataDir, 'appendonlydir'));
    writeFileSync(join(dataDir, 'appendonlydir', 'appendonly.aof.manifest'), 'no manifest\n');
    const problem = await startTestRedis(t, { dataDir }).then(
      () => undefined,
      (error: Error) => error.message,
    );
    t.match(problem, /ended before it was ready, with exit code 1\. Its last log lines: .*AOF/s);
    t.equal(existsSync(join(dataDir, 'weir.lock')), false);
  },
);

t.test('a binary that cannot be started is reported, and the directory is released', async (t) => {
  const dataDir = temporaryFolder(t);
  const binary = { command: join(dataDir, 'no-such-server'), env: {} };
  await t.rejects(startTestRedis(t, { dataDir, binary }), { message: /no-such-server cannot be started/ });
  t.equal(existsSync(join(dataDir, 'weir.lock')), false);
});

t.test('a directory that a living server holds is refused, and the error names the holder', async (t) => {
  const dataDir = temporaryFolder(t);
  const owner = await startOwner(t, dataDir);
  const refusal = { message: new RegExp(`${dataDir} is in use by another server, process ${owner.process.pid}\\b`) };
  await t.rejects(startTestRedis(t, { dataDir }), refusal);
  t.equal(await redisCommand(owner.socketPath!, ['PING']), 'PONG', 'the holder is not disturbed');
  await killAndWait(owner.process);
  await startTestRedis(t, { dataDir });
  await t.rejects(startTestRedis(t, { dataDir }), { message: new RegExp(`process ${process.pid}\\b`) });
});

t.test('of several servers that start at once on one directory, exactly one gets it', async (t) => {
  const dataDir = temporaryFolder(t);
  const first = await startOwner(t, dataDir);
  await set({ socketPath: first.socketPath! }, 'kept', 'yes');
  await killAndWait(first.process);

  // The lock is stale and Redis still lives: the case with the most to quarrel about.
  const owners = await Promise.all(Array.from({ length: 4 }, () => startOwner(t, dataDir)));
  const winners = owners.filter((owner) => owner.pid !== undefined);
  t.equal(winners.length, 1);
  t.equal(winners[0]!.pid, first.pid);
  for (const { problem } of owners.filter((owner) => owner.pid === undefined)) t.match(problem, /is in use by/);
  t.equal(await get({ socketPath: winners[0]!.socketPath! }, 'kept'), 'yes');
  for (const owner of owners) await killAndWait(owner.process);
  const { redis } = await startTestRedis(t, { dataDir });
  t.equal(redis.pid, first.pid);
});

t.test('a lock whose pids now belong to other processes is stale, and these processes are not ended', async (t) => {
  const dataDir = temporaryFolder(t);
  const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  t.teardown(() => bystander.kill('SIGKILL'));
  const reused = { ...identifyProcess(bystander.pid!)!, startTime: '1' };
  const details = { socketPath: join(dataDir, 'gone.sock'), redis: reused };
  writeFileSync(join(dataDir, 'weir.lock'), JSON.stringify({ id: 'x', holder: reused, details }));

  const { redis } = await startTestRedis(t, { dataDir });
  t.equal(await redisCommand(redis.socketPath, ['PING']), 'PONG');
  t.equal(isAlive(bystander.pid!), true);
});

t.test('a Redis that serves another directory is not taken over', async (t) => {
  const other = await startTestRedis(t);
  const dataDir = temporaryFolder(t);
  const dead = { ...identifyProcess(process.pid)!, startTime: '1' };
  const details = { socketPath: other.socketPath, redis: null };
  writeFileSync(join(dataDir, 'weir.lock'), JSON.stringify({ id: 'x', holder: dead, details }));

  const { redis } = await startTestRedis(t, { dataDir });
  t.not(redis.pid, other.redis.pid);
  t.equal(await redisCommand(other.socketPath, ['PING']), 'PONG');
});
