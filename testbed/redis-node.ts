// A Redis of its own process on a TCP port, as part of a set: a primary, a replica, a Sentinel, a node of a cluster.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RedisBinary, resolveRedisBinary } from '../src/store/redis-binary.ts';
import { type RedisReply, redisCommand } from '../src/store/redis-command.ts';
import { type RedisProcess, spawnRedis } from '../src/store/redis-process.ts';
import { eventually, freePort, type Scope, temporaryFolder } from './scope.ts';

export const quietLog = { info() {}, warn() {}, error() {} };

let binary: Promise<RedisBinary> | undefined;

/** The binary that all use; `npm run redis:install`, or the first start of a server, has put it in place before. */
export function installedRedisBinary(): Promise<RedisBinary> {
  binary ??= resolveRedisBinary({ log: quietLog });
  return binary;
}

export interface RedisNode {
  host: string;
  port: number;
  /** Of the process that runs now. */
  pid(): number;
  /** One command, over its unix socket. Rejects with its error, or if it does not run. */
  ask(...command: string[]): Promise<RedisReply>;
  /** A field of its INFO. */
  info(field: string): Promise<string | undefined>;
  /** kill -9. */
  kill(): Promise<void>;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts it again on the same port, with the data that it has. */
  start(): Promise<void>;
}

/**
 * Starts a Redis that is killed with its scope.
 * @param settings lines of its redis.conf
 * @param sentinel whether it is a Sentinel
 */
export async function startRedisNode(scope: Scope, settings: readonly string[], sentinel = false): Promise<RedisNode> {
  const folder = temporaryFolder(scope);
  const socketPath = join(folder, 's');
  const port = await freePort();
  const file = join(folder, 'redis.conf');
  const data = sentinel ? [] : ['save ""', 'repl-diskless-sync-delay 0', 'repl-ping-replica-period 1'];
  const lines = [`port ${port}`, 'bind 127.0.0.1', `unixsocket ${socketPath}`, `dir ${folder}`, ...data, ...settings];
  // A Sentinel writes what it learns into this file.
  writeFileSync(file, `${lines.join('\n')}\n`);
  const binary = await installedRedisBinary();
  let running: RedisProcess | undefined;
  const ask = (...command: string[]) => redisCommand(socketPath, command);
  const kill = async () => {
    running?.kill('SIGKILL');
    await running?.exit;
  };
  const start = async () => {
    running = await spawnRedis(binary, [file, ...(sentinel ? ['--sentinel'] : [])], quietLog);
    await eventually(() => {
      if (running?.exited) throw new Error(`Redis ended: ${running.exited.lastLines.join('\n')}`);
      return ask('PING').catch(() => undefined);
    }, 'a Redis serves');
  };
  scope.teardown(kill);
  await start();
  return {
    host: '127.0.0.1',
    port,
    pid: () => running!.pid,
    ask,
    info: async (field) => new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(String(await ask('INFO')))?.[1],
    kill,
    signal: (signal) => process.kill(running!.pid, signal),
    start,
  };
}
