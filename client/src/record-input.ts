// Records as callers give them, and as requests carry them.
import { toBase64 } from './node-data.ts';
import type { ProducedRecord } from './wire.ts';

/** A record to append. */
export interface RecordInput {
  /** Default: the topic of the producer. */
  topic?: string;
  /** Records with the same key go to the same partition, in their order. */
  key?: string | Uint8Array | null;
  /** Bytes, or any JSON value. Without a value the record deletes its key from a compacted topic. */
  value?: unknown;
  headers?: { readonly [name: string]: string | Uint8Array | null };
  /** Default: chosen by the key. */
  partition?: number;
  /** Ms since 1970; default: the time of the append. */
  timestamp?: number;
}

export function producedRecord({ key, value, headers, partition, timestamp }: RecordInput): ProducedRecord {
  return {
    ...(key instanceof Uint8Array ? { keyBase64: toBase64(key) } : key !== undefined && { key }),
    ...(value instanceof Uint8Array ? { valueBase64: toBase64(value) } : value !== undefined && { value }),
    ...(headers && {
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, each]) => [
          name,
          each instanceof Uint8Array ? { base64: toBase64(each) } : each,
        ]),
      ),
    }),
    ...(partition !== undefined && { partition }),
    ...(timestamp !== undefined && { timestamp }),
  };
}
