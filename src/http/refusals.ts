// Refusals beyond a limit: an error that names the limit and the client, a counter by kind and reason, and a rate-limited log line.
import type { Logger } from 'pino';
import type { Metrics } from '../broker/metrics.ts';
import { ServiceError } from '../core/service-error.ts';
import type { SharedLimit } from '../core/shared-limit.ts';

/** Least interval of log lines about refusals, ms. */
const logEveryMs = 10_000;

const kindTexts = {
  requests: 'requests under way',
  reserved: 'renewals, heartbeats and commits under way',
  waits: 'long polls and event streams',
  uploads: 'streams of records under way',
  sockets: 'WebSockets',
  watches: 'watches on sockets',
  bodies: 'bytes of bodies in memory',
  responses: 'bytes of responses that were not read yet',
  readers: 'bytes that sockets and event streams have not read yet',
  connections: 'connections',
};

/** `total`: the limit is reached. `address`: the client has its share. `time`: no place became free in time. */
export type RefusalReason = 'total' | 'address' | 'time';

/** @param state what there is: a limit, or in words */
export type Refuse = (
  kind: keyof typeof kindTexts,
  reason: RefusalReason,
  client: string,
  state: SharedLimit | string,
) => ServiceError;

export function createRefusal(metrics: Metrics, log: Logger): Refuse {
  const refused = metrics.counter(
    'requests_refused_total',
    'Requests refused as there was too much, by what there was too much of, and why.',
    ['kind', 'reason'],
  );
  const warn = atIntervals((kind: string, reason: string, client: string, since: number) =>
    log.warn(
      { kind, reason, client, refused: since },
      'Requests refused: a limit is reached. See "Limits and defaults" in operations.md',
    ),
  );
  return (kind, reason, client, state) => {
    refused.inc({ kind, reason });
    warn(kind, reason, client);
    return new ServiceError('TOO_MANY_REQUESTS', detailOf(kindTexts[kind], reason, client, state));
  };
}

function detailOf(what: string, reason: RefusalReason, client: string, state: SharedLimit | string): string {
  if (typeof state === 'string') {
    return `There are too many ${what}: ${state}; nothing was done. Try again soon.`;
  }
  if (reason !== 'address') {
    return `There are too many ${what}: ${state.used} of at most ${state.max}; nothing was done. Try again soon.`;
  }
  return (
    `There are too many ${what} of ${client}: it has ${state.heldBy(client)}, and of at most ${state.max} there are ${state.free} ` +
    'left for all; nothing was done. One address has its share of what is left (WEIR_ADDRESS_SHARE); a proxy has to be named in WEIR_TRUST_PROXY.'
  );
}

/** Calls `write` at most once an interval, with the latest arguments and the number of calls since. */
export function atIntervals<T extends unknown[]>(write: (...what: [...T, number]) => void): (...what: T) => void {
  let since = 0;
  let writtenAt = Number.NEGATIVE_INFINITY;
  return (...what) => {
    since += 1;
    const now = performance.now();
    if (now - writtenAt < logEveryMs) return;
    write(...what, since);
    writtenAt = now;
    since = 0;
  };
}
