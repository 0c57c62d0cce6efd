/**
 * The private Redis of a single machine: a child process on a unix socket with its data in the data directory. The server
 * starts it, restarts it when it ends, and stops it. If the server is killed, the next one takes over the running Redis.
 * This file owns the lock of the data directory and the folder of the socket. Two Redis processes must never run on one
 * directory, as that would destroy the data. redis-binary.ts finds the program.
 */

import { realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { required } from '../core/required.ts';
import type { LoadingProgress } from '../store/redis/server-info.ts';
import { type LockDetails, reachableOrphans, unreachableOrphan } from './orphaned-redis.ts';
import { chooseSocketPath, makeDataDir, refuseForeignFile } from './private-folders.ts';
import { acquireProcessLock, identifyProcess, LockHeldError, type ProcessLock } from './process-lock.ts';
import type { RedisBinary } from './redis-binary.ts';
import { RedisReplyError, redisCommand } from './redis-command.ts';
import { type RedisExit, type RedisProcess, spawnRedis } from './redis-process.ts';
import { ensureSetting, readLoading, readVersion } from './redis-queries.ts';
import { redisSettings } from './redis-settings.ts';
import { startRedisWatchdog } from './redis-watchdog.ts';

export interface EmbeddedRedisOptions {
  /** The data directory; created if it does not exist. One server at a time can use it. */
  dataDir: string;
  appendfsync: 'always' | 'everysec' | 'no';
  /** Memory limit. Default: half of the memory of the machine or container. */
  maxmemoryBytes?: number;
  /** The program to start, or a function that finds it when it is needed. */
  binary: Binary | (() => Promise<Binary>);
  /** The user's own folder for sockets (XDG_RUNTIME_DIR), for a data directory whose path is too long. */
  runtimeDir?: string;
  /** How long Redis keeps running after its server was killed, unless another server takes it over, ms. Default: 5 minutes. */
  orphanTimeoutMs?: number;
  log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** An additional TCP port on the loopback address. Default: none. */
  port?: number;
}

type Binary = Pick<RedisBinary, 'command' | 'env'>;

export interface EmbeddedRedis {
  /** Starts Redis, or takes over the running Redis of a killed server. Resolves when Redis replies to commands. */
  start(): Promise<void>;
  /** Progress while Redis loads its data; undefined otherwise. */
  readonly loading: LoadingProgress | undefined;
  /** Path of the unix socket; it does not change when Redis is restarted. */
  readonly socketPath: string;
  readonly pid: number;
  /** Version of Redis, such as `7.0.15`. */
  readonly version: string;
  /** Calls `listener` each time that Redis ends unexpectedly. It is restarted automatically. */
  onExit(listener: (exit: RedisExit) => void): void;
  /** Stops Redis with all data synced to disk, and releases the lock of the directory. */
  stop(): Promise<void>;
}

/** How long Redis may take to open its socket, ms. Loading its data comes after that and has no limit. */
const socketTimeoutMs = 30_000;
const stopTimeoutMs = 10_000;
const restartDelayMsMax = 5000;
/** Interval at which the progress of loading is read, ms. */
const loadingPollMs = 250;
const orphanTimeoutMsDefault = 5 * 60_000;
/** After a run of this length the restart delay begins anew, ms: the settings or the data cannot have caused the end. */
const stableRunMs = 30_000;

/**
 * Locks the data directory for this server. Redis is started later, by `start()`.
 * @throws Error if another running server uses the directory, or if it belongs to another user
 */
export async function claimEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const { log } = options;
  makeDataDir(options.dataDir, log);
  const dataDir = realpathSync(options.dataDir);
  const lock = await lockDataDir(dataDir, log);
  const socketPath = await chooseSocketPath(dataDir, options.runtimeDir, lock.previousDetails?.socketPath);
  return new Supervisor({ ...options, dataDir }, socketPath, lock);
}

/** Locks the directory and starts Redis. @throws Error as claimEmbeddedRedis() and start() do */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const redis = await claimEmbeddedRedis(options);
  try {
    await redis.start();
  } catch (error) {
    await redis.stop();
    throw error;
  }
  return redis;
}

