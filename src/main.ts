#!/usr/bin/env -S node --enable-source-maps --initial-old-space-size=128
// The process: configuration, the private Redis if there is no other, the server, and signals.
import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import { type Logger, pino } from 'pino';
import { type Config, describeConfig, loadConfig, packageVersion } from './config.ts';
import { startServer } from './server.ts';
import { startEmbeddedRedis } from './store/embedded-redis.ts';
import { resolveRedisBinary } from './store/redis-binary.ts';
import { type StoreTarget, sharedStore } from './store/target.ts';

/** A stop takes at most so long (guarantee E5); what has not ended by then is cut off. */
const stopWithinMs = 9500;
/** What of it is for the drain delay; a longer one makes the stop so much longer. */
const drainDelayIncludedMs = 3000;

interface RunningStore {
  target: StoreTarget;
  stop(): Promise<void>;
}

async function main(): Promise<void> {
  const invocation = loadConfig(process.env, process.argv.slice(2));
  if (invocation.kind !== 'run') {
    process.stdout.write(`${invocation.text}\n`);
    return;
  }
  const { config } = invocation;
  const log = pino({ level: config.logLevel });
  log.info({ version: packageVersion(), config: describeConfig(config) }, 'Weirkeeper starts');
  const store = await openStore(config, log);
  const server = await startServer(config, store.target, log).catch(async (error: unknown) => {
    await store.stop();
    throw error;
  });
  log.info({ url: server.url, docs: `${server.url}/docs` }, 'Weirkeeper serves');
  const delay = stopWithinMs + Math.max(0, config.drainDelayMs - drainDelayIncludedMs);
  let failure: Error | undefined;
  const stopping = closeWithGrace({ delay, logger: false }, async ({ err, signal }) => {
    if (err) log.fatal({ err }, 'Weirkeeper stops, as something is broken in it');
    else if (!failure) log.info({ signal }, 'Weirkeeper stops');
    // Nobody can take over from the only server of a private store, and who presses Ctrl-C does not want to wait.
    const drains = signal === 'SIGTERM' && config.redisUrl !== undefined;
    await server.close(drains ? () => sleep(config.drainDelayMs) : undefined);
    await store.stop();
    log.info('Weirkeeper has stopped');
    // Whoever supervises this process is to see that it did not mean to: the exit code is 1.
    if (failure) throw failure;
  });
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
  void server.broker.store.outdated.then((reason) => stopFor(reason, `${reason.message} Weirkeeper stops.`));
}

/** The shared store that is configured, or else the private one. */
async function openStore(config: Config, log: Logger): Promise<RunningStore> {
  if (config.redisUrl !== undefined) return { target: sharedStore(config, config.redisUrl), stop: async () => {} };
  const redis = await startEmbeddedRedis({
    dataDir: config.dataDir,
    appendfsync: config.appendfsync,
    ...(config.redisMaxmemoryBytes !== undefined && { maxmemoryBytes: config.redisMaxmemoryBytes }),
    binary: await resolveRedisBinary({ log }),
    log,
  });
  // Whoever holds the lock of the data directory is the only server of this store.
  return { target: { socketPath: redis.socketPath, sole: true }, stop: () => redis.stop() };
}

try {
  await main();
} catch (error) {
  // What hinders a start is for the operator to mend, and its own words say how; a stack trace would only hide them.
  process.stderr.write(`weir: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
