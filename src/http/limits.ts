/**
 * The limits and time-outs of the HTTP edge, each with its reason. docs/operations.md ("Limits and defaults") lists them for
 * operators. Limits on the content of requests (records, nodes, offsets) are in schemas/; configurable ones are in config/options.ts.
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * The limits on the load of one broker. A request beyond a limit is refused at once with 429, instead of being served late or
 * never. Resources that are held for long (long polls, uploads, sockets, watches, connections) are shared between clients by
 * core/shared-limit.ts; permits for requests by http/wait-queue.ts.
 */
export interface AdmissionLimits {
  /**
   * The total weight of requests in progress: 1 for a usual request, more for a large one (http/request-weight.ts). Waiting requests
   * do not count. A broker reaches its full throughput with about 100 requests. 1000 usual ones take half a second, well below the
   * 1.4 s timeout of a command to the store. Without this limit, thousands of clients would make every command time out.
   */
  requestsMax: number;
  /**
   * The number of requests that wait for a permit, with their bodies in memory, usually some KiB each. It is large enough for all
   * connections of a busy service to send a request at the same moment. `requestWaitMsMax` is the longest wait, ms; after that a
   * request is refused, and the client should retry.
   */
  requestsWaitingMax: number;
  requestWaitMsMax: number;
  /**
   * The reserved capacity: the number of renewals, heartbeats and small commits in progress besides `requestsMax`. Each is one short
   * script; this many take about 20 ms.
   */
  reservedMax: number;
  /**
   * Requests in the reserved capacity whose session handle or member is not known to be valid: the number that one address may send
   * at once, and per second after that. When a broker dies, all clients behind one address may come to another broker at once. The
   * limit need not prevent guessing: a handle has 128 random bits.
   */
  unknownHandlesMax: number;
  unknownHandlesPerSecond: number;
  /** Long polls and event streams: about 10 KiB of memory each, and little work between changes. */
  waitsMax: number;
  /**
   * NDJSON bodies being received: up to 512 KiB of memory each, unless a line has more than 128 KiB. A line may have up to 64 KiB more
   * than max.message.bytes of its topic; until it is read, it counts in `bodiesBytesMax`.
   */
  uploadsMax: number;
  /** Open WebSockets. */
  socketsMax: number;
  /** Watches on all sockets together: about 1 KiB of memory each. */
  watchesMax: number;
  /** Bytes of request bodies in memory. Several bodies of WEIR_MAX_BODY_BYTES must fit: see bodiesBytesMax(). */
  bodiesBytesMax: number;
  /** Bytes of the bodies of renewals, heartbeats and commits in memory. */
  reservedBodiesBytesMax: number;
  /** Bytes of responses that clients have not read yet: 16 of the largest responses, or tens of thousands of usual ones. */
  responsesBytesMax: number;
  /** Unread bytes of all sockets and event streams together; up to 8 MiB may wait for one reader. */
  readersBytesMax: number;
  /** Bytes of large nodes that are read and sent at once: four of the largest usual ones, as more at once would not be faster. */
  largeReadBytesMax: number;
  /** Reads of large nodes that wait for their turn, about 10 KiB of memory each; and the longest wait, ms, at which clients give up, too. */
  largeReadsWaitingMax: number;
  largeReadWaitMsMax: number;
}

export const defaultAdmissionLimits: AdmissionLimits = {
  requestsMax: 1000,
  requestsWaitingMax: 10_000,
  requestWaitMsMax: 2000,
  reservedMax: 256,
  unknownHandlesMax: 1000,
  unknownHandlesPerSecond: 20,
  waitsMax: 10_000,
  uploadsMax: 256,
  socketsMax: 10_000,
  watchesMax: 500_000,
  bodiesBytesMax: 64 * MiB,
  reservedBodiesBytesMax: 16 * MiB,
  responsesBytesMax: 256 * MiB,
  readersBytesMax: 256 * MiB,
  largeReadBytesMax: 4 * MiB,
  largeReadsWaitingMax: 4000,
  largeReadWaitMsMax: 30_000,
};

