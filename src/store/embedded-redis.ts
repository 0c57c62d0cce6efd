/**
 * The private Redis of a single machine: a child process on a unix socket that keeps its data in the data directory,
 * is started, watched, restarted and stopped by the server, and is found again by the next server if this one is
 * killed. Owns the directory's lock and the socket's folder. Where the binary comes from is the business of
 * redis-binary.ts; what is stored, of everybody else.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
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
import { adoptProcess, type RedisExit, type RedisProcess, spawnRedis } from './redis-process.ts';
import { redisSettings } from './redis-settings.ts';

export interface EmbeddedRedisOptions {
  /** Where the data is; made if absent. One server at a time may use it. */
  dataDir: string;
  appendfsync: 'always' | 'everysec' | 'no';
  /** Default: half of what this machine, or this container, has. */
  maxmemoryBytes?: number;
  binary: Pick<RedisBinary, 'command' | 'env'>;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** A TCP port on the loopback as well. Default: none. */
  port?: number;
}

export interface EmbeddedRedis {
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
const answerTimeoutMs = 10_000;
const stopTimeoutMs = 10_000;
const restartDelayMsMax = 5000;
/** A Redis that ran for so long did not die of what it was started with. */
const stableRunMs = 30_000;

/**
 * Starts the private Redis, or takes over the one that a killed server left behind; gives it when it answers.
 * Rejects if a living server has the data directory, or if Redis cannot be started with what is in it.
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = realpathSync(options.dataDir);
  const socketPath = join(socketFolder(dataDir), 'redis.sock');
  const lock = await lockDataDir(dataDir, socketPath, options.log);
  const supervisor = new Supervisor({ ...options, dataDir }, socketPath, lock);
  try {
    await supervisor.start();
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
  return supervisor;
}

async function lockDataDir(
  dataDir: string,
  socketPath: string,
  log: EmbeddedRedisOptions['log'],
): Promise<ProcessLock<LockDetails>> {
  const file = join(dataDir, 'weir.lock');
  try {
    return await acquireProcessLock<LockDetails>(file, { socketPath, redis: null }, () =>
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

/**
 * The folder of the socket: short, as a socket's path has at most 107 bytes and the data directory's may be longer;
 * the same for each start, so that a Redis left behind is found even if its server had no time to write it down.
 */
function socketFolder(dataDir: string): string {
  const name = `weir-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`;
  const preferred = join(tmpdir(), name);
  return Buffer.byteLength(join(preferred, 'redis.sock')) <= 107 ? preferred : join('/tmp', name);
}

/** Makes the folder, or makes sure that nobody else can reach the socket in it: all may write in a temporary folder. */
function makePrivateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new Error(`${folder} must be a folder that only this user can enter. Remove it, or set another TMPDIR.`);
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
  #stopped: Promise<void> | undefined;
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

  onExit(listener: (exit: RedisExit) => void): void {
    this.#listeners.push(listener);
  }

  async start(): Promise<void> {
    makePrivateFolder(dirname(this.socketPath));
    const adopted = await this.#adoptLeftBehind();
    if (adopted) {
      this.#process = adopted;
      this.#lock.write({ socketPath: this.socketPath, redis: identifyProcess(adopted.pid) ?? null });
    } else {
      await this.#launch();
    }
    this.#watch(this.#process!, Date.now(), 0);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#restarting;
    if (this.#process) {
      // SIGTERM makes Redis write and sync the rest of its AOF before it ends, whatever appendfsync says.
      await this.#end(this.#process);
      rmSync(dirname(this.socketPath), { recursive: true, force: true });
    }
    // Last of all: whoever gets the lock may start a Redis on the directory.
    this.#lock.release();
  }

