#!/usr/bin/env -S node --initial-old-space-size=128
// The server process: reads the configuration, starts the private Redis if no shared one is configured, starts the server and
// handles signals. It exits with 0 after SIGTERM or SIGINT, and with 1 after a failure.
import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import { type Logger, pino } from 'pino';
import { newToken } from './access/tokens.ts';
import { type Config, describeConfig, loadConfig, packageVersion, userRuntimeDir } from './config/config.ts';
import { claimEmbeddedRedis } from './embedded-redis/embedded-redis.ts';
import { binaryAge, type RedisBinary, resolveRedisBinary } from './embedded-redis/redis-binary.ts';
import { type Server, type StartOptions, startServer } from './server.ts';
import { errorForLog } from './stack-traces.ts';
import { type StoreTarget, sharedStore } from './store/redis/target.ts';

/** The longest time that a stop takes (guarantee E5), ms. Work that has not ended by then is aborted. */
const stopTimeoutMs = 9500;
/** The part of it that is reserved for WEIR_DRAIN_DELAY, ms. A longer delay extends the stop by the difference. */
const drainDelayIncludedMs = 3000;

interface RunningStore {
  target: StoreTarget;
  /** How to start the store after the port is bound. */
  start: StartOptions;
  stop(): Promise<void>;
}

async function main(): Promise<void> {
  const invocation = loadConfig(process.env, process.argv.slice(2));
  if (invocation.kind === 'token') {
    const { token, id, sha256 } = newToken(invocation.id);
    process.stdout.write(
      `${token}\n\nIt is not stored and cannot be shown again. The policy has its hash, below the tokens of an identity:\n\n  - { id: ${id}, sha256: "${sha256}" }\n`,
    );
    return;
  }
  if (invocation.kind !== 'run') {
    process.stdout.write(`${invocation.text}\n`);
    return;
  }
  // Files of this process and its children are readable by this user only.
  process.umask(0o077);
  const { config } = invocation;
  const log = pino({ level: config.logLevel, serializers: { err: errorForLog } });
  log.info({ version: packageVersion(), config: describeConfig(config) }, 'Weirkeeper is starting');
  const store = await openStore(config, log);
  const start = new AbortController();
  const starting = startServer(config, store.target, log, undefined, { ...store.start, signal: start.signal });
  const delay = stopTimeoutMs + Math.max(0, config.drainDelayMs - drainDelayIncludedMs);
  let isServing = false;
  let failure: Error | undefined;
  const stopping = closeWithGrace({ delay, logger: false }, async ({ err, signal }) => {
    if (err) log.fatal({ err }, 'Weirkeeper is stopping after an unexpected error');
    else if (!failure) log.info({ signal }, 'Weirkeeper is stopping');
    start.abort(new Error('The server was told to stop.'));
    // Do not wait for a start that still installs or loads the private Redis: stop it.
    if (!isServing) await store.stop();
    const server = await starting.catch(() => undefined);
    // With a private store no other broker can take over, so draining is useless. After Ctrl-C the user does not want to wait.
    const drains = signal === 'SIGTERM' && config.redisUrl !== undefined;
    await server?.close(drains ? () => sleep(config.drainDelayMs) : undefined);
    await store.stop();
    log.info('Weirkeeper has stopped');
    // Exit code 1 shows a supervisor that the stop was a failure.
    if (failure) throw failure;
  });
  let server: Server;
  try {
    server = await starting;
    isServing = true;
  } catch (error) {
    // A signal interrupted the start; the stop is already in progress.
    if (start.signal.aborted) return;
    stopping.uninstall();
    await store.stop();
    throw error;
  }
  log.info({ url: server.url, docs: `${server.url}/docs` }, 'Weirkeeper serves');
  const stopFor = (reason: Error, text: string) => {
    failure ??= reason;
    log.fatal(text);
    stopping.close();
  };
  void server.broker.registration.displaced.then((reason) => {
    stopFor(
      reason,
      `${reason.message} Weirkeeper is stopping. Give this server another WEIR_BROKER_ID, or leave it stopped.`,
    );
  });
  // A newer version of the program has migrated the stored data while this one was running.
  void server.broker.store.unsupportedLayout.then((reason) =>
    stopFor(reason, `${reason.message} Weirkeeper is stopping.`),
  );
}

/** The configured shared store; without one the private store, after locking its data directory. */
async function openStore(config: Config, log: Logger): Promise<RunningStore> {
  if (config.redisUrl !== undefined) {
    return { target: sharedStore(config, config.redisUrl), start: {}, stop: async () => {} };
  }
  const runtimeDir = userRuntimeDir();
  const redis = await claimEmbeddedRedis({
    dataDir: config.dataDir,
    appendfsync: config.appendfsync,
    ...(config.redisMaxmemoryBytes !== undefined && { maxmemoryBytes: config.redisMaxmemoryBytes }),
    ...(runtimeDir !== undefined && { runtimeDir }),
    binary: () => findRedis(log),
    log,
  });
  return {
    // The lock of the data directory guarantees that no other server uses this store.
    target: { socketPath: redis.socketPath, sole: true },
    start: { startStore: () => redis.start(), loading: () => redis.loading },
    stop: () => redis.stop(),
  };
}

async function findRedis(log: Logger): Promise<RedisBinary> {
  const binary = await resolveRedisBinary({ log });
  const { version, command, source } = binary;
  const where = source === 'path' ? 'found on the PATH' : 'installed in the folder .redis';
  log.info(
    { version, command, source, ...binaryAge(command) },
    `Using Redis ${version} as the private Redis, ${where}`,
  );
  return binary;
}

try {
  await main();
} catch (error) {
  // Errors of a start are for the operator, and their message has the remedy. A stack trace would hide it.
  process.stderr.write(`weir: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
