// What is planted in a data directory, or left open in it, harms nobody; and a private Redis that nobody wants ends by itself.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { type EmbeddedRedisOptions, startEmbeddedRedis } from '../../src/embedded-redis/embedded-redis.ts';
import { identifyProcess, isAlive } from '../../src/embedded-redis/process-lock.ts';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { installedRedisBinary, quietLog } from '../../testbed/redis-node.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { eventually } from '../helpers/server.ts';

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const dead = { ...identifyProcess(process.pid)!, startTime: '1' };

function plant(dataDir: string, details: object): void {
  writeFileSync(join(dataDir, 'weir.lock'), JSON.stringify({ id: 'x', holder: dead, details }));
}

function bystander(t: Test): ChildProcess {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

t.test('other users lose access to an existing data directory and its files', async (t) => {
  const dataDir = join(temporaryFolder(t), 'data');
  mkdirSync(dataDir);
  chmodSync(dataDir, 0o755);
  const first = await startTestRedis(t, { dataDir });
  await redisCommand(first.socketPath, ['SET', 'a', 'b']);
  const appended = join(dataDir, 'appendonlydir');
  const files = () => readdirSync(appended).map((name) => join(appended, name));
  t.equal(modeOf(dataDir), '700');
  t.equal(modeOf(appended), '700');
  for (const file of [...files(), join(dataDir, 'weir.lock')]) t.equal(modeOf(file), '600', file);
  await first.redis.stop();

  for (const file of files()) chmodSync(file, 0o644);
  chmodSync(appended, 0o755);
  const said: unknown[] = [];
  const log = { ...quietLog, info: (fields: unknown) => said.push(fields) };
  const { socketPath } = await startTestRedis(t, { dataDir, log });
  t.equal(modeOf(appended), '700');
  for (const file of files()) t.equal(modeOf(file), '600', file);
  t.match(said, [{ paths: [appended, /aof/] }], 'and says so');
  t.equal(await redisCommand(socketPath, ['GET', 'a']), 'b');
});

t.test('a lock that names a living process other than the Redis of the directory ends no process', async (t) => {
  const victim = bystander(t);
  const other = await startTestRedis(t);
  for (const pid of [victim.pid!, other.redis.pid]) {
    const dataDir = temporaryFolder(t);
    plant(dataDir, { socketPath: join(dataDir, 'redis.sock'), redis: identifyProcess(pid) });
    const { socketPath } = await startTestRedis(t, { dataDir });
    t.equal(await redisCommand(socketPath, ['PING']), 'PONG');
    t.ok(identifyProcess(pid), 'it lives');
  }
});

t.test('a socket that only pretends to be the Redis of a killed server ends no process', async (t) => {
  const victim = bystander(t);
  const dataDir = temporaryFolder(t);
  const socketPath = join(temporaryFolder(t), 'redis.sock');
  const fake = createServer((socket) => {
    socket.on('data', (data) => {
      const info = `process_id:${victim.pid}\r\n`;
      socket.write(
        /CONFIG/.test(String(data))
          ? `*2\r\n$3\r\ndir\r\n$${dataDir.length}\r\n${dataDir}\r\n`
          : `$${info.length}\r\n${info}\r\n`,
      );
    });
  });
  await new Promise<void>((resolve) => fake.listen(socketPath, resolve));
  t.teardown(() => fake.close());
  plant(dataDir, { socketPath, redis: null });
  const { redis } = await startTestRedis(t, { dataDir });
  t.not(redis.socketPath, socketPath);
  t.ok(identifyProcess(victim.pid!), 'it lives');
});

t.test('a lock that is not a regular file of this user is refused', async (t) => {
  const dataDir = temporaryFolder(t);
  const elsewhere = join(dataDir, 'planted');
  const planted = JSON.stringify({ id: 'x', holder: dead, details: { socketPath: 'planted', redis: null } });
  writeFileSync(elsewhere, planted);
  symlinkSync(elsewhere, join(dataDir, 'weir.lock'));
  await t.rejects(startTestRedis(t, { dataDir }), {
    message: /weir\.lock belongs to another user, or is not a regular file/,
  });
  t.equal(readFileSync(elsewhere, 'utf8'), planted);
});

t.test('the socket is in the data directory, or in a folder with a random name if its path is too long', async (t) => {
  const short = temporaryFolder(t);
  t.equal(dirname((await startTestRedis(t, { dataDir: short })).socketPath), short);

  const long = () => join(temporaryFolder(t), 'a-long-name'.repeat(20));
  const runtimeDir = temporaryFolder(t);
  const inRuntime = await startTestRedis(t, { dataDir: long(), runtimeDir });
  t.equal(dirname(dirname(inRuntime.socketPath)), runtimeDir);
  chmodSync(runtimeDir, 0o755);
  const others = await startTestRedis(t, { dataDir: long(), runtimeDir });
  t.not(dirname(dirname(others.socketPath)), runtimeDir, 'a runtime folder that others can enter is not used');

  const dataDir = long();
  const first = await startOwner(t, dataDir);
  const folder = dirname(first.socketPath);
  t.equal(modeOf(folder), '700');
  t.match(folder, new RegExp(`^${tmpdir()}/weir-\\w{6}$`));
  await kill(first.process);
  const second = await startTestRedis(t, { dataDir });
  t.equal(second.redis.pid, first.pid, 'the next server finds it, as it is written down');
});

/** A server process reduced to its private Redis. */
const ownerProgram = `
  const { startEmbeddedRedis } = await import(process.env.MODULE);
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const redis = await startEmbeddedRedis({ ...JSON.parse(process.env.OPTIONS), log });
  console.log(JSON.stringify({ socketPath: redis.socketPath, pid: redis.pid }));
  setInterval(() => {}, 1000);
`;

interface Owner {
  process: ChildProcess;
  socketPath: string;
  pid: number;
}

async function startOwner(t: Test, dataDir: string, more: Partial<EmbeddedRedisOptions> = {}): Promise<Owner> {
  const options = {
    dataDir,
    appendfsync: 'no',
    maxmemoryBytes: 2 ** 28,
    binary: await installedRedisBinary(),
    ...more,
  };
  const child = spawn(process.execPath, ['--input-type=module', '-e', ownerProgram], {
    env: {
      MODULE: new URL('../../src/embedded-redis/embedded-redis.js', import.meta.url).href,
      OPTIONS: JSON.stringify(options),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => kill(child));
  const line = await new Promise<string>((resolve) => child.stdout!.once('data', (data) => resolve(String(data))));
  const owner: Owner = { process: child, ...JSON.parse(line) };
  const redis = identifyProcess(owner.pid)!;
  t.teardown(() => isAlive(redis) && process.kill(redis.pid, 'SIGKILL'));
  return owner;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}

/** The watchdogs of a data directory that live. */
function watchdogsOf(dataDir: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.includes('weir-redis-watchdog') && words.includes(join(dataDir, 'weir.lock'));
    } catch {
      return false;
    }
  });
}

