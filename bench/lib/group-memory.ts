// How much memory a Redis uses, by its own account.
import { redisCommand } from '../../src/store/redis-command.ts';

/** Bytes. */
export async function redisMemory(socketPath: string): Promise<number> {
  const info = String(await redisCommand(socketPath, ['INFO', 'memory']));
  return Number(/used_memory:(\d+)/.exec(info)?.[1]);
}
