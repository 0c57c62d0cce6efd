/** A real, private Redis for a test, in its own folder; it ends with the test. */
import type { Test } from 'tap';
import {
  type EmbeddedRedis,
  type EmbeddedRedisOptions,
  startEmbeddedRedis,
} from '../../src/embedded-redis/embedded-redis.ts';
import { installedRedisBinary, quietLog } from '../../testbed/redis-node.ts';
import { temporaryFolder } from '../../testbed/scope.ts';

// A test that times out is ended by a signal, which alone would leave its Redis running.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

/** Starts an empty Redis, without syncing to disk unless `options` say so; it stops with the test. */
export async function startTestRedis(
  t: Test,
  options: Partial<EmbeddedRedisOptions> = {},
): Promise<{ socketPath: string; dataDir: string; redis: EmbeddedRedis }> {
  const dataDir = options.dataDir ?? temporaryFolder(t);
  const redis = await startEmbeddedRedis({
    appendfsync: 'no',
    maxmemoryBytes: 512 * 1024 * 1024,
    binary: await installedRedisBinary(),
    log: quietLog,
    ...options,
    dataDir,
  });
  t.teardown(() => redis.stop());
  return { socketPath: redis.socketPath, dataDir, redis };
}
