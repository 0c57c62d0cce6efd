// A whole server over a given store: store, broker, HTTP. The process (main.ts) and the tests start the same one.
import { hostname } from 'node:os';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp, type Limits } from './app.ts';
import type { Config } from './config.ts';
import { Broker } from './live/broker.ts';
import { Store } from './store/store.ts';
import type { StoreTarget } from './store/target.ts';

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

/** Starts a server; when this returns it serves. @throws if the store cannot be opened or the port is taken */
export async function startServer(
  config: Config,
  target: StoreTarget,
  log: Logger,
  limits: Partial<Limits> = {},
): Promise<Server> {
  const store = new Store({ ...config, target, ...(limits.stored && { stored: limits.stored }) }, log);
  let broker: Broker | undefined;
  let app: FastifyInstance | undefined;
  // Deregister first, so that no new work is sent here; then let requests end; then stop what they stood on.
  const close = async (drained?: () => Promise<void>) => {
    await broker?.leave();
    await drained?.();
    broker?.endWaits();
    await app?.close();
    await broker?.stop();
    await store.close();
  };
  try {
    await store.open();
    const sole = 'sole' in target && target.sole === true;
    broker = new Broker(config, store, { sole }, log);
    await broker.start();
    app = await buildApp(broker, limits);
    const url = await app.listen({ host: config.host, port: config.port });
    await broker.register(config.advertisedUrl ?? reachableUrl(url));
    return { app, broker, url, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** An address that stands for every interface is none that a client could use: the host's name is a better guess. */
function reachableUrl(listening: string): string {
  const url = new URL(listening);
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = hostname();
  return url.origin;
}
