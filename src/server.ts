// Starts and stops a whole server on a given store: store, broker and HTTP application, in this order. The process (main.ts)
// and the tests start the same server.
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { StatsSample } from '../schemas/stats.ts';
import { AccessControl } from './access/access-control.ts';
import { AuditLog } from './access/audit-log.ts';
import { buildApp, type Limits } from './app.ts';
import { Broker, type BrokerOptions } from './broker/broker.ts';
import type { Config } from './config/config.ts';
import { hasCode } from './core/service-error.ts';
import type { LoadingProgress } from './store/redis/server-info.ts';
import type { StoreTarget } from './store/redis/target.ts';
import { Store } from './store/store.ts';
import { ServerTls } from './tls/server-tls.ts';
import { TicketKeys, type TicketSeed } from './tls/ticket-keys.ts';

export interface Server {
  app: FastifyInstance;
  broker: Broker;
  /** URL at which it listens, such as `http://127.0.0.1:7070`. */
  url: string;
  /** Reads the policy and the TLS files again and opens the audit log anew, as after SIGHUP. What cannot be used changes nothing; the log says why. */
  reload(): Promise<void>;
  /**
   * Deregisters the broker, ends its requests and stops (guarantee E5).
   * @param drain called after the broker has deregistered; the server serves further requests until its promise resolves
   */
  close(drain?: () => Promise<void>): Promise<void>;
}

/** What the broker of a worker needs to know beyond its configuration. */
export interface WorkerPlace extends Pick<BrokerOptions, 'metrics' | 'predecessor' | 'publishSample'> {
  /** Its number, from 1. */
  worker: number;
  /** The keys of TLS tickets that all workers share. */
  ticketSeed: TicketSeed;
  /** The URL at which the other workers listen. Then this one listens last, when it can serve. */
  url?: string;
  /** Called when it could bind the port; it does so, unless it listens last, when the promise resolves. */
  beforeListen(): Promise<void>;
  /** Called when it has bound the port, which may be before it can serve. */
  onListening(url: string): void;
  onRegistered(brokerId: number, session: string): void;
  /** Passes what the whole server has done to `take`, each second. */
  followServerStats(take: (samples: StatsSample[]) => void): void;
}

/** Options for a start before the store is available, and of workers. */
export interface StartOptions {
  /** Starts the store; called after the port is bound. */
  startStore?(): Promise<void>;
  /** Progress of a store that loads its data. */
  loading?(): LoadingProgress | undefined;
  /** Called several times a second until the server serves, with how far its store has loaded its data; undefined if it is not loading. */
  onLoading?(progress: LoadingProgress | undefined): void;
  /** Aborts the start, which then rejects. */
  signal?: AbortSignal;
  /** The place of this broker in a server with several. */
  place?: WorkerPlace;
}

/** Interval at which the progress of loading is told, ms. */
const loadingMs = 250;

/** Pause before a step is repeated that failed with STORE_UNAVAILABLE although the store replies, ms. */
const retryMs = 100;

/**
 * Starts a server. The port is bound first; requests that need the store are refused until it is available. A worker that joins
 * others which serve binds it last: until then those get all connections. The promise resolves when the server serves all requests.
 * @throws Error if the port cannot be bound, or the store cannot be opened within `config.storeWaitMs`
 */
