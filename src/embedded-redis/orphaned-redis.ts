// Finds the Redis that a killed server has left running on a data directory. No second one may be started on the directory: two
// processes would destroy the data.
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { isPrivateFolder } from './private-folders.ts';
import { identifyProcess, isAlive, type ProcessIdentity } from './process-lock.ts';
import { adoptProcess, isRedisOf, type RedisProcess } from './redis-process.ts';
import { readServerInfo, readSetting } from './redis-queries.ts';

/** Details in the lock file of the data directory, for the next server. */
export interface LockDetails {
  socketPath: string;
  redis: ProcessIdentity | null;
}

/** How long the Redis of a killed server may take to reply before it is replaced, ms. */
const replyTimeoutMs = 10_000;

/**
 * The processes of this user that serve the directory at the socket of the previous server, or at `socketPath`.
 * @throws Error if another Redis listens there and does not reply
 */
export async function* reachableOrphans(
  dataDir: string,
  socketPath: string,
  previous: LockDetails | undefined,
): AsyncGenerator<{ running: RedisProcess; socketPath: string }> {
  const previousPath = previous?.socketPath;
  const paths = previousPath && isPrivateFolder(dirname(previousPath)) ? [previousPath, socketPath] : [socketPath];
  for (const path of new Set(paths)) {
    const identity = await findRedisAt(path, dataDir, previous?.redis ?? undefined);
    if (identity && isRedisOf(identity.pid, dataDir)) yield { running: adoptProcess(identity), socketPath: path };
  }
}

/**
 * The process that the lock of the directory names, if it is alive though it cannot be reached: its socket may have been deleted.
 * @returns undefined if it has ended, or is no Redis of this directory
 */
export function unreachableOrphan(
  dataDir: string,
  named: ProcessIdentity | null | undefined,
  log: Pick<Logger, 'warn'>,
): RedisProcess | undefined {
  if (!named || !isAlive(named)) return undefined;
  if (!isRedisOf(named.pid, dataDir)) {
    log.warn(
      { pid: named.pid },
      'The lock of the data directory names a process that is not a Redis of this user in this directory; it is not stopped',
    );
    return undefined;
  }
  log.warn(
    { redisPid: named.pid },
    'Replacing the running private Redis of an earlier server, which cannot be reached',
  );
  return adoptProcess(named);
}

/**
 * Finds the Redis process that serves `dataDir` at a socket.
 * @param expected the process that is assumed if a Redis listens there and does not reply
 * @returns undefined if no process listens there, or if it serves another directory
 * @throws Error if a Redis listens and does not reply, and `expected` is not alive
 */
async function findRedisAt(
  socketPath: string,
  dataDir: string,
  expected: ProcessIdentity | undefined,
): Promise<ProcessIdentity | undefined> {
  for (const deadline = Date.now() + replyTimeoutMs; ; ) {
    try {
      const directory = await readSetting(socketPath, 'dir');
      if (directory !== dataDir) return undefined;
      const pid = /^process_id:(\d+)/m.exec(await readServerInfo(socketPath))?.[1];
      return identifyProcess(Number(pid));
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
      // A process listens but is busy or about to end. Starting another Redis on the directory now could destroy the data.
      if (Date.now() > deadline) {
        if (expected && isAlive(expected)) return expected;
        throw new Error(
          `A Redis listens at ${socketPath} but does not reply to commands. Stop it, then start this server again.`,
          {
            cause: error,
          },
        );
      }
      await sleep(50);
    }
  }
}
