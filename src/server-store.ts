// Opens what a server stores its data in: the configured shared Redis, or the private one that the process owns.
import type { Logger } from 'pino';
import { type Config, userRuntimeDir } from './config/config.ts';
import { claimEmbeddedRedis } from './embedded-redis/embedded-redis.ts';
import {
  binaryAge,
  type FoundRedis,
  findRedisBinary,
  type RedisBinary,
  resolveRedisBinary,
} from './embedded-redis/redis-binary.ts';
import type { StartOptions } from './server.ts';
import { type StoreTarget, sharedStore } from './store/redis/target.ts';

export interface ServerStore {
  target: StoreTarget;
  /** How to start the store after the port is bound. */
  start: Pick<StartOptions, 'startStore' | 'loading'>;
  stop(): Promise<void>;
}

/** The configured shared store; without one the private store, after locking its data directory. */
export async function openServerStore(config: Config, log: Logger): Promise<ServerStore> {
  if (config.redisUrl !== undefined) {
    return { target: sharedStore(config, config.redisUrl), start: {}, stop: async () => {} };
  }
  const runtimeDir = userRuntimeDir();
  let found: Promise<FoundRedis> | undefined;
  const redis = await claimEmbeddedRedis({
    dataDir: config.dataDir,
    appendfsync: config.appendfsync,
    ...(config.redisMaxmemoryBytes !== undefined && { maxmemoryBytes: config.redisMaxmemoryBytes }),
    ...(runtimeDir !== undefined && { runtimeDir }),
    binary: () => {
      const first = found;
      // When Redis is started again, another one may be there.
      found = undefined;
      return obtainRedis(log, first);
    },
    log,
  });
  // It is looked for while the rest of the program is loaded. Who wants it learns why it could not be.
  found = findRedisBinary({ log });
  found.catch(() => undefined);
  return {
    // The lock of the data directory guarantees that no other server uses this store.
    target: { socketPath: redis.socketPath, sole: true },
    start: { startStore: () => redis.start(), loading: () => redis.loading },
    stop: () => redis.stop(),
  };
}

/** @param found what was found already; else it is looked for */
async function obtainRedis(log: Logger, found?: Promise<FoundRedis>): Promise<RedisBinary> {
  const binary = await resolveRedisBinary({ log, ...(found && { found }) });
  const { version, command, source } = binary;
  const where = source === 'path' ? 'found on the PATH' : 'installed for it alone';
  log.info(
    { version, command, source, ...binaryAge(command) },
    `Using Redis ${version} as the private Redis, ${where}`,
  );
  return binary;
}
