// How long the way to the store may take, and how often it is tried again: every such figure, with its reason.

/**
 * How long a call waits for a connection that is not open, or tries again what was refused before anything was done. With the
 * command's own time-out, a request never waits longer than 2 s for an absent store (guarantee E3).
 */
export const callRetryMsMax = 500;
/** How long a command may take. Scripts take milliseconds; a sync of a slow disk may take a second. */
export const commandTimeoutMs = 1400;
/** How long an answer may take that is made of several commands, one after the other, when the store is slow or away (guarantee E3). */
export const multiStepReplyMsMax = 1950;
/**
 * A connection on which commands wait, and that says nothing for so long, is dead: its machine is gone, or the network between
 * lets nothing through. More than a command's time-out, so that nobody is cut off who could still be answered.
 */
export const inactivityMsMax = 2000;
/** How often it is looked whether a connection says something; a fraction of the above, as looks are counted. */
export const inactivityCheckEveryMs = 500;
/** How long it may take to be connected. Between machines that talk at all this takes milliseconds. */
export const connectTimeoutMs = 1000;
/** How long the other side may take to say goodbye; one that is dead never does, and the next attempt waits for this. */
export const disconnectTimeoutMs = 200;
/** How often a server that starts, and waits for its store, says so. */
export const startWaitLogEveryMs = 15_000;
/** How long a Sentinel, or a node of a cluster, may take to say where the store is, before another one is asked. */
export const locateTimeoutMs = 500;
/** How often the nodes of a cluster are asked which of them holds what; a refusal, or a loss, lets them be asked at once. */
export const topologyRefreshMs = 5000;
/** The answer of a cluster is good for so long: many connections that are lost together ask once. */
export const topologyFreshMs = 100;
/** How long a cluster's refusal that passes by itself (a slot is moved, or has no primary) is waited for before the next try. */
export const refusalRetryMs = 25;

/** How often it is looked whether a Redis that has not said anything yet is still the one. */
export const relocateEveryMs = 100;
/** How long the last Sentinels are waited for when most have answered: they are asked at once, and take milliseconds. */
export const slowSentinelWaitMs = 50;
/** The answer of the Sentinels is good for so long: all connections to a primary are lost together, and look for it together. */
export const sentinelFreshMs = 20;

/**
 * The pause before the n-th attempt to connect: at first as short as a restart of Redis takes; then short enough that the end of
 * a failover, which takes seconds, is not waited for much longer than it lasts; and after half a minute, when it is none, long
 * enough to cost nothing. Up to a fifth of it is chance, so that the brokers of a cluster do not come all at the same moment.
 */
export function reconnectDelayMs(attempt: number): number {
  const usual = attempt < 300 ? Math.min(20 * attempt, 100) : 400;
  return usual * (1 + Math.random() / 4);
}