async function lockDataDir(dataDir: string, log: EmbeddedRedisOptions['log']): Promise<ProcessLock<LockDetails>> {
  const file = join(dataDir, 'weir.lock');
  refuseForeignFile(file);
  try {
    return await acquireProcessLock<LockDetails>(file, { socketPath: '', redis: null }, () =>
      log.info(
        { file },
        'The lock of the data directory names a server in another container or machine; waiting to see whether it is alive',
      ),
    );
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    throw new Error(
      `The data directory ${dataDir} is in use by another server, process ${error.holderPid} (named in ${file}). ` +
        'Stop that server, or set another directory with WEIR_DATA_DIR or --data-dir. To run several ' +
        'servers on the same data, use a shared Redis with WEIR_REDIS_URL.',
      { cause: error },
    );
  }
}

class Supervisor implements EmbeddedRedis {
  readonly socketPath: string;
  readonly #options: EmbeddedRedisOptions;
  readonly #settings: Map<string, string>;
  readonly #lock: ProcessLock<LockDetails>;
  readonly #listeners: ((exit: RedisExit) => void)[] = [];
  readonly #stopping = new AbortController();
  #process: RedisProcess | undefined;
  #version = '';
  #loading: LoadingProgress | undefined;
  #stopResult: Promise<void> | undefined;
  #restarting: Promise<void> = Promise.resolve();

