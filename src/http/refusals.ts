// Refusals beyond a limit: an error that names the limit and the client, a counter by kind and reason, and a rate-limited log line.
import type { Logger } from 'pino';
import type { Metrics } from '../broker/metrics.ts';
import { ServiceError } from '../core/service-error.ts';
import type { SharedLimit } from '../core/shared-limit.ts';

/** Least interval of log lines about refusals, ms. */
const logEveryMs = 10_000;

const kindTexts = {
  requests: 'requests in flight',
  reserved: 'renewals, heartbeats and commits in flight',
  waits: 'long polls and event streams',
  uploads: 'streams of records in flight',
  searches: 'searches of records in flight',
  exports: 'exports of nodes in flight',
  imports: 'imports of nodes in flight',
  largeReads: 'reads of large nodes',
  sockets: 'WebSockets',
  watches: 'watches on sockets',
  bodies: 'bytes of bodies in memory',
  largeBodies: 'large bodies',
  responses: 'bytes of responses that clients have not read yet',
  readers: 'bytes that clients of sockets and event streams have not read yet',
  connections: 'connections',
};

/** `total`: the limit is reached. `address`: the client has its share. `time`: no permit became free in time. */
type RefusalReason = 'total' | 'address' | 'time';

/**
 * Counts and logs a refusal, and makes its error.
 * @param state the limit that is reached, or a text that describes it
 * @returns ServiceError TOO_MANY_REQUESTS, to be thrown or sent
 */
export type Refuse = (
  kind: keyof typeof kindTexts,
  reason: RefusalReason,
  client: string,
  state: SharedLimit | string,
) => ServiceError;

export function createRefusal(metrics: Metrics, log: Logger): Refuse {
  const refused = metrics.counter(
    'requests_refused_total',
    'Requests refused because a limit was reached, by limit and reason.',
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
    `There are too many ${what} of ${client}: it has ${state.heldBy(client)}, and ${state.free} of at most ${state.max} are free ` +
    'for all clients; nothing was done. One address may use a share of what is free (WEIR_ADDRESS_SHARE); name a proxy in WEIR_TRUST_PROXY.'
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
