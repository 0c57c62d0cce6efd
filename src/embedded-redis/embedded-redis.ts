/**
 * The private Redis of a single machine: a child process on a unix socket that keeps its data in the data directory,
 * is started, watched, restarted and stopped by the server, and is found again by the next server if this one is
 * killed. Owns the directory's lock and the socket's folder. Where the binary comes from is the business of
 * redis-binary.ts; what is stored, of everybody else.
 */
import { realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { LoadingProgress } from '../store/redis/server-info.ts';
import { chooseSocketPath, isPrivateFolder, makeDataDir, refuseForeignFile } from './private-folders.ts';
import {
  acquireProcessLock,
  identifyProcess,
  isAlive,
  LockHeldError,
  type ProcessIdentity,
  type ProcessLock,
} from './process-lock.ts';
import type { RedisBinary } from './redis-binary.ts';
import { RedisReplyError, redisCommand } from './redis-command.ts';
import { adoptProcess, isRedisOf, type RedisExit, type RedisProcess, spawnRedis } from './redis-process.ts';
import { ensureSetting, readLoading, readServerInfo, readSetting, readVersion } from './redis-queries.ts';
import { redisSettings } from './redis-settings.ts';
import { startRedisWatchdog } from './redis-watchdog.ts';

export interface EmbeddedRedisOptions {
  /** Where the data is; made if absent. One server at a time may use it. */
  dataDir: string;
  appendfsync: 'always' | 'everysec' | 'no';
  /** Default: half of what this machine, or this container, has. */
  maxmemoryBytes?: number;
  /** What is started; a function is called when it is needed. */
  binary: Binary | (() => Promise<Binary>);
  /** The user's own folder for sockets (XDG_RUNTIME_DIR), for a data directory whose path is too long. */
  runtimeDir?: string;
  /** How long Redis lives on when its server was killed and no other has taken over. Default: 5 minutes. */
  orphanTimeoutMs?: number;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** A TCP port on the loopback as well. Default: none. */
  port?: number;
}

type Binary = Pick<RedisBinary, 'command' | 'env'>;

export interface EmbeddedRedis {
  /** Starts Redis, or takes over the one that a killed server left behind; resolves when it answers. */
  start(): Promise<void>;
  /** How far it has come, while it loads its data. */
  readonly loading: LoadingProgress | undefined;
  /** Stays the same when Redis is restarted. */
  readonly socketPath: string;
  readonly pid: number;
  /** Such as `7.0.15`. */
  readonly version: string;
  /** `listener` is told of every end of Redis that was not asked for; it is restarted by itself. */
  onExit(listener: (exit: RedisExit) => void): void;
  /** Ends Redis with all data synced, and gives up the directory. */
  stop(): Promise<void>;
}

/** What stands in the directory's lock beside the server's own name. */
interface LockDetails {
  socketPath: string;
  redis: ProcessIdentity | null;
}

/** How long Redis may take to open its socket; loading its data comes after that and may take as long as it needs. */
const socketTimeoutMs = 30_000;
/** How long a Redis left behind may take to answer before it is replaced. */
const replyTimeoutMs = 10_000;
const stopTimeoutMs = 10_000;
const restartDelayMsMax = 5000;
/** How often Redis is asked how far it has loaded. */
const loadingPollMs = 250;
const orphanTimeoutMsDefault = 5 * 60_000;
/** A Redis that ran for so long did not die of what it was started with. */
const stableRunMs = 30_000;

/**
 * Takes the data directory for this server; Redis is started later.
 * Rejects if a living server has the directory, or it is not this user's.
 */
export async function claimEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const { log } = options;
  makeDataDir(options.dataDir, log);
  const dataDir = realpathSync(options.dataDir);
  const lock = await lockDataDir(dataDir, log);
  const socketPath = await chooseSocketPath(dataDir, options.runtimeDir, lock.previousDetails?.socketPath);
  return new Supervisor({ ...options, dataDir }, socketPath, lock);
}

