// Counts the nodes that Redis has, one by one.
import { redisCommand } from '../../src/embedded-redis/redis-command.ts';

export async function storedNodes(socketPath: string): Promise<{ nodes: number; ephemerals: number }> {
  const keys = async (pattern: string) => (await redisCommand(socketPath, ['KEYS', pattern])) as string[];
  const nodes = (await keys('{weir}:node:*')).length;
  let ephemerals = 0;
  for (const key of await keys('{weir}:ephemerals:*'))
    ephemerals += Number(await redisCommand(socketPath, ['SCARD', key]));
  return { nodes, ephemerals };
}
