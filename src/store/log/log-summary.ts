// What is known of a log without its records: where it begins and ends, and its size.

export interface LogBounds {
  logStartOffset: number;
  /** The offset of the next record. */
  endOffset: number;
}

export interface LogSummary extends LogBounds {
  /** The offset after the last record that exists: less than `endOffset` if compaction has removed the last ones. */
  recordsEnd: number;
  /** The bytes of its records. */
  bytes: number;
}

/** What one call has shown of a log. */
export interface LogState extends LogBounds {
  /** Batches below this offset were compacted, and may be replaced by others. */
  compactedUpTo: number;
  /** When the log was created, ms: another one after the store has lost it. */
  createdAt: number;
  /** The server that replied (StoreConnection.serverRunOf). */
  serverRun: string;
  /** When the call was made, as performance.now(): what it has shown was true at that time or later. */
  calledAt: number;
}
