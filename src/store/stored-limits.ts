// The limits on what all clients together may store. docs/operations.md ("Limits and defaults") lists the numbers.

const MiB = 1024 * 1024;

/**
 * The limits on what all clients together may store. At a limit a request is refused with 429; what exists stays usable, and
 * expires or can be deleted.
 */
export interface StoredLimits {
  /** Sessions of clients and of members of groups: about 500 bytes each, and the reaper ends some thousand a second. */
  sessionsMax: number;
  /** Named producers: about 400 bytes each, and as much in each log that they write to; idle ones end by themselves. */
  producersMax: number;
  /** Names of fences in one partition: up to 400 bytes each. */
  fencesMax: number;
  /** Responses kept for 10 minutes for requests on the tree with an Idempotency-Key: more than 1,600 such requests a second. */
  responsesMax: number;
  responseBytesMax: number;
  /** As above, for the produce requests of one partition: some 200 bytes each. */
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