  /** Starts a child and waits until it serves. */
  async #launch(): Promise<void> {
    const { binary, log } = this.#options;
    const args = [...this.#settings].flatMap(([name, value]) => [`--${name}`, value]);
    const child = await spawnRedis(binary, args, log);
    this.#process = child;
    // Written down at once: if this server is killed now, the next one finds Redis even before it has its socket.
    this.#lock.write({ socketPath: this.socketPath, redis: identifyProcess(child.pid) ?? null });
    await this.#waitUntilReady(child);
    this.#version = await serverVersion(this.socketPath);
    log.info(
      { redisPid: child.pid, redisVersion: this.#version, dataDir: this.#options.dataDir },
      'The private Redis is ready',
    );
  }

  /** Polls until Redis answers PING; while it loads its data, for as long as that takes. */
  async #waitUntilReady(running: RedisProcess): Promise<void> {
    const startedAt = Date.now();
    let saidAt = startedAt;
    for (let delayMs = 2; ; delayMs = Math.min(delayMs * 2, 50)) {
      const exit = running.exited;
      if (exit) {
        const lastWords = exit.lastLines.join(' | ');
        throw new Error(`Redis ended before it was ready, ${describeExit(exit)}; its last words: ${lastWords}`);
      }
      this.#stopping.signal.throwIfAborted();
      try {
        await redisCommand(this.socketPath, ['PING']);
        return;
      } catch (error) {
        const now = Date.now();
        if (error instanceof RedisReplyError) {
          if (now - saidAt > 5000) {
            saidAt = now;
            this.#options.log.info({ redisPid: running.pid }, `Waiting for the private Redis: ${error.message}`);
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
  async #adoptLeftBehind(): Promise<RedisProcess | undefined> {
    const { log, dataDir } = this.#options;
    const left = this.#lock.previousDetails;
    for (const socketPath of new Set([left?.socketPath ?? this.socketPath, this.socketPath])) {
      const identity = await redisAt(socketPath, dataDir, left?.redis ?? undefined);
      if (!identity) continue;
      const running = adoptProcess(identity);
      try {
        if (socketPath !== this.socketPath) throw new Error(`it listens at ${socketPath}`);
        await this.#waitUntilReady(running);
        this.#version = await serverVersion(socketPath);
        for (const [name, value] of this.#settings) await bringInForce(socketPath, name, value);
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
    if (left?.redis && isAlive(left.redis)) {
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
async function redisAt(
  socketPath: string,
  dataDir: string,
  expected: ProcessIdentity | undefined,
): Promise<ProcessIdentity | undefined> {
  for (const deadline = Date.now() + answerTimeoutMs; ; ) {
    try {
      const directory = await readSetting(socketPath, 'dir');
      if (directory !== dataDir) return undefined;
      const pid = /^process_id:(\d+)/m.exec(await serverInfo(socketPath))?.[1];
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

/** Changes a setting of a running Redis unless it has that value. Rejects if it cannot be changed while it runs. */
async function bringInForce(socketPath: string, name: string, value: string): Promise<void> {
  if ((await readSetting(socketPath, name)) !== value) await redisCommand(socketPath, ['CONFIG', 'SET', name, value]);
}

async function readSetting(socketPath: string, name: string): Promise<string | undefined> {
  const reply = await redisCommand(socketPath, ['CONFIG', 'GET', name]);
  return Array.isArray(reply) && typeof reply[1] === 'string' ? reply[1] : undefined;
}

async function serverVersion(socketPath: string): Promise<string> {
  const info = await serverInfo(socketPath);
  // Valkey also names the Redis version that it is compatible with, first.
  return (/^valkey_version:(\S+)/m.exec(info) ?? /^redis_version:(\S+)/m.exec(info))?.[1] ?? 'unknown';
}

async function serverInfo(socketPath: string): Promise<string> {
  return String(await redisCommand(socketPath, ['INFO', 'server']));
}

function describeExit({ code, signal }: RedisExit): string {
  return signal !== null ? `by ${signal}` : code !== null ? `with exit code ${code}` : 'in an unknown way';
}