export async function startServer(
  config: Config,
  target: StoreTarget,
  log: Logger,
  limits: Partial<Limits> = {},
  { startStore, loading, onLoading, signal, place }: StartOptions = {},
): Promise<Server> {
  const access = await loadAccess(config, log);
  const tls = await loadTls(config, log, place?.ticketSeed);
  const store = new Store({ ...config, target, ...(limits.stored && { storedLimits: limits.stored }) }, log);
  const sole = 'sole' in target && target.sole === true;
  const broker = new Broker(config, store, { sole, access, ...(loading && { loading }), ...brokerOptions(place) }, log);
  place?.followServerStats((samples) => broker.stats.take(samples));
  broker.registration.onRegistered(() => {
    const { brokerId, session } = broker.registration;
    if (session) place?.onRegistered(brokerId, session.id);
  });
  let app: FastifyInstance | undefined;
  // Deregister first, so that clients send no new work. Then end the requests. Then stop what the requests depend on.
  const close = async (drain?: () => Promise<void>) => {
    await broker.leave();
    await drain?.();
    broker.endWaits();
    await app?.close();
    await broker.stop();
    await store.close();
    access.close();
    tls?.close();
    await access.audit?.close();
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
  // Closing the store ends all waits for it.
  const closeStore = () => void store.close();
  signal?.addEventListener('abort', closeStore);
  const loadingTimer = setInterval(() => onLoading?.(loading?.() ?? store.connection.loading), loadingMs);
  try {
    const built = await buildApp(broker, limits, undefined, tls);
    app = built;
    const listen = async () => {
      const at = await built.listen({ host: config.host, port: config.port }).catch((error: unknown) => {
        throw listenProblem(error as NodeJS.ErrnoException, config);
      });
      place?.onListening(at);
      return at;
    };
    await place?.beforeListen();
    signal?.throwIfAborted();
    const url = place?.url ?? (await listen());
    await startStore?.();
    signal?.throwIfAborted();
    await store.open();
    await broker.start(attempt);
    await broker.register(config.advertisedUrl ?? reachableUrl(url), attempt);
    signal?.throwIfAborted();
    if (place?.url !== undefined) await listen();
    const reload = async () => {
      access.audit?.reopen();
      await Promise.all([access.reload(), tls?.reload()]);
    };
    return { app, broker, url, reload, close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    clearInterval(loadingTimer);
    signal?.removeEventListener('abort', closeStore);
  }
}

/** @throws PolicyError, or Error if the audit log cannot be opened */
async function loadAccess(config: Config, log: Logger): Promise<AccessControl> {
  const { accessFile, auditFile, auditWrites, workers } = config;
  if (accessFile === undefined) return AccessControl.open(log);
  const audit =
    auditFile === undefined ? undefined : await AuditLog.open({ file: auditFile, writes: auditWrites }, log);
  try {
    return await AccessControl.load(accessFile, log, workers, audit);
  } catch (error) {
    await audit?.close();
    throw error;
  }
}

/** @returns undefined without TLS @throws TlsError if the files cannot be used */
async function loadTls(
  { tlsCert, tlsKey, tlsClientCa }: Config,
  log: Logger,
  seed: TicketSeed | undefined,
): Promise<ServerTls | undefined> {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const files = { cert: tlsCert, key: tlsKey, clientCa: tlsClientCa };
  return ServerTls.load(files, log, Date.now, new TicketKeys(seed));
}

function brokerOptions({
  worker,
  metrics,
  predecessor,
  publishSample,
}: Partial<WorkerPlace> = {}): Partial<BrokerOptions> {
  return {
    ...(worker !== undefined && { worker }),
    ...(metrics && { metrics }),
    ...(publishSample && { publishSample }),
    ...(predecessor !== undefined && { predecessor }),
  };
}

/** The URL for clients. Clients cannot use an address that stands for all interfaces, so it is replaced by the host name. */
function reachableUrl(listening: string): string {
  const url = new URL(listening);
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = hostname();
  return url.origin;
}

/** The error for a failed listen, with the reason and the remedy. */
function listenProblem(error: NodeJS.ErrnoException, { host, port }: Config): Error {
  const texts: Record<string, string> = {
    EADDRINUSE: `Port ${port} of ${host} is in use by another program. Stop it, or choose another port with WEIR_PORT or --port.`,
    EACCES: `This user is not allowed to listen on port ${port}. Choose a port above 1023 with WEIR_PORT or --port.`,
    EADDRNOTAVAIL: `${host} is not an address of this machine. Choose another one with WEIR_HOST or --host, such as 0.0.0.0 for all.`,
    ENOTFOUND: `The host name ${host} cannot be resolved. Give an address of this machine with WEIR_HOST or --host.`,
  };
  const text = texts[error.code ?? ''];
  return text === undefined ? error : new Error(text, { cause: error });
}
