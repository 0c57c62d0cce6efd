#!/usr/bin/env -S node --enable-source-maps --initial-old-space-size=128
// The process: configuration, the private Redis if there is no other, the server, and signals.
import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import { type Logger, pino } from 'pino';
import { type Config, describeConfig, loadConfig, packageVersion, userRuntimeDir } from './config/config.ts';
import { claimEmbeddedRedis } from './embedded-redis/embedded-redis.ts';
import { binaryAge, type RedisBinary, resolveRedisBinary } from './embedded-redis/redis-binary.ts';
import { type Server, type StartOptions, startServer } from './server.ts';
import { type StoreTarget, sharedStore } from './store/redis/target.ts';

/** A stop takes at most so long (guarantee E5); what has not ended by then is cut off. */
const stopTimeoutMs = 9500;
/** What of it is for the drain delay; a longer one makes the stop so much longer. */
const drainDelayIncludedMs = 3000;

interface RunningStore {
  target: StoreTarget;
  /** What there is to start once the port is bound. */
  start: StartOptions;
  stop(): Promise<void>;
}

async function main(): Promise<void> {
  const invocation = loadConfig(process.env, process.argv.slice(2));
  if (invocation.kind !== 'run') {
    process.stdout.write(`${invocation.text}\n`);
    return;
  }
  // What this process and its children write is for this user alone.
  process.umask(0o077);
  const { config } = invocation;
  const log = pino({ level: config.logLevel });
  log.info({ version: packageVersion(), config: describeConfig(config) }, 'Weirkeeper starts');
  const store = await openStore(config, log);
  const start = new AbortController();
  const starting = startServer(config, store.target, log, undefined, { ...store.start, signal: start.signal });
  const delay = stopTimeoutMs + Math.max(0, config.drainDelayMs - drainDelayIncludedMs);
  let isServing = false;
  let failure: Error | undefined;
  const stopping = closeWithGrace({ delay, logger: false }, async ({ err, signal }) => {
    if (err) log.fatal({ err }, 'Weirkeeper stops, as something is broken in it');
    else if (!failure) log.info({ signal }, 'Weirkeeper stops');
    start.abort(new Error('The server was told to stop.'));
    // One that lets its Redis load, or installs it, need not wait for that.
    if (!isServing) await store.stop();
    const server = await starting.catch(() => undefined);
    // Nobody can take over from the only server of a private store, and who presses Ctrl-C does not want to wait.
    const drains = signal === 'SIGTERM' && config.redisUrl !== undefined;
    await server?.close(drains ? () => sleep(config.drainDelayMs) : undefined);
    await store.stop();
    log.info('Weirkeeper has stopped');
    // Whoever supervises this process is to see that it did not mean to: the exit code is 1.
    if (failure) throw failure;
  });
  let server: Server;
  try {
    server = await starting;
    isServing = true;
  } catch (error) {
    // It was told to stop, and does.
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
      `${reason.message} Weirkeeper stops: give this server another WEIR_BROKER_ID, or leave it stopped.`,
    );
  });
  // A newer version of the program has converted the stored data while this one was running.
  void server.broker.store.unsupportedLayout.then((reason) => stopFor(reason, `${reason.message} Weirkeeper stops.`));
}

/** The shared store that is configured, or else the private one, whose data directory this process has from now on. */
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
    // Whoever holds the lock of the data directory is the only server of this store.
    target: { socketPath: redis.socketPath, sole: true },
    start: { startStore: () => redis.start(), loading: () => redis.loading },
    stop: () => redis.stop(),
  };
}

async function findRedis(log: Logger): Promise<RedisBinary> {
  const binary = await resolveRedisBinary({ log });
  const { version, command, source } = binary;
  const where = source === 'path' ? 'found on the PATH' : 'installed by npm run redis:install, or by the first start';
  log.info({ version, command, source, ...binaryAge(command) }, `The private Redis is ${version}, ${where}`);
  return binary;
}

try {
  await main();
} catch (error) {
  // What hinders a start is for the operator to mend, and its own words say how; a stack trace would only hide them.
  process.stderr.write(`weir: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
