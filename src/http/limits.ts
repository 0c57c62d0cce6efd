/**
 * The limits and time-outs of the HTTP edge, each with its reason. docs/operations.md ("Limits and defaults") lists them for
 * operators. Limits on the content of requests (records, nodes, offsets) are in schemas/; configurable ones are in config/options.ts.
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * What one broker takes at most. Beyond it a request is refused at once, with 429: early, rather than late or never. What is held for
 * long (waits, uploads, sockets, watches, connections) is shared between clients by core/shared-limit.ts, work by http/wait-queue.ts.
 */
export interface AdmissionLimits {
  /**
   * Work under way, where a usual request is 1 and a large one is more (http/request-weight.ts), without what waits. A broker has
   * reached all the throughput it has with about 100; 1000 of the usual kind are answered in half a second, well below the 1.4 s
   * that a command of the store may take. Without this bound, thousands of senders made every command late, so that nothing was
   * answered but failures.
   */
  requestsMax: number;
  /**
   * Requests beyond those, waiting for a place with their bodies in memory, most of them some KiB each: as many connections as a busy service has
   * may send at the same moment, and are all answered. And how long one waits at most, ms: whoever has no place by then is
   * better told to come back.
   */
  requestsWaitingMax: number;
  requestWaitMsMax: number;
  /**
   * Renewals, heartbeats and small commits under way, besides those requests. Each is one short script: so many are answered in
   * some 20 ms.
   */
  reservedMax: number;
  /**
   * Requests with handles or members that are not known to be good: so many may a client send at once in the reserved capacity, and so many a second from
   * then on. All clients behind one address may come to a broker at once when another one has died; to guess a handle takes 2^128.
   */
  unknownHandlesMax: number;
  unknownHandlesPerSecond: number;
  /** Long polls and event streams: they cost some 10 KiB each, and work only when something happens. */
  waitsMax: number;
  /**
   * Bodies of NDJSON under way: up to half a MiB of memory each, but for a line of more than 128 KiB. One may have max.message.bytes of its
   * topic and 64 KiB more; until it is read it counts among the bytes of bodies.
   */
  uploadsMax: number;
  /** WebSockets. */
  socketsMax: number;
  /** Watches on all sockets together: about 1 KiB each. */
  watchesMax: number;
  /** Bytes of bodies in memory. A body of WEIR_MAX_BODY_BYTES must fit several times: see bodiesBytesMax(). */
  bodiesBytesMax: number;
  /** The same of renewals, heartbeats and commits. */
  reservedBodiesBytesMax: number;
  /** Bytes of responses that their clients have not read yet: sixteen of the largest, and tens of thousands of the usual ones. */
  responsesBytesMax: number;
  /** The same of sockets and event streams, on which up to 8 MiB may wait for one reader and more for all that read slowly. */
  readersBytesMax: number;
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
};

/** How long a client may take, ms. */
export interface HttpTimeouts {
  /** For the head of a request, from its first byte or from the connection: a modem needs less than a second for 16 KiB. */
  headMs: number;
  /** Without a byte of a body that has begun. */
  bodyIdleMs: number;
  /**
   * A body has this long, and from then on has to come in at this rate on average, bytes a second: as Apache's mod_reqtimeout has it.
   * A streamed body is bounded in its pauses only.
   */
  bodyGraceMs: number;
  bodyBytesPerSecondMin: number;
  /** For a whole body, unless it is streamed: 16 MiB at half a megabit a second. */
  bodyMs: number;
  /**
   * Without a byte of a response that is taken by its client: as nginx's send_timeout. The network of the machine takes some MiB before
   * anything waits here, and more in large steps, so that a slow modem moves nothing for half a minute.
   */
  responseIdleMs: number;
  /** A response has this long, and from then on has to be taken at this rate on average, bytes a second: that of bodies. */
  responseGraceMs: number;
  responseBytesPerSecondMin: number;
  /** Without a byte of a streamed body: its sender may have nothing to say for as long as a long poll may last. */
  streamIdleMs: number;
  /**
   * Without a request on a connection. Longer than balancers keep theirs (60 s with nginx, HAProxy and the clouds'), so that it is
   * they who close: else a request of theirs could cross our close, and be lost.
   */
  keepAliveMs: number;
  /** How often those are looked for who have taken too long. */
  lookEveryMs: number;
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
  lookEveryMs: 2500,
};

/** How connections are borne with that are used in unusual ways. */
export interface ConnectionLimits {
  /** Requests on one connection that wait for those before them; nearly no client sends more than one at a time. */
  pipelinedMax: number;
  /** How long, of how many bytes and on how many connections at once what comes behind an early response is read and dropped. */
  lingering: { ms: number; bytes: number; connections: number };
  /** Results of NDJSON that are held back until its body has been read: of one stream, and of all. */
  heldResults: { streamBytesMax: number; bytesMax: number };
}

export const defaultConnectionLimits: ConnectionLimits = {
  pipelinedMax: 100,
  // A body of twice WEIR_MAX_BODY_BYTES comes in within that in any data centre, and its sender learns why it is too large.
  lingering: { ms: 2000, bytes: 32 * MiB, connections: 500 },
  // Some 100 bytes for each batch of up to 256 KiB and each of its partitions: those of tens of GiB into one partition.
  heldResults: { streamBytesMax: 16 * MiB, bytesMax: 64 * MiB },
};

/**
 * Bytes of a body that becomes values, by what the route takes; WEIR_MAX_BODY_BYTES bounds each of them, and alone what is kept as
 * bytes: the data of nodes, records. Little is what one thing is described by; a list has up to 10,000 names, offsets or partitions; a
 * transaction holds 4 MiB of data, of which base64 makes a third more.
 */
export const bodyBytes = {
  little: 64 * KiB,
  list: MiB,
  transaction: 8 * MiB,
};

/** The head of a request, its URL included; a node's path may be as long. It is Node's own limit. */
export const headBytesMax = 16 * KiB;

/** Connections beyond the configured number that are still taken, to tell their clients so, and for health checks. */
export const spareConnections = 100;

/** The same of one address that has its share of the connections. */
export const spareConnectionsOfClient = 10;

/** Up to this size a body usually comes in one piece, and is counted as its sender announces it. */
export const bodyBytesUsual = 64 * KiB;

/** A few of the largest bodies must fit, or else one sender of large bodies would keep all others out. */
export function bodiesBytesMax(load: AdmissionLimits, bodyBytesMax: number): number {
  return Math.max(load.bodiesBytesMax, 4 * bodyBytesMax);
}

/** `Retry-After`, s, at least and at most: drawn for each answer, so that those refused together do not come back together. */
export const retryAfterSeconds = { least: 1, most: 3 };