/** The time limits for clients, ms. */
export interface HttpTimeouts {
  /** To receive the head of a request, from its first byte, or from the opening of the connection. */
  headMs: number;
  /** Between two bytes of a request body. */
  bodyIdleMs: number;
  /**
   * A request body must arrive within this time, or else at this average rate, bytes per second, as with Apache's mod_reqtimeout.
   * For a streamed body, only the pauses are limited.
   */
  bodyGraceMs: number;
  bodyBytesPerSecondMin: number;
  /** To receive a whole body, unless it is streamed: 16 MiB at about 0.5 Mbit/s. */
  bodyMs: number;
  /**
   * The longest time in which a client reads no byte of a response, as with nginx's send_timeout. The kernel buffers some MiB and
   * accepts more in large steps, so with a slow modem the process may see no progress for half a minute.
   */
  responseIdleMs: number;
  /** A response must be read within this time, or else at this average rate, bytes per second; the same as for bodies. */
  responseGraceMs: number;
  responseBytesPerSecondMin: number;
  /** Between two bytes of a streamed body: as long as a long poll may last, as the client may have no records for a while. */
  streamIdleMs: number;
  /**
   * Between two requests on a connection. It is longer than the 60 s of common load balancers (nginx, HAProxy, the clouds), so that
   * they close first. Otherwise a request could be lost when this server closes the connection at the same moment.
   */
  keepAliveMs: number;
  /** The interval at which these limits are checked. */
  checkIntervalMs: number;
}

export const defaultHttpTimeouts: HttpTimeouts = {
  headMs: 20_000,
  bodyIdleMs: 30_000,
  bodyGraceMs: 20_000,
  bodyBytesPerSecondMin: 500,
  bodyMs: 300_000,
  streamIdleMs: 300_000,
  responseIdleMs: 60_000,
  responseGraceMs: 20_000,
  responseBytesPerSecondMin: 500,
  keepAliveMs: 75_000,
  checkIntervalMs: 2500,
};

/** Limits for unusual uses of connections. */
export interface ConnectionLimits {
  /** Pipelined requests on one connection that wait for earlier ones; few clients send more than one at a time. */
  pipelinedMax: number;
  /**
   * Connections accepted beyond the configured maximum, to refuse their requests with an error and to serve health checks: in all, and
   * from one address that has used up its share.
   */
  spare: { total: number; ofClient: number };
  /** The rest of a body is read and discarded after an early response: for how long, ms; how many bytes; on how many connections. */
  lingering: { ms: number; bytes: number; connections: number };
  /** NDJSON results that are held back until the request body has been read: bytes of one stream, and of all. */
  heldResults: { streamBytesMax: number; bytesMax: number };
}

export const defaultConnectionLimits: ConnectionLimits = {
  pipelinedMax: 100,
  spare: { total: 100, ofClient: 10 },
  // Within a data centre, a body of twice WEIR_MAX_BODY_BYTES fits into these limits, so its client can read why it was refused.
  lingering: { ms: 2000, bytes: 32 * MiB, connections: 500 },
  // A result has about 100 bytes per partition for up to 256 KiB of records: enough for tens of GiB sent to one partition.
  heldResults: { streamBytesMax: 16 * MiB, bytesMax: 64 * MiB },
};

/**
 * The maximum sizes of JSON bodies, bytes, by the kind of request. `little`: a description of one resource. `list`: up to 10,000
 * names, offsets or partitions. `transaction`: 4 MiB of node data, a third more in base64. WEIR_MAX_BODY_BYTES limits all of them,
 * and is the only limit on node data and records.
 */
export const bodyBytes = {
  little: 64 * KiB,
  list: MiB,
  transaction: 8 * MiB,
};

/** The maximum size of a request's head, including its URL; Node's default. */
export const headBytesMax = 16 * KiB;

/** A body up to this size usually arrives in one piece, so its announced length is counted at once. */
export const bodyBytesUsual = 64 * KiB;

/** The limit on bytes of bodies: several of the largest bodies must fit, or one client with large bodies would block all others. */
export function bodiesBytesMax(limits: AdmissionLimits, bodyBytesMax: number): number {
  return Math.max(limits.bodiesBytesMax, 4 * bodyBytesMax);
}

/** The range of `Retry-After`, s. It is chosen at random for each response, so that refused clients do not all retry at once. */
export const retryAfterSeconds = { least: 1, most: 3 };