const orphanTimeoutMs = 600;

t.test('the Redis of a killed server saves all data and ends if no other server takes it over', async (t) => {
  const dataDir = temporaryFolder(t);
  const owner = await startOwner(t, dataDir, { orphanTimeoutMs });
  await redisCommand(owner.socketPath, ['SET', 'kept', 'yes']);
  await kill(owner.process);
  await eventually(() => identifyProcess(owner.pid) === undefined, 'Redis has ended');
  const { socketPath } = await startTestRedis(t, { dataDir });
  t.equal(await redisCommand(socketPath, ['GET', 'kept']), 'yes');
});

t.test(
  'a Redis that was taken over or whose server is alive is not ended, and watchdogs end with their Redis',
  async (t) => {
    const dataDir = temporaryFolder(t);
    const owner = await startOwner(t, dataDir, { orphanTimeoutMs });
    const [first] = watchdogsOf(dataDir);
    t.ok(first);
    await kill(owner.process);
    const options = { dataDir, appendfsync: 'no' as const, binary: await installedRedisBinary(), log: quietLog };
    const redis = await startEmbeddedRedis({ ...options, orphanTimeoutMs });
    t.teardown(() => redis.stop());
    t.equal(redis.pid, owner.pid);
    await eventually(() => !watchdogsOf(dataDir).includes(first!), 'the watchdog of the killed server has ended');
    t.equal(await redisCommand(redis.socketPath, ['PING']), 'PONG');
    await eventually(() => watchdogsOf(dataDir).length === 1, 'the new server has its own');
    await redis.stop();
    await eventually(() => watchdogsOf(dataDir).length === 0, 'it ends with its Redis');
  },
);