/** Takes the directory and starts Redis. Rejects also if Redis cannot be started with what is in it. */
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
      log.info({ file }, 'The data directory was held from another container or machine; seeing whether it still is'),
    );
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    throw new Error(
      `The data directory ${dataDir} is in use by another server, process ${error.holderPid} (it says so in ${file}). ` +
        'Stop that server, or give this one a directory of its own with WEIR_DATA_DIR or --data-dir. To run several ' +
        'servers on the same data, let them share a Redis with WEIR_REDIS_URL.',
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
    this.#watch(this.#process!, Date.now(), 0);
  }

  stop(): Promise<void> {
    this.#stopResult ??= this.#stop();
    return this.#stopResult;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#restarting;
    if (this.#process) {
      // SIGTERM makes Redis write and sync the rest of its AOF before it ends, whatever appendfsync says.
      await this.#end(this.#process);
    }
    const folder = dirname(this.socketPath);
    if (folder !== this.#options.dataDir) rmSync(folder, { recursive: true, force: true });
    // Last of all: whoever gets the lock may start a Redis on the directory.
    this.#lock.release();
  }

  /** Starts a child and waits until it serves. */
  async #launch(): Promise<void> {
    const { binary, log } = this.#options;
    const args = [...this.#settings].flatMap(([name, value]) => [`--${name}`, value]);
    const program = typeof binary === 'function' ? await binary() : binary;
    this.#stopping.signal.throwIfAborted();
    this.#lock.write({ socketPath: this.socketPath, redis: null });
    const child = await spawnRedis(program, args, log);
    this.#process = child;
    // Written down at once: if this server is killed now, the next one finds Redis even before it has its socket.
    this.#recordProcess(child.pid);
    await this.#waitUntilReady(child);
    this.#version = await readVersion(this.socketPath);
    log.info(
      { redisPid: child.pid, redisVersion: this.#version, dataDir: this.#options.dataDir },
      'The private Redis is ready',
    );
  }

  /** Who Redis is, for the next server; and sees to it that it does not outlive this one for long. */
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

  /** Polls until Redis answers PING; while it loads its data, for as long as that takes. */
  async #waitUntilReady(running: RedisProcess): Promise<void> {
    const startedAt = Date.now();
    let saidAt = startedAt;
    let lookedAt = 0;
    for (let delayMs = 2; ; delayMs = Math.min(delayMs * 2, 50)) {
      const exit = running.exited;
      if (exit) {
        const lastWords = exit.lastLines.join(' | ');
        throw new Error(`Redis ended before it was ready, ${describeExit(exit)}; its last words: ${lastWords}`);
      }
      this.#stopping.signal.throwIfAborted();
      try {
        await redisCommand(this.socketPath, ['PING']);
        this.#loading = undefined;
        return;
      } catch (error) {
        const now = Date.now();
        if (error instanceof RedisReplyError) {
          if (now - lookedAt > loadingPollMs) {
            lookedAt = now;
            this.#loading = await readLoading(this.socketPath);
          }
          if (now - saidAt > 5000) {
            saidAt = now;
            const { percent, secondsLeft } = this.#loading ?? {};
            const fields = { redisPid: running.pid, percent, secondsLeft };
            this.#options.log.info(fields, `Waiting for the private Redis: ${error.message}`);
          }
        } else if (now - startedAt > socketTimeoutMs) {
          throw new Error(`Redis did not open ${this.socketPath} within ${socketTimeoutMs} ms`, { cause: error });
        }
      }
      await sleep(delayMs);
    }
  }

  /** Sees to it that Redis runs for as long as this server wants it to. */
  #watch(running: RedisProcess, startedAt: number, failures: number): void {
    void running.exit.then((exit) => {
      if (this.#stopping.signal.aborted) return;
      const { log } = this.#options;
      log.error({ redisPid: running.pid }, `The private Redis ended ${describeExit(exit)}. Starting it again`);
      for (const listener of this.#listeners) listener(exit);
      const failuresNow = Date.now() - startedAt > stableRunMs ? 0 : failures;
      this.#restarting = this.#restart(failuresNow);
    });
  }

  /** Starts Redis again on the same data, at once and then with growing pauses, until it serves or is to stop. */
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
        this.#watch(this.#process!, startedAt, attempt + 1);
        return;
      } catch (error) {
        if (signal.aborted) return;
        log.error({ err: error }, 'The private Redis could not be started again; trying on');
        // It may have been alive, only too slow: two on one directory would destroy the data.
        if (this.#process) await this.#end(this.#process);
      }
    }
  }

  /** Ends a Redis with its data synced; by force if it does not end by itself. Resolves when it is gone. */
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
      `Redis did not end within ${stopTimeoutMs} ms of SIGTERM; killing it`,
    );
    running.kill('SIGKILL');
    await running.exit;
  }

  /**
   * The Redis that a killed server left running on this directory, if there is one: taken over if it does what is
   * asked of it, else ended with its data synced. Gives undefined when none runs any more.
   */
  async #adoptOrphan(): Promise<RedisProcess | undefined> {
    const { log, dataDir } = this.#options;
    const left = this.#lock.previousDetails;
    const leftAt = left?.socketPath;
    const paths = leftAt && isPrivateFolder(dirname(leftAt)) ? [leftAt, this.socketPath] : [this.socketPath];
    for (const socketPath of new Set(paths)) {
      const identity = await findRedisAt(socketPath, dataDir, left?.redis ?? undefined);
      if (!identity || !isRedisOf(identity.pid, dataDir)) continue;
      const running = adoptProcess(identity);
      try {
        if (socketPath !== this.socketPath) throw new Error(`it listens at ${socketPath}`);
        await this.#waitUntilReady(running);
        this.#version = await readVersion(socketPath);
        for (const [name, value] of this.#settings) await ensureSetting(socketPath, name, value);
        log.info(
          { redisPid: running.pid, redisVersion: this.#version, dataDir },
          'Took over the private Redis that an earlier server had left behind; its own log lines cannot be shown',
        );
        return running;
      } catch (error) {
        log.warn({ err: error, redisPid: running.pid }, 'The private Redis of an earlier server is replaced');
        await this.#end(running);
      }
    }
    // One that is alive and cannot be reached, its socket deleted perhaps: still it must not have company.
    if (left?.redis && isAlive(left.redis) && !isRedisOf(left.redis.pid, dataDir)) {
      log.warn(
        { pid: left.redis.pid },
        'The lock of the data directory names a process that is no Redis of this user in this directory; it is left alone',
      );
    } else if (left?.redis && isAlive(left.redis)) {
      log.warn({ redisPid: left.redis.pid }, 'The private Redis of an earlier server cannot be reached; replacing it');
      await this.#end(adoptProcess(left.redis));
    }
    return undefined;
  }
}

/**
 * Which process serves `dataDir` at that socket; undefined if nobody listens, or it serves another directory. If it
 * listens and does not answer it is taken to be `expected`, as long as that lives; rejects if there is none such.
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
      // Somebody is there, and busy, or about to end. To start another on the directory now could destroy the data.
      if (Date.now() > deadline) {
        if (expected && isAlive(expected)) return expected;
        throw new Error(`A Redis listens at ${socketPath} and does not answer. End it, then start again.`, {
          cause: error,
        });
      }
      await sleep(50);
    }
  }
}

function describeExit({ code, signal }: RedisExit): string {
  return signal !== null ? `by ${signal}` : code !== null ? `with exit code ${code}` : 'in an unknown way';
}
