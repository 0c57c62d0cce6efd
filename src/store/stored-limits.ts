// The default limits on stored data. docs/operations.md ("Limits and defaults") lists the numbers.

const MiB = 1024 * 1024;

/**
 * The limits on the data that all clients together may store. A request beyond a limit is refused with 429. Existing data stays
 * usable; it expires or can be deleted.
 */
export interface StoredLimits {
  /** Sessions of clients and of group members: about 500 bytes each. Some thousand per second can expire. */
  sessionsMax: number;
  /** Named producers: about 400 bytes each, and as much in each log to which they append. Idle ones expire. */
  producersMax: number;
  /** Fences in one partition: up to 400 bytes each. */
  fencesMax: number;
  /** Responses stored for 10 minutes for tree requests with an Idempotency-Key: allows more than 1,600 such requests per second. */
  responsesMax: number;
  responseBytesMax: number;
  /** As above, for the produce requests to one partition: about 200 bytes each. */
  appendsMax: number;
  appendBytesMax: number;
}

export const defaultStoredLimits: StoredLimits = {
  sessionsMax: 200_000,
  producersMax: 100_000,
  fencesMax: 1000,
  responsesMax: 1_000_000,
  responseBytesMax: 256 * MiB,
  appendsMax: 1_000_000,
  appendBytesMax: 256 * MiB,
};
