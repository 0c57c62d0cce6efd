// A Redis of its own process on a TCP port, as part of a set: a primary, a replica, a Sentinel, a node of a cluster.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type RedisReply, redisCommand } from '../../src/store/redis-command.ts';
import { type RedisProcess, spawnRedis } from '../../src/store/redis-process.ts';
import { freePort } from './process.ts';
import { quietLog, temporaryFolder, testRedisBinary } from './redis.ts';
import { eventually } from './server.ts';

export interface RedisNode {
  host: string;
  port: number;
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
 * Starts a Redis that is killed with the test.
 * @param settings lines of its redis.conf
 * @param sentinel whether it is a Sentinel
 */
export async function startRedisNode(t: Test, settings: readonly string[], sentinel = false): Promise<RedisNode> {
  const folder = temporaryFolder(t);
  const socketPath = join(folder, 's');
  const port = await freePort();
  const file = join(folder, 'redis.conf');
  const data = sentinel ? [] : ['save ""', 'repl-diskless-sync-delay 0', 'repl-ping-replica-period 1'];
  const lines = [`port ${port}`, 'bind 127.0.0.1', `unixsocket ${socketPath}`, `dir ${folder}`, ...data, ...settings];
  // A Sentinel writes what it learns into this file.
  writeFileSync(file, `${lines.join('\n')}\n`);
  const binary = await testRedisBinary();
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
  t.teardown(kill);
  await start();
  return {
    host: '127.0.0.1',
    port,
    ask,
    info: async (field) => new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(String(await ask('INFO')))?.[1],
    kill,
    signal: (signal) => process.kill(running!.pid, signal),
    start,
  };
}
