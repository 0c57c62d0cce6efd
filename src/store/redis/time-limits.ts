// Every time limit and interval of the connections to Redis, each with its reason. All are in milliseconds.

/** The limits of one call. Together they keep a request from waiting for Redis longer than WEIR_STORE_TIMEOUT (guarantee E3). */
export interface CallTimeouts {
  /** How long a call waits for a connection that is not open, or repeats a command that was refused before it did anything. */
  retryMs: number;
  /** How long a command may take. Scripts take milliseconds; a sync to a slow disk may take a second. */
  commandMs: number;
  /** How long a call waits until other large ones have ended. */
  queueMs: number;
  /** How long a response may take that needs several commands one after the other. */
  replyMs: number;
  /**
   * A connection that has an outstanding reply and receives nothing for so long is dead: the machine is gone, or the network drops
   * packets. It is longer than commandMs, so no command is cut off that could still get its reply.
   */
  inactivityMs: number;
}

/** @param storeTimeoutMs how long a request may wait for Redis */
export function callTimeouts(storeTimeoutMs: number): CallTimeouts {
  return {
    retryMs: 0.25 * storeTimeoutMs,
    commandMs: 0.7 * storeTimeoutMs,
    queueMs: 0.5 * storeTimeoutMs,
    replyMs: 0.975 * storeTimeoutMs,
    inactivityMs: storeTimeoutMs,
  };
}

/** How often connections are checked for inactivity. A fraction of inactivityMsMax, as silent checks are counted. */
export const inactivityCheckEveryMs = 500;
/** How long an attempt to connect may take. Between machines that can reach each other it takes milliseconds. */
export const connectTimeoutMs = 1000;
/** How long the close of a connection may take. A dead peer never confirms it, and the next attempt waits for this. */
export const disconnectTimeoutMs = 200;
/** How often a server that waits for Redis at its start logs that it does. */
export const startWaitLogEveryMs = 15_000;
/** How long a Sentinel or cluster node may take to report where the primary is. */
export const locateTimeoutMs = 500;
/** How often the cluster is asked for its slots. A refusal or a lost connection triggers an extra refresh. */
export const topologyRefreshMs = 5000;
/** How long the slots of a cluster count as fresh: connections that are lost together cause one refresh. */
export const topologyFreshMs = 100;
/** The pause before a command is repeated that a cluster refused for a passing reason (slot in migration, or no primary). */
export const refusalRetryMs = 25;

/** How often the address of a Redis that has accepted the connection but sent nothing yet is looked up again. */
export const relocateEveryMs = 100;
/** How long the remaining Sentinels are waited for when most have replied. All are asked at once, and take milliseconds. */
export const slowSentinelWaitMs = 50;
/** How long the address from the Sentinels counts as fresh: all connections to a primary are lost together, and share it. */
export const sentinelFreshMs = 20;

/**
 * The pause before the n-th attempt to connect. At first it is as short as a restart of Redis; then short enough for a failover,
 * which takes seconds; after about half a minute, long enough to cost nothing. Up to a fifth of it is random, so that the brokers
 * of a cluster do not all connect at the same moment.
 */
export function reconnectDelayMs(attempt: number): number {
  const base = attempt < 300 ? Math.min(20 * attempt, 100) : 400;
  return base * (1 + Math.random() / 4);
}
