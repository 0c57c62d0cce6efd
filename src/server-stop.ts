// How a server stops: by which signals, how long it may take, and whether it serves on for a while first.
import type { Config } from './config/config.ts';

/** The longest time that a stop takes (guarantee E5), ms. Work that has not ended by then is aborted. */
const stopTimeoutMs = 9500;
/** The part of it that is reserved for WEIR_DRAIN_DELAY, ms. A longer delay extends the stop by the difference. */
const drainDelayIncludedMs = 3000;

/** The longest time that a stop takes with a configuration, ms. */
export function stopMsMax({ drainDelayMs }: Config): number {
  return stopTimeoutMs + Math.max(0, drainDelayMs - drainDelayIncludedMs);
}

/**
 * Whether a server serves on for WEIR_DRAIN_DELAY when it is stopped by `signal`. With a private store no other server can take
 * over, so that would be useless. After Ctrl-C the user does not want to wait.
 */
export function drainsOn(signal: string | undefined, { redisUrl }: Config): boolean {
  return signal === 'SIGTERM' && redisUrl !== undefined;
}

/**
 * Whether SIGHUP makes the server read its files again, and open its audit log anew. Without such files it stops the server, as when the terminal of a server is
 * closed.
 */
export function reloadsOnHangup({ accessFile, tlsCert }: Config): boolean {
  return accessFile !== undefined || tlsCert !== undefined;
}
