// Memory and number of commands of a Redis, as INFO reports them.
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';

/** Used memory, bytes. */
export async function redisMemory(socketPath: string): Promise<number> {
  const info = String(await redisCommand(socketPath, ['INFO', 'memory']));
  return Number(/used_memory:(\d+)/.exec(info)?.[1]);
}

/** Commands processed so far, including those called by scripts. */
export async function redisCommands(socketPath: string): Promise<number> {
  const info = String(await redisCommand(socketPath, ['INFO', 'stats']));
  return Number(/total_commands_processed:(\d+)/.exec(info)?.[1]);
}
