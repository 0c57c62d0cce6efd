// A whole server over a given store: store, broker, HTTP. The process (main.ts) and the tests start the same one.
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp, type Limits } from './app.ts';
import { Broker } from './broker/broker.ts';
import type { Config } from './config/config.ts';
import { hasCode } from './core/service-error.ts';
import type { LoadingProgress } from './store/redis/server-info.ts';
import type { StoreTarget } from './store/redis/target.ts';
import { Store } from './store/store.ts';

export interface Server {
  app: FastifyInstance;
  broker: Broker;
  /** Where it listens, such as `http://127.0.0.1:7070`. */
  url: string;
  /**
   * Takes no more work, ends what it has, and stops (guarantee E5).
   * @param drained when it may do so: until then it is not ready any more, but serves whoever has not noticed
   */
  close(drained?: () => Promise<void>): Promise<void>;
}

/** What a start needs that begins before its store is there. */
export interface StartOptions {
  /** Starts the store, once the port is bound. */
  startStore?(): Promise<void>;
  /** How far that has come. */
  loading?(): LoadingProgress | undefined;
  /** Calls the start off; it then rejects. */
  signal?: AbortSignal;
}

/** How soon a step is tried again that failed though the store seems to be there. */
const retryMs = 100;

/**
 * Starts a server; when this returns it serves. It listens from the beginning, and refuses what needs the store until that is
 * there. @throws if the port is taken, or the store cannot be opened in time
 */
export async function startServer(
  config: Config,
  target: StoreTarget,
  log: Logger,
  limits: Partial<Limits> = {},
  { startStore, loading, signal }: StartOptions = {},
): Promise<Server> {
  const store = new Store({ ...config, target, ...(limits.stored && { storedLimits: limits.stored }) }, log);
  const sole = 'sole' in target && target.sole === true;
  const broker = new Broker(config, store, { sole, ...(loading && { loading }) }, log);
  let app: FastifyInstance | undefined;
  // Deregister first, so that no new work is sent here; then let requests end; then stop what they stood on.
  const close = async (drained?: () => Promise<void>) => {
    await broker.leave();
    await drained?.();
    broker.endWaits();
    await app?.close();
    await broker.stop();
    await store.close();
  };
  const attempt = async (step: () => Promise<void>) => {
    for (const deadline = performance.now() + config.storeWaitMs; ; await sleep(retryMs)) {
      try {
        return await step();
      } catch (error) {
        signal?.throwIfAborted();
        if (!hasCode(error, 'STORE_UNAVAILABLE') || performance.now() > deadline) throw error;
        await store.ready();
      }
    }
  };
  // Waits for the store end with its connection.
  const callOff = () => void store.close();
  signal?.addEventListener('abort', callOff);
  try {
    app = await buildApp(broker, limits);
    const url = await app.listen({ host: config.host, port: config.port }).catch((error: unknown) => {
      throw listenProblem(error as NodeJS.ErrnoException, config);
    });
    await startStore?.();
    signal?.throwIfAborted();
    await store.open();
    await broker.start(attempt);
    await broker.register(config.advertisedUrl ?? reachableUrl(url), attempt);
    signal?.throwIfAborted();
    return { app, broker, url, close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    signal?.removeEventListener('abort', callOff);
  }
}

/** An address that stands for every interface is none that a client could use: the host's name is a better guess. */
function reachableUrl(listening: string): string {
  const url = new URL(listening);
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = hostname();
  return url.origin;
}

/** Why the server cannot listen, and what to do about it. */
function listenProblem(error: NodeJS.ErrnoException, { host, port }: Config): Error {
  const texts: Record<string, string> = {
    EADDRINUSE: `Port ${port} of ${host} is in use by another program: stop that, or choose another port with WEIR_PORT or --port.`,
    EACCES: `This user may not listen on port ${port}: choose one above 1023 with WEIR_PORT or --port.`,
    EADDRNOTAVAIL: `${host} is no address of this machine: choose another one with WEIR_HOST or --host, such as 0.0.0.0 for all.`,
    ENOTFOUND: `The name ${host} is not known here: give an address of this machine with WEIR_HOST or --host.`,
  };
  const text = texts[error.code ?? ''];
  return text === undefined ? error : new Error(text, { cause: error });
}