  constructor(options: EmbeddedRedisOptions, socketPath: string, lock: ProcessLock<LockDetails>) {
    this.#options = options;
    this.socketPath = socketPath;
    this.#lock = lock;
    this.#settings = redisSettings({ ...options, socketPath });
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get version(): string {
    return this.#version;
  }

  get loading(): LoadingProgress | undefined {
    return this.#loading;
  }

  onExit(listener: (exit: RedisExit) => void): void {
    this.#listeners.push(listener);
  }

  async start(): Promise<void> {
    const adopted = await this.#adoptOrphan();
    if (adopted) {
      this.#process = adopted;
      this.#recordProcess(adopted.pid);
    } else {
      await this.#launch();
    }
    this.#watch(required(this.#process, 'Redis process that was started'), Date.now(), 0);
  }

  stop(): Promise<void> {
    this.#stopResult ??= this.#stop();
    return this.#stopResult;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#restarting;
    if (this.#process) {
      // On SIGTERM Redis writes and syncs the rest of its AOF before it ends, with any value of appendfsync.
      await this.#end(this.#process);
    }
    const folder = dirname(this.socketPath);
    if (folder !== this.#options.dataDir) rmSync(folder, { recursive: true, force: true });
    // The lock is released last, as the next holder may start a Redis on the directory.
    this.#lock.release();
  }

  /** Starts a Redis process and waits until it replies. */
  async #launch(): Promise<void> {
    const { binary, log } = this.#options;
    const args = [...this.#settings].flatMap(([name, value]) => [`--${name}`, value]);
    const program = typeof binary === 'function' ? await binary() : binary;
    this.#stopping.signal.throwIfAborted();
    this.#lock.write({ socketPath: this.socketPath, redis: null });
    const child = await spawnRedis(program, args, log);
    this.#process = child;
    // Recorded at once: if this server is killed now, the next one finds Redis even before the socket is open.
    this.#recordProcess(child.pid);
    await this.#waitUntilReady(child);
    this.#version = await readVersion(this.socketPath);
    log.info(
      { redisPid: child.pid, redisVersion: this.#version, dataDir: this.#options.dataDir },
      'The private Redis is ready',
    );
  }

  /** Writes the identity of Redis into the lock for the next server, and starts a watchdog for Redis. */
  #recordProcess(pid: number): void {
    const redis = identifyProcess(pid) ?? null;
    this.#lock.write({ socketPath: this.socketPath, redis });
    const server = identifyProcess(process.pid);
    if (!redis || !server) return;
    const lock = { file: join(this.#options.dataDir, 'weir.lock'), id: this.#lock.id };
    startRedisWatchdog({
      lock,
      server,
      redis,
      orphanTimeoutMs: this.#options.orphanTimeoutMs ?? orphanTimeoutMsDefault,
    });
  }

  /** Polls until Redis replies to PING. Loading the data has no time limit. */
  async #waitUntilReady(running: RedisProcess): Promise<void> {
    const startedAt = Date.now();
    let loggedAt = startedAt;
    let polledAt = 0;
    for (let delayMs = 2; ; delayMs = Math.min(delayMs * 2, 50)) {
      const exit = running.exited;
      if (exit) {
        const lastLines = exit.lastLines.join(' | ');
        throw new Error(`Redis ended before it was ready, ${describeExit(exit)}. Its last log lines: ${lastLines}`);
      }
      this.#stopping.signal.throwIfAborted();
      try {
        await redisCommand(this.socketPath, ['PING']);
        this.#loading = undefined;
        return;
      } catch (error) {
        const now = Date.now();
        if (error instanceof RedisReplyError) {
          if (now - polledAt > loadingPollMs) {
            polledAt = now;
            this.#loading = await readLoading(this.socketPath);
          }
          if (now - loggedAt > 5000) {
            loggedAt = now;
            const { percent, secondsLeft } = this.#loading ?? {};
            const fields = { redisPid: running.pid, percent, secondsLeft };
            this.#options.log.info(fields, `The private Redis is not ready yet: ${error.message}`);
          }
        } else if (now - startedAt > socketTimeoutMs) {
          throw new Error(`Redis did not open ${this.socketPath} within ${socketTimeoutMs} ms`, { cause: error });
        }
      }
      await sleep(delayMs);
    }
  }

  /** Restarts Redis when it ends unexpectedly. @param failures failed or short runs before this one */
  #watch(running: RedisProcess, startedAt: number, failures: number): void {
    void running.exit.then((exit) => {
      if (this.#stopping.signal.aborted) return;
      const { log } = this.#options;
      log.error({ redisPid: running.pid }, `The private Redis ended ${describeExit(exit)}; restarting it`);
      for (const listener of this.#listeners) listener(exit);
      const failuresNow = Date.now() - startedAt > stableRunMs ? 0 : failures;
      this.#restarting = this.#restart(failuresNow);
    });
  }

  /** Starts Redis again on the same data, at once and then with growing delays, until it runs or stop() is called. */
  async #restart(failures: number): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#stopping;
    for (let attempt = failures; !signal.aborted; attempt++) {
      const delayMs = attempt === 0 ? 0 : Math.min(100 * 2 ** attempt, restartDelayMsMax);
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const startedAt = Date.now();
      try {
        await this.#launch();
        this.#watch(required(this.#process, 'Redis process that was started'), startedAt, attempt + 1);
        return;
      } catch (error) {
        if (signal.aborted) return;
        log.error({ err: error }, 'The private Redis could not be restarted; trying again');
        // The process may still be alive but slow. Two Redis processes on one directory would destroy the data.
        if (this.#process) await this.#end(this.#process);
      }
    }
  }

  /** Ends a Redis process with SIGTERM, then SIGKILL after `stopTimeoutMs`. Resolves when the process has ended. */
  async #end(running: RedisProcess): Promise<void> {
    running.kill('SIGTERM');
    const timeout = new AbortController();
    const isGone = await Promise.race([
      running.exit.then(() => true),
      sleep(stopTimeoutMs, false, { signal: timeout.signal }).catch(() => false),
    ]);
    timeout.abort();
    if (isGone) return;
    this.#options.log.error(
      { redisPid: running.pid },
      `The private Redis did not end within ${stopTimeoutMs} ms after SIGTERM; sending SIGKILL`,
    );
    running.kill('SIGKILL');
    await running.exit;
  }

  /**
   * Takes over the running Redis of a killed server on this directory, or ends it with its data synced if it cannot be used.
   * @returns undefined if no Redis runs on the directory any more
   */
  async #adoptOrphan(): Promise<RedisProcess | undefined> {
    const { log, dataDir } = this.#options;
    const previous = this.#lock.previousDetails;
    for await (const { running, socketPath } of reachableOrphans(dataDir, this.socketPath, previous)) {
      try {
        if (socketPath !== this.socketPath)
          throw new Error(`It listens at ${socketPath} instead of ${this.socketPath}`);
        await this.#waitUntilReady(running);
        this.#version = await readVersion(socketPath);
        for (const [name, value] of this.#settings) await ensureSetting(socketPath, name, value);
        log.info(
          { redisPid: running.pid, redisVersion: this.#version, dataDir },
          'Took over the running private Redis of an earlier server; its log lines are not available',
        );
        return running;
      } catch (error) {
        log.warn({ err: error, redisPid: running.pid }, 'Replacing the running private Redis of an earlier server');
        await this.#end(running);
      }
    }
    const unreachable = unreachableOrphan(dataDir, previous?.redis, log);
    if (unreachable) await this.#end(unreachable);
    return undefined;
  }
}

function describeExit({ code, signal }: RedisExit): string {
  return signal !== null ? `by ${signal}` : code !== null ? `with exit code ${code}` : 'in an unknown way';
}
