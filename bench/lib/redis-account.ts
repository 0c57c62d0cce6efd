// What a Redis uses and has done, by its own account.
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';

/** Bytes. */
export async function redisMemory(socketPath: string): Promise<number> {
  const info = String(await redisCommand(socketPath, ['INFO', 'memory']));
  return Number(/used_memory:(\d+)/.exec(info)?.[1]);
}

/** How many commands it has done so far, those in scripts, too. */
export async function redisCommands(socketPath: string): Promise<number> {
  const info = String(await redisCommand(socketPath, ['INFO', 'stats']));
  return Number(/total_commands_processed:(\d+)/.exec(info)?.[1]);
}
