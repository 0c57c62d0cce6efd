// A hub of watches over a real store, without a server around it, and watches that keep what they are told.
import { pino } from 'pino';
import type { Test } from 'tap';
import { EventTail } from '../../src/live/event-tail.ts';
import { createMetrics } from '../../src/live/metrics.ts';
import type { Watch, WatchRequest } from '../../src/live/running-watch.ts';
import { WatchHub } from '../../src/live/watch-hub.ts';
import type { Op } from '../../src/store/namespace.ts';
import { Store } from '../../src/store/store.ts';
import type { StoreTarget } from '../../src/store/target.ts';
import { startTestRedis } from './redis.ts';
import { eventually, testConfig } from './server.ts';

const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });

export interface WatchBroker {
  store: Store;
  hub: WatchHub;
  tail: EventTail;
  target: StoreTarget;
  write(...ops: Op[]): Promise<number>;
}

/** As much of a broker as watches need, over a Redis of its own or over one that others use, too. */
export async function startBroker(
  t: Test,
  options: { target?: StoreTarget; eventRetention?: number } = {},
): Promise<WatchBroker> {
  const target = options.target ?? { socketPath: (await startTestRedis(t)).socketPath };
  const store = new Store({ ...testConfig, eventRetention: options.eventRetention ?? 100_000, target }, log);
  await store.open();
  const tail = new EventTail(store.events, log);
  const stopping = new AbortController();
  const hub = new WatchHub(store.events, tail, createMetrics(), stopping.signal, log);
  await tail.start();
  t.teardown(async () => {
    stopping.abort();
    await tail.stop();
    await store.close();
  });
  const write = async (...ops: Op[]) => (await store.namespace.write(ops, { privileged: true })).zxid;
  return { store, hub, tail, target, write };
}

export interface Recorded {
  watch: Watch;
  watching: number | undefined;
  told: { zxid: number; events: any[] }[];
  failure: any;
}

/** A watch that keeps what it is told; `room` as a slow reader would have it. */
export function record(hub: WatchHub, request: WatchRequest, room?: () => Promise<void> | undefined): Recorded {
  const recorded: Omit<Recorded, 'watch'> = { watching: undefined, told: [], failure: undefined };
  const watch = hub.watch(request, {
    watching: (zxid) => {
      recorded.watching = zxid;
    },
    events: (zxid, events) => recorded.told.push({ zxid, events: JSON.parse(events) }),
    failed: (error) => {
      recorded.failure = error;
    },
    room: room ?? (() => undefined),
  });
  return Object.assign(recorded, { watch });
}

export const begun = (...watches: Recorded[]) =>
  eventually(() => watches.every(({ watching }) => watching !== undefined), 'the watches stand');
/** Waits until all that was written up to `zxid` has been told. */
export const reached = (zxid: number, ...watches: Recorded[]) =>
  eventually(() => watches.every(({ watch }) => (watch.position ?? -1) >= zxid), `everything up to ${zxid} is told`);
export const words = ({ told }: Recorded) =>
  told.map(({ events }) => events.map(({ type, path }) => `${type} ${path}`).join(', '));
export const create = (path: string, data = ''): Op => ({ op: 'create', path, data });
export const set = (path: string, data = ''): Op => ({ op: 'set', path, data });
export const remove = (path: string): Op => ({ op: 'delete', path });
