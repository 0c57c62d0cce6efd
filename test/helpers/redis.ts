/** A real Redis for a test: private, in a folder of its own, gone with the test. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Test } from 'tap';
import { type EmbeddedRedis, type EmbeddedRedisOptions, startEmbeddedRedis } from '../../src/store/embedded-redis.ts';
import { isAlive, type ProcessIdentity } from '../../src/store/process-lock.ts';
import { type RedisBinary, resolveRedisBinary } from '../../src/store/redis-binary.ts';

export const quietLog = { info() {}, warn() {}, error() {} };

let binary: Promise<RedisBinary> | undefined;

/** The binary that all tests use; `npm run redis:install` has put it in place before them. */
export function testRedisBinary(): Promise<RedisBinary> {
  binary ??= resolveRedisBinary({ log: quietLog });
  return binary;
}

// A test that runs out of time is ended by a signal, which by itself would leave its Redis behind.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

/** An empty folder that is deleted with the test, as are the Redis of servers that the test killed in it. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-test-'));
  t.teardown(() => {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (basename(name) === 'weir.lock') endLeftBehind(join(folder, name));
    }
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

function endLeftBehind(lockFile: string): void {
  const { details } = JSON.parse(readFileSync(lockFile, 'utf8')) as {
    details: { socketPath: string; redis: ProcessIdentity | null };
  };
  if (details.redis && isAlive(details.redis)) process.kill(details.redis.pid, 'SIGKILL');
  rmSync(dirname(details.socketPath), { recursive: true, force: true });
}

/** Starts an empty Redis, without syncing to disk unless `options` ask for it; it stops with the test. */
export async function startTestRedis(
  t: Test,
  options: Partial<EmbeddedRedisOptions> = {},
): Promise<{ socketPath: string; dataDir: string; redis: EmbeddedRedis }> {
  const dataDir = options.dataDir ?? temporaryFolder(t);
  const redis = await startEmbeddedRedis({
    appendfsync: 'no',
    maxmemoryBytes: 512 * 1024 * 1024,
    binary: await testRedisBinary(),
    log: quietLog,
    ...options,
    dataDir,
  });
  t.teardown(() => redis.stop());
  return { socketPath: redis.socketPath, dataDir, redis };
}
