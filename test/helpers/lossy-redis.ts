// A Redis that can lose acknowledged changes, like a failover or an old backup: it is killed and started on an earlier copy of
// its data.
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';
import { type RedisProcess, spawnRedis } from '../../src/embedded-redis/redis-process.ts';
import { installedRedisBinary, quietLog } from '../../testbed/redis-node.ts';
import { temporaryFolder } from '../../testbed/scope.ts';
import { eventually } from './server.ts';

export interface LossyRedis {
  socketPath: string;
  /** Makes a copy of the current data. */
  backUp(): void;
  /** Kills it, replaces its data by the copy, and starts it again. */
  killAndRestore(): Promise<void>;
  /** Kills it and starts it again with its data. */
  killAndRestart(): Promise<void>;
  kill(): Promise<void>;
  /** Starts it again after kill(). */
  restart(): Promise<void>;
}

export async function startLossyRedis(t: Test): Promise<LossyRedis> {
  const folder = temporaryFolder(t);
  const socketPath = join(folder, 'redis.sock');
  const data = join(folder, 'appendonlydir');
  const copy = join(folder, 'copy');
  const binary = await installedRedisBinary();
  let running: RedisProcess | undefined;
  const start = async () => {
    const settings = { unixsocket: socketPath, port: '0', dir: folder, save: '', appendonly: 'yes', appendfsync: 'no' };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    running = await spawnRedis(binary, args, quietLog);
    await eventually(
      () =>
        redisCommand(socketPath, ['PING']).then(
          () => true,
          () => false,
        ),
      'Redis replies',
    );
  };
  const kill = async () => {
    running?.kill('SIGKILL');
    await running?.exit;
  };
  t.teardown(kill);
  await start();
  return {
    socketPath,
    backUp: () => {
      rmSync(copy, { recursive: true, force: true });
      cpSync(data, copy, { recursive: true });
    },
    killAndRestore: async () => {
      await kill();
      rmSync(data, { recursive: true });
      cpSync(copy, data, { recursive: true });
      await start();
    },
    killAndRestart: async () => {
      await kill();
      await start();
    },
    kill,
    restart: start,
  };
}
