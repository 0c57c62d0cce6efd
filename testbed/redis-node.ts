// A Redis process on a TCP port, as part of a set: a primary, a replica, a Sentinel or a node of a cluster.
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RedisBinary, resolveRedisBinary } from '../src/embedded-redis/redis-binary.ts';
import { type RedisReply, redisCommand } from '../src/embedded-redis/redis-command.ts';
import { type RedisProcess, spawnRedis } from '../src/embedded-redis/redis-process.ts';
import type { Certificates } from './certificates.ts';
import { eventually, freePort, type Scope, temporaryFolder } from './scope.ts';

export const quietLog = { debug() {}, info() {}, warn() {}, error() {} };

let binary: Promise<RedisBinary> | undefined;

/** The binary of all nodes; `npm run redis:install`, or the first start of a server, has installed it. */
export function installedRedisBinary(): Promise<RedisBinary> {
  binary ??= resolveRedisBinary({ log: quietLog });
  return binary;
}

export interface RedisNode {
  host: string;
  port: number;
  /** Process id of the current process. */
  pid(): number;
  /** Runs one command over its unix socket. Rejects with the error of Redis, or if it does not run. */
  ask(...command: string[]): Promise<RedisReply>;
  /** A field of its INFO. */
  info(field: string): Promise<string | undefined>;
  /** Kills the process with SIGKILL. */
  kill(): Promise<void>;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts it again on the same port, with the data that it has. */
  start(): Promise<void>;
  /** Copies its append-only file as it is now. */
  backUp(): void;
  /** Kills it and starts it on that copy: later writes are lost, as in a failover to a replica that lags. */
  killAndRestore(): Promise<void>;
}

/**
 * Starts a Redis that is killed with its scope.
 * @param settings lines of its redis.conf
 * @param kind whether it is a Sentinel, and whether all its connections use TLS
 */
export async function startRedisNode(
  scope: Scope,
  settings: readonly string[],
  { sentinel = false, tls }: { sentinel?: boolean; tls?: Certificates | undefined } = {},
): Promise<RedisNode> {
  const folder = temporaryFolder(scope);
  const socketPath = join(folder, 's');
  const port = await freePort();
  const file = join(folder, 'redis.conf');
  const data = sentinel ? [] : ['save ""', 'repl-diskless-sync-delay 0', 'repl-ping-replica-period 1'];
  const ports = tls ? ['port 0', `tls-port ${port}`, ...tlsSettings(tls)] : [`port ${port}`];
  const lines = [...ports, 'bind 127.0.0.1', `unixsocket ${socketPath}`, `dir ${folder}`, ...data, ...settings];
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
  const [appended, copy] = [join(folder, 'appendonlydir'), join(folder, 'copy')];
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
    backUp: () => cpSync(appended, copy, { recursive: true }),
    killAndRestore: async () => {
      await kill();
      rmSync(appended, { recursive: true });
      cpSync(copy, appended, { recursive: true });
      await start();
    },
  };
}

function tlsSettings({ ca, server }: Certificates): string[] {
  const files = [`tls-ca-cert-file ${ca}`, `tls-cert-file ${server}.pem`, `tls-key-file ${server}.key`];
  return [...files, 'tls-replication yes', 'tls-cluster yes'];
}
