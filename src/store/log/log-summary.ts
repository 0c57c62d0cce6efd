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
