// A watch hub over a real store, without a server, and watches that store their messages.
import { pino } from 'pino';
import type { Test } from 'tap';
import { createMetrics, type Metrics } from '../../src/broker/metrics.ts';
import { EventTail } from '../../src/broker/watches/event-tail.ts';
import { WatchHub } from '../../src/broker/watches/watch-hub.ts';
import { defaultWatchLimits, type WatchLimits } from '../../src/broker/watches/watch-limits.ts';
import type { MatchedEvents } from '../../src/broker/watches/watch-match.ts';
import type { WatchConnection, WatchHandle, WatchRequest } from '../../src/broker/watches/watcher.ts';
import type { StoreTarget } from '../../src/store/redis/target.ts';
import { Store } from '../../src/store/store.ts';
import type { Op } from '../../src/store/tree/namespace.ts';
import { startTestRedis } from './redis.ts';
import { eventually, testConfig } from './server.ts';

const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });

export interface WatchBroker {
  store: Store;
  hub: WatchHub;
  tail: EventTail;
  target: StoreTarget;
  metrics: Metrics;
  write(...ops: Op[]): Promise<number>;
}

/** The parts of a broker that watches need, over a new Redis or a shared one. */
export async function startBroker(
  t: Test,
  options: { target?: StoreTarget; eventRetention?: number; limits?: Partial<WatchLimits> } = {},
): Promise<WatchBroker> {
  const target = options.target ?? { socketPath: (await startTestRedis(t)).socketPath };
  const store = new Store({ ...testConfig, eventRetention: options.eventRetention ?? 100_000, target }, log);
  await store.open();
  const tail = new EventTail(store.events, log);
  const stopping = new AbortController();
  const metrics = createMetrics();
  const limits = { ...defaultWatchLimits, ...options.limits };
  const hub = new WatchHub(store.events, tail, metrics, stopping.signal, log, limits);
  await tail.start();
  t.teardown(async () => {
    stopping.abort();
    await tail.stop();
    await store.close();
  });
  const write = async (...ops: Op[]) => (await store.namespace.write(ops, { privileged: true })).zxid;
  return { store, hub, tail, target, write, metrics };
}

export interface Recorded {
  watch: WatchHandle;
  watching: number | undefined;
  received: { zxid: number; events: any[] }[];
  failure: any;
}

/** A reader that takes everything; `room` makes it a slow one. */
export const readerWith = (room: () => Promise<void> | undefined = () => undefined): WatchConnection => ({
  room,
  cutOff: () => {},
  cork: (write) => write(),
});

/** A watch that stores its messages, on a new connection unless `reader` is shared. */
export function record(hub: WatchHub, request: WatchRequest, reader: WatchConnection = readerWith()): Recorded {
  const recorded: Omit<Recorded, 'watch'> = { watching: undefined, received: [], failure: undefined };
  const sink = {
    watching: (zxid: number) => {
      recorded.watching = zxid;
    },
    events: (matched: MatchedEvents) =>
      recorded.received.push({ zxid: matched.zxid, events: JSON.parse(matched.json()) }),
    failed: (error: unknown) => {
      recorded.failure = error;
    },
  };
  const watch = hub.watch(request, sink, reader);
  return Object.assign(recorded, { watch });
}

export const begun = (...watches: Recorded[]) =>
  eventually(() => watches.every(({ watching }) => watching !== undefined), 'the watches are open');
/** Waits until the watches have sent everything up to `zxid`. */
export const reached = (zxid: number, ...watches: Recorded[]) =>
  eventually(() => watches.every(({ watch }) => (watch.position ?? -1) >= zxid), `everything up to ${zxid} was sent`);
export const words = ({ received }: Recorded) =>
  received.map(({ events }) => events.map(({ type, path }) => `${type} ${path}`).join(', '));
export const create = (path: string, data = ''): Op => ({ op: 'create', path, data });
export const set = (path: string, data = ''): Op => ({ op: 'set', path, data });
export const remove = (path: string): Op => ({ op: 'delete', path });
